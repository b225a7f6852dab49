//! Images as other programs see them: skopeo, umoci, podman and dockerd take what `cnb build --output` writes.
//!
//! Root's business, with folders of its own for every program; where one is missing the test is skipped, but in CI
//! it fails.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cnb_testkit::wait_for;
use rustix::process::{Pid, Signal};

use crate::builds::APP;
use crate::support::{Bench, User, is_root};

/// What the image prints.
const PAGE: &str = "the page\nport none\n";

/// Returns whether the programs are there and root runs the tests.
#[expect(clippy::disallowed_methods, reason = "a test has no main that could read the environment")]
#[expect(clippy::print_stderr, reason = "who runs the tests should know what was not tried")]
pub(crate) fn available(programs: &[&str]) -> bool {
    let is_there =
        |program: &&str| Command::new("which").arg(program).output().is_ok_and(|o| o.status.success());
    let missing: Vec<_> = programs.iter().filter(|p| !is_there(p)).collect();
    if is_root() && missing.is_empty() {
        return true;
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_root() || !in_ci, "missing: {missing:?}");
    eprintln!("skipped: needs root and {programs:?}");
    false
}

/// Runs a program that must succeed; returns its standard output.
#[track_caller]
pub(crate) fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null());
    output(command)
}

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

/// Podman with storage of its own below a folder; dropping it deletes the images and unmounts.
pub(crate) struct Podman<'a>(&'a Path);

impl<'a> Podman<'a> {
    pub(crate) fn start(dir: &'a Path) -> Self {
        let limits = "[containers]\ndefault_ulimits=[\"nofile=1024:1024\", \"nproc=4096:4096\"]\n[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n";
        fs_err::write(dir.join("containers.conf"), limits).expect("a new file");
        Self(dir)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args([
            "--root",
            "podman/root",
            "--runroot",
            "podman/run",
            "--tmpdir",
            "podman/tmp",
            "--runtime",
            "runc",
        ]);
        command.args(args).env("CONTAINERS_CONF", "containers.conf").current_dir(self.0).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn podman(&self, args: &[&str]) -> String {
        output(self.command(args))
    }

    /// Loads an archive; returns the name of the image.
    #[track_caller]
    pub(crate) fn load(&self, archive: &str) -> String {
        let loaded = self.podman(&["load", "--quiet", "--input", archive]);
        loaded
            .lines()
            .find_map(|l| l.strip_prefix("Loaded image: "))
            .expect("the name of what was loaded")
            .to_owned()
    }

    /// Starts an image that is to serve on `port`.
    #[track_caller]
    pub(crate) fn begin(&self, image: &str, port: u16) -> Child {
        let port = format!("PORT={port}");
        self.command(&["run", "--rm", "--network", "host", "--env", &port, image]).spawn().expect("podman")
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["rmi", "--force", "--all"]).stdout(Stdio::null()).status();
        unmount(self.0);
    }
}

/// dockerd below a folder; dropping it ends the server and unmounts.
pub(crate) struct Dockerd<'a> {
    child: Child,
    dir: &'a Path,
}

impl<'a> Dockerd<'a> {
    #[track_caller]
    pub(crate) fn start(dir: &'a Path) -> Self {
        let log = fs_err::File::create(dir.join("dockerd.log")).expect("a new file");
        let child = Command::new("dockerd")
            .arg("--data-root")
            .arg(dir.join("docker/data"))
            .arg("--exec-root")
            .arg(dir.join("docker/exec"))
            .arg("-p")
            .arg(dir.join("docker.pid"))
            .args([
                "-H",
                &address(dir),
                "--iptables=false",
                "--bridge=none",
                "--ip-forward=false",
                "--storage-driver=overlay2",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()
            .expect("dockerd");
        let server = Self { child, dir };
        let up = wait_for(Duration::from_secs(30), || {
            server.command(&["version"]).output().is_ok_and(|o| o.status.success())
        });
        assert!(up, "{}", fs_err::read_to_string(dir.join("dockerd.log")).unwrap_or_default());
        server
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &address(self.dir)]).args(args).current_dir(self.dir).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        output(self.command(args))
    }

    /// Loads an archive; returns what docker said.
    #[track_caller]
    pub(crate) fn load(&self, archive: &str) -> String {
        self.docker(&["load", "--input", archive])
    }

    /// Starts an image that is to serve on `port`.
    #[track_caller]
    pub(crate) fn begin(&self, image: &str, port: u16) -> Child {
        let port = format!("PORT={port}");
        self.command(&["run", "--rm", "--network", "host", "--env", &port, image]).spawn().expect("docker")
    }
}

impl Drop for Dockerd<'_> {
    fn drop(&mut self) {
        // Nobody can be told when one of these fails; what is left fails the test that looks for it.
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        let ended =
            wait_for(Duration::from_secs(20), || self.child.try_wait().is_ok_and(|status| status.is_some()));
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        unmount(self.dir);
    }
}

fn address(dir: &Path) -> String {
    format!("unix://{}", dir.join("docker.sock").display())
}

/// Runs a command that must succeed; returns its standard output.
#[track_caller]
fn output(mut command: Command) -> String {
    let output = command.output().expect("a program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Unmounts whatever is mounted below `dir`, the last first.
fn unmount(dir: &Path) {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points: Vec<&str> = mounts
        .lines()
        .filter_map(|l| l.split(' ').nth(4))
        .filter(|p| Path::new(p).starts_with(dir))
        .collect();
    for point in points.iter().rev() {
        let _ = Command::new("umount").args(["--lazy", point]).status();
    }
}

#[test]
fn skopeo_and_umoci_accept_every_form_of_an_image() {
    if !available(&["skopeo", "umoci"]) {
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
    if !available(&["podman", "runc"]) {
        return;
    }
    let (bench, _) = build();
    let dir = bench.path("");
    for archive in ["oci.tar", "docker.tar"] {
        let engine = Podman::start(&dir);
        let image = engine.load(archive);
        assert_eq!(engine.podman(&["run", "--rm", "--network", "host", &image]), PAGE, "{archive}");
        let task = engine.podman(&["run", "--rm", "--network", "host", "--entrypoint", "task", &image]);
        assert_eq!(task, "task\n", "{archive}");
    }
    bench.assert_nothing_is_left();
}

#[test]
fn dockerd_loads_and_runs_a_docker_archive() {
    if !available(&["dockerd", "docker"]) {
        return;
    }
    let (bench, _) = build();
    let dir = bench.path("");
    let server = Dockerd::start(&dir);
    let loaded = server.load("docker.tar");
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
