//! Images as other programs see them: skopeo, umoci, podman and dockerd take what `cnb build --output` writes.
//!
//! Root's business, with folders of its own for every program; where one is missing the test is skipped, but in CI
//! it fails.

use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::peers::{available_to_root, run};

use crate::builds::APP;
use crate::support::{Bench, User};

/// What the image prints.
const PAGE: &str = "the page\nport none\n";

/// Builds an image in every form there is; returns its digest.
fn build() -> (Bench, String) {
    let bench = Bench::new(User::Caller);
    bench.file("app/page", "the page\n");
    let buildpack = bench.buildpack("test/app", APP);
    let outputs =
        ["oci:layout", "oci-archive:oci.tar", "docker-archive:docker.tar"].map(|o| ["--output", o]).concat();
    let buildpack = buildpack.to_str().expect("a path in UTF-8");
    let digest = bench
        .cnb(
            ["build", "app", "--image", "registry.test/some/app:v1", "--quiet", "--buildpack", buildpack]
                .into_iter()
                .chain(outputs),
        )
        .expect(0)
        .stdout;
    (bench, digest.trim_end().to_owned())
}

#[test]
fn skopeo_and_umoci_accept_every_form_of_an_image() {
    if !available_to_root(&["skopeo", "umoci"]) {
        return;
    }
    let (bench, digest) = build();
    let dir = bench.path("");
    let skopeo = |args: &[&str]| run("skopeo", args, &dir);
    for (number, from) in
        ["oci:layout", "oci-archive:oci.tar", "docker-archive:docker.tar"].into_iter().enumerate()
    {
        let inspected: serde_json::Value = serde_json::from_str(&skopeo(&["inspect", from])).expect("JSON");
        assert_eq!(inspected["Os"], "linux", "{from}");
        assert!(inspected["Labels"]["io.buildpacks.lifecycle.metadata"].is_string(), "{from}");
        if from != "docker-archive:docker.tar" {
            assert_eq!(inspected["Digest"], digest, "{from}");
        }
        let copy = format!("oci:copy-{number}:v1");
        skopeo(&["--insecure-policy", "copy", from, &copy]);
        let image = format!("copy-{number}:v1");
        run("umoci", &["stat", "--image", &image], &dir);
        let bundle = format!("bundle-{number}");
        run("umoci", &["unpack", "--rootless", "--image", &image, &bundle], &dir);
        let page = fs_err::read_to_string(dir.join(&bundle).join("rootfs/workspace/page"));
        assert_eq!(page.expect("a file of the image"), "the page\n", "{from}");
    }
    bench.assert_nothing_is_left();
}

#[test]
fn podman_loads_and_runs_both_archives() {
    if !Podman::is_available() {
        return;
    }
    let (bench, _) = build();
    let dir = bench.path("");
    for archive in ["oci.tar", "docker.tar"] {
        let engine = Podman::start().expect("podman");
        let image = engine.load(&dir.join(archive));
        assert_eq!(engine.podman(&["run", "--rm", "--network", "host", &image]), PAGE, "{archive}");
        let task = engine.podman(&["run", "--rm", "--network", "host", "--entrypoint", "task", &image]);
        assert_eq!(task, "task\n", "{archive}");
    }
    bench.assert_nothing_is_left();
}

#[test]
fn dockerd_loads_and_runs_a_docker_archive() {
    if !Dockerd::is_available() {
        return;
    }
    let (bench, _) = build();
    let server = Dockerd::start().expect("dockerd");
    let loaded = server.load(&bench.path("docker.tar"));
    assert!(loaded.contains("registry.test/some/app:v1"), "{loaded}");
    assert_eq!(server.docker(&["run", "--rm", "--network", "host", "registry.test/some/app:v1"]), PAGE);
    let task = server.docker(&[
        "run",
        "--rm",
        "--network",
        "host",
        "--entrypoint",
        "task",
        "registry.test/some/app:v1",
    ]);
    assert_eq!(task, "task\n");
    drop(server);
    bench.assert_nothing_is_left();
}
