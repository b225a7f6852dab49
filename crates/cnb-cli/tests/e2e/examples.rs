//! The example applications: the same bytes from everywhere, and images that other programs take and run.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::peers::{available, available_to_root, is_root, run};
use cnb_testkit::schemas::Format;
use cnb_testkit::{free_port, wait_for};

/// What an example does when it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Serves on its port.
    Server,
    /// Ends well.
    Task,
    /// Serves, but only with a database, which the commands of its README give it.
    WithDatabase,
}

/// The examples, what each needs of the host, and what it does.
const EXAMPLES: &[(&str, &str, Kind)] = &[
    ("static-site", "sh", Kind::Server),
    ("procfile-shell", "sh", Kind::Task),
    ("go-http", "go", Kind::Server),
    ("node-express", "npm", Kind::Server),
    ("node-postgres", "npm", Kind::WithDatabase),
    ("django-postgres", "python3", Kind::WithDatabase),
    ("python-fastapi", "python3", Kind::Server),
    ("rust-http", "cargo", Kind::Server),
    ("java-http", "mvn", Kind::Server),
];

/// An ordinary user that every system has.
const ORDINARY: &str = "65534";

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Builds `app` with `cnb` in the user's own environment, which has the language's tools; returns its report.
#[track_caller]
fn build(home: &Path, app: &Path, name: &str, outputs: &[String]) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnb"));
    command.env("CNB_HOME", home).args(["build", "--json", "--image", name]).arg(app);
    for output in outputs {
        command.args(["--output", output]);
    }
    let sboms = home.join("sboms");
    command.arg("--sbom-output-dir").arg(&sboms);
    let report = report(name, command);
    check_sboms(name, &sboms);
    report
}

/// Checks that every buildpack that put something into an image says so in both formats, as their schemas demand.
#[track_caller]
fn check_sboms(name: &str, dir: &Path) {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs_err::read_dir(dir).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if let Some(format) = Format::of_file(&path.to_string_lossy()) {
                let document = fs_err::read(&path).expect("an SBOM");
                format.check(&document).unwrap_or_else(|e| panic!("{name}: {}: {e}", path.display()));
                found.push(format);
            }
        }
    }
    let has_own = !["procfile-shell"].contains(&name);
    for format in [Format::CycloneDx, Format::Spdx] {
        assert_eq!(found.contains(&format), has_own, "{name}: {format:?}");
    }
}

/// Runs a command as the user whose number is `$0`, in mounts of its own in which this user's home has nothing but
/// toolchains, which others may enter.
const AS_ANOTHER_USER: &str = r#"exec unshare --mount sh -ec '
    toolchains=$(mktemp -d)
    mount -t tmpfs -o mode=755 none "$toolchains"
    for name in .cargo .rustup .pyenv .local/bin .local/share/uv; do
        [ -d "$HOME/$name" ] || continue
        mkdir -p "$toolchains/$name"
        mount --bind "$HOME/$name" "$toolchains/$name"
    done
    mount --rbind "$toolchains" "$HOME"
    umount -l "$toolchains"
    rmdir "$toolchains"
    export CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" HOME=/nonexistent
    umask 077
    exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"
' "$0" "$@""#;

/// Builds `app` like [`build`] but in every way that must not matter: as another user where root runs the tests, in
/// another time zone and language, and with another umask.
#[track_caller]
fn build_differently(dir: &Path, app: &Path, name: &str) -> serde_json::Value {
    let program = dir.join("cnb");
    fs_err::copy(env!("CARGO_BIN_EXE_cnb"), &program).expect("a copy of the program");
    let mut command = Command::new("sh");
    if is_root() {
        run("chown", &["-R", ORDINARY, dir.to_str().expect("UTF-8")], dir);
        command.args(["-c", AS_ANOTHER_USER, ORDINARY]);
    } else {
        command.args(["-c", "umask 077; exec \"$@\"", "sh"]);
    }
    command.arg(program).args(["build", "--json", "--image", name]).arg(app);
    command.env("CNB_HOME", dir.join("two")).env("TZ", "Pacific/Kiritimati").env("LC_ALL", "C.UTF-8");
    report(name, command)
}

#[track_caller]
fn report(name: &str, mut command: Command) -> serde_json::Value {
    let output = command.stdin(Stdio::null()).output().expect("start cnb");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{stderr}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{name}: {e}\n{stderr}"))
}

#[test]
fn examples_are_the_same_from_everywhere_and_run_in_podman_and_dockerd() {
    for &(name, needs, kind) in EXAMPLES {
        if !available(&[needs]) {
            continue;
        }
        let dir = tempfile::Builder::new().prefix("cnb-examples-").tempdir().expect("a folder");
        let elsewhere = dir.path().join("some/where/else");
        fs_err::create_dir_all(&elsewhere).expect("a folder");
        run(
            "cp",
            &[
                "-r",
                "--no-preserve=mode,timestamps",
                examples().join(name).to_str().expect("UTF-8"),
                "some/where/else",
            ],
            dir.path(),
        );
        run("chmod", &["-R", "u=rwX,go=rX", "some"], dir.path());
        run("sh", &["-c", "find some -name '*.sh' -exec chmod 755 {} +"], dir.path());
        let outputs = [
            format!("oci:{}/layout", dir.path().display()),
            format!("docker-archive:{}/docker.tar", dir.path().display()),
        ];

        let first = build(&dir.path().join("one"), &examples().join(name), name, &outputs);
        let again = build(&dir.path().join("one"), &examples().join(name), name, &[]);
        let other = build_differently(dir.path(), &elsewhere.join(name), name);
        assert_eq!(first["digest"], again["digest"], "{name}: built again");
        assert_eq!(first["digest"], other["digest"], "{name}: built from another folder by another user");
        let all_reused = again["layers"].as_array().is_some_and(|l| l.iter().all(|l| l["reused"] == true));
        assert!(all_reused, "{name}: {again}");

        if available_to_root(&["skopeo", "umoci"]) {
            run("skopeo", &["inspect", "oci:layout"], dir.path());
            run("umoci", &["stat", "--image", "layout:latest"], dir.path());
        }
        if kind == Kind::WithDatabase {
            continue;
        }
        let archive = dir.path().join("docker.tar");
        if Podman::is_available() {
            let podman = Podman::start().expect("podman");
            let image = podman.load(&archive);
            answers(name, kind, |port| podman.begin(&image, port).expect("podman"));
        }
        if Dockerd::is_available() {
            let dockerd = Dockerd::start().expect("dockerd");
            dockerd.load(&archive);
            answers(name, kind, |port| dockerd.begin(&format!("{name}:latest"), port).expect("docker"));
        }
    }
}

/// Checks that a started image serves on its port, or ends well where it is no server.
#[track_caller]
fn answers(name: &str, kind: Kind, start: impl Fn(u16) -> Child) {
    let port = free_port().expect("a free port");
    let mut child = start(port);
    if kind == Kind::Task {
        assert!(child.wait().expect("wait for the engine").success(), "{name}");
        return;
    }
    let up = wait_for(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let page =
        Command::new("curl").args(["-sS", "--max-time", "20", &format!("http://127.0.0.1:{port}/")]).output();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("end it");
    child.wait().expect("wait for the engine");
    assert!(up, "{name} does not listen on its port");
    assert!(page.is_ok_and(|p| p.status.success() && !p.stdout.is_empty()), "{name} does not answer");
}
