//! `cnb build` with several outputs, and publishing that is stopped, refused or has little to send.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cnb_testkit::docker_registry::{DockerRegistry, Login, Setup};
use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::http::{Journal, Seen};
use cnb_testkit::registry::{Fault, Nth, Options, Registry, What};
use cnb_testkit::wait_for;
use serde_json::{Value, json};

use crate::builds::APP;
use crate::support::{Bench, PATIENCE, Running, User};

/// Returns a bench with an app, and the buildpack that builds it.
fn bench() -> (Bench, PathBuf) {
    let bench = Bench::new(User::Caller);
    bench.file("app/page", "the page\n");
    let buildpack = bench.buildpack("test/app", APP);
    (bench, buildpack)
}

/// Returns the requests that had a body.
fn sent(journal: &Journal) -> Vec<String> {
    journal.seen().iter().filter(|seen| seen.received > 0).map(Seen::line).collect()
}

#[test]
fn one_build_goes_to_every_kind_of_output() {
    if !Dockerd::is_available() || !Podman::is_available() {
        return;
    }
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let docker = Dockerd::start().expect("dockerd");
    let podman = Podman::serve().expect("podman");
    let name = format!("{}/team/app:v1", registry.host());
    let other = format!("registry:{}/other/app:v2", registry.host());
    let outputs =
        ["docker", "podman", "oci:layout", "oci-archive:oci.tar", "docker-archive:docker.tar", &other];
    let mut args = vec!["--publish", "--json"];
    args.extend(outputs.iter().flat_map(|output| ["--output", *output]));
    let mut command = bench.build_command(&name, &buildpack, &args);
    let podman_socket = podman.socket().expect("it serves");
    command
        .env("DOCKER_HOST", format!("unix://{}", docker.socket().display()))
        .env("CONTAINER_HOST", format!("unix://{}", podman_socket.display()));
    let report = Running::start(command).finish().expect(0).json();

    let written = report["outputs"].as_array().expect("outputs");
    let kinds: Vec<&str> = written.iter().filter_map(|w| w["place"].as_str()?.split(':').next()).collect();
    assert_eq!(
        kinds,
        ["registry", "docker", "podman", "oci", "oci-archive", "docker-archive", "registry"],
        "--publish comes first: {written:#?}"
    );
    let id = &report["image_id"];
    assert!(written.iter().all(|w| &w["image_id"] == id), "{written:#?}");
    let digest = report["digest"].as_str().expect("a digest");
    assert_eq!(registry.tags()["team/app:v1"], digest);
    assert_eq!(registry.tags()["other/app:v2"], digest);
    let docker_id = docker.docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(id, docker_id.trim());
    let podman_id = podman.podman(&["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(id, &format!("sha256:{}", podman_id.trim()));
    for place in ["oci:layout:v1", "oci-archive:oci.tar", "docker-archive:docker.tar"] {
        assert_eq!(&bench.cnb(["inspect", place, "--json"]).expect(0).json()["image_id"], id, "{place}");
    }
    registry.assert_whole();
    bench.assert_nothing_is_left();
}

#[test]
fn layers_of_a_run_image_in_the_same_registry_are_mounted_and_not_sent() {
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    bench.file("base-tree/etc/motd", "a run image with something in it\n");
    let base = bench.empty_base();
    let at = format!("registry:{}/base:v1", registry.host());
    bench.cnb(["copy", base.as_str(), at.as_str()]).expect(0);
    let found = bench.cnb(["inspect", at.as_str(), "--json"]).expect(0).json();
    let layer = found["layers"][0]["digest"].as_str().expect("a layer").to_owned();
    let buildpack = buildpack.to_str().expect("UTF-8");
    let publish = |name: &str| {
        registry.journal().forget();
        let name = format!("{}/{name}", registry.host());
        let build =
            ["build", "app", "--image", &name, "--publish", "--run-image", &at, "--buildpack", buildpack];
        bench.cnb(build).expect(0);
        let seen = registry.journal().seen();
        let asked = |s: &&Seen| s.request.query("mount").is_some_and(|mount| mount == layer);
        let mounts: Vec<Option<u16>> = seen.iter().filter(asked).map(|s| s.status).collect();
        let fetched = format!("GET /v2/base/blobs/{layer} 200");
        (mounts, registry.journal().lines().iter().filter(|line| **line == fetched).count())
    };
    assert_eq!(publish("team/app"), (vec![Some(201)], 1), "the local store needs it once");
    assert_eq!(publish("team/second"), (vec![Some(201)], 0));
    registry.inject(Fault::new("POST /v2/team/third/blobs/uploads/*", Nth::All, What::RefuseMount));
    assert_eq!(publish("team/third"), (vec![Some(202)], 0), "it is sent from the local store");
    registry.assert_whole();
    bench.assert_nothing_is_left();
}

#[test]
fn an_interrupted_upload_publishes_nothing_and_says_what_was_written_before() {
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let name = format!("{}/team/app:v1", registry.host());
    bench.build(&name, &buildpack, &["--publish"]).expect(0);
    let before = (registry.tags(), bench.digest(&name));
    bench.file("app/page", "another page\n");
    // Answers that take minutes: the build waits for its layers when the signal comes.
    let slow = What::SlowLoris { bytes: 1, every: Duration::from_secs(1) };
    registry.inject(Fault::new("PUT /v2/team/app/blobs/uploads/*", Nth::All, slow));
    registry.journal().forget();
    let to = format!("registry:{name}");
    let outputs = ["--output", "oci:layout", "--output", &to];
    let running = Running::start(bench.build_command(&name, &buildpack, &outputs));
    let begun = wait_for(PATIENCE, || !registry.journal().lines_of("PUT").is_empty());
    assert!(begun, "{:#?}", registry.journal().lines());
    running.signal(rustix::process::Signal::INT);
    running.finish().expect(130).says("oci:").says("already").never_says("panicked");
    registry.heal();
    assert_eq!((registry.tags(), bench.digest(&name)), before);
    registry.assert_whole();
    bench.assert_nothing_is_left();
    bench.build(&name, &buildpack, &["--publish"]).expect(0).says("dependency: as before");
    assert_ne!(registry.tags(), before.0);
}

#[test]
fn docker_registry_takes_an_image_from_who_is_logged_in_and_then_only_manifests() {
    if !DockerRegistry::is_available() {
        return;
    }
    let (bench, buildpack) = bench();
    let (user, password) = ("me".to_owned(), "s3cr3t-word".to_owned());
    let setup = Setup { login: Login::Htpasswd { user, password }, recorded: true, ..Setup::default() };
    let registry = DockerRegistry::start(&setup).expect("docker-registry");
    let name = format!("{}/team/app:v1", registry.host());
    let refused = bench.build(&name, &buildpack, &["--publish"]);
    assert_ne!(refused.code, 0);
    let refused = refused.says(&format!("cnb login {}", registry.host()));

    let auth = json!({"auths": {registry.host(): {"auth": "bWU6czNjcjN0LXdvcmQ="}}});
    bench.file("auth.json", &auth.to_string());
    let args = ["--publish", "--authfile", "auth.json"];
    let quiet = bench.build(&name, &buildpack, &[&args[..], &["--quiet"]].concat()).expect(0);
    assert_eq!(quiet.stdout.trim_end(), bench.digest(&name), "the digest, and nothing else");
    let journal = registry.journal().expect("it is recorded");
    journal.forget();
    let again = bench.build(&name, &buildpack, &[&args[..], &["--verbose"]].concat()).expect(0);
    assert_eq!(sent(journal), ["PUT /v2/team/app/manifests/v1 201"], "{:#?}", journal.lines());
    for done in [refused, quiet, again] {
        for secret in ["s3cr3t-word", "bWU6"] {
            assert!(!done.stdout.contains(secret) && !done.stderr.contains(secret), "{done:?}");
        }
    }
    bench.assert_nothing_is_left();
}

#[test]
fn an_engine_that_hangs_holds_no_build_up() {
    let (bench, buildpack) = bench();
    let build = |docker_host: &str| {
        let mut command = bench.build_command("test/app", &buildpack, &["--json"]);
        command.env("DOCKER_HOST", docker_host);
        let begun = Instant::now();
        let done = Running::start(command).finish().expect(0);
        // An engine that is needed would be given two minutes.
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        done
    };
    // The kernel takes the connection; nobody ever answers.
    let _listener = UnixListener::bind(bench.path("d.sock")).expect("a socket");
    let hung = build(&format!("unix://{}", bench.path("d.sock").display()));
    assert_eq!(hung.json()["outputs"], Value::Array(Vec::new()));
    hung.says("could not be loaded into docker").says("--no-load");
    // Where nobody listens, or in a way that is not known, there is no engine to speak of.
    for nowhere in ["unix:///nowhere/docker.sock", "ssh://somewhere"] {
        build(nowhere).never_says("loaded");
    }
    bench.assert_nothing_is_left();
}
