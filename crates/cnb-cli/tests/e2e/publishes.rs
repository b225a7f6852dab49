//! `cnb build --publish` and `--output`: images that go to registries and engines.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use cnb_testkit::docker_registry::{DockerRegistry, Setup, Tls};
use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::registry::{Auth, Fault, Nth, Options, Registry, What};
use serde_json::Value;

use crate::builds::APP;
use crate::caches::on_another_machine;
use crate::support::{Bench, Done, Running, User};

/// Returns a bench with an app, and the buildpack that builds it.
fn bench() -> (Bench, PathBuf) {
    let bench = Bench::new(User::Caller);
    bench.file("app/page", "the page\n");
    let buildpack = bench.buildpack("test/app", APP);
    (bench, buildpack)
}

/// Builds `name` and returns the report.
fn report(bench: &Bench, buildpack: &Path, name: &str, args: &[&str]) -> Value {
    bench.build(name, buildpack, &[args, &["--json"]].concat()).expect(0).json()
}

#[test]
fn a_published_image_is_in_the_registry_under_all_its_names() {
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let (one, two) =
        (format!("{}/team/app:v1", registry.host()), format!("{}/team/app:latest", registry.host()));
    let found = report(&bench, &buildpack, &one, &["--publish", "--tag", &two]);
    let digest = found["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(registry.tags()["team/app:v1"], digest);
    assert_eq!(registry.tags()["team/app:latest"], digest);
    assert_eq!(found["outputs"][0]["place"], format!("registry:{one}"));
    assert_eq!(found["outputs"][1]["digest"], digest);
    registry.assert_whole();

    // Nothing has changed: manifests are all that is sent.
    registry.journal().forget();
    report(&bench, &buildpack, &one, &["--publish", "--tag", &two]);
    let sent: Vec<String> = registry
        .journal()
        .seen()
        .iter()
        .filter(|s| s.received > 0)
        .map(cnb_testkit::http::Seen::line)
        .collect();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent.iter().all(|line| line.starts_with("PUT /v2/team/app/manifests/")), "{sent:?}");
    bench.assert_nothing_is_left();
}

#[test]
fn a_name_that_is_published_and_an_output_too_is_pushed_once() {
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let name = format!("{}/team/app:latest", registry.host());
    let output = format!("registry:{}/team/app", registry.host());
    let found = report(&bench, &buildpack, &name, &["--publish", "--output", &output]);
    let pushes = registry.journal().lines_of("PUT");
    assert_eq!(pushes.iter().filter(|line| line.contains("/manifests/")).count(), 1, "{pushes:?}");
    assert_eq!(found["outputs"].as_array().expect("outputs").len(), 1, "{found}");
    bench.assert_nothing_is_left();
}

#[test]
fn a_registry_with_certificates_of_its_own_is_reached_with_a_folder_of_them() {
    if !DockerRegistry::is_available() {
        return;
    }
    let (bench, buildpack) = bench();
    let setup = Setup { tls: Tls::ClientCertificate, ..Setup::default() };
    let registry = DockerRegistry::start(&setup).expect("a registry");
    let name = format!("{}/team/app:v1", registry.host());
    bench.build(&name, &buildpack, &["--publish"]).expect(32).says("--cert-dir").never_says("BUILDING");
    let made = registry.certificates().expect("certificates");
    let read = |path: &Path| fs_err::read_to_string(path).expect("a PEM file");
    // One folder for this registry among those of docker and podman, another that is named.
    for certs in ["certs", "user/.config/containers/certs.d"] {
        let at = |file: &str| format!("{certs}/{}/{file}", registry.host());
        bench.file(&at("ca.crt"), &read(&made.ca));
        let given = format!("--cert-dir={}", bench.path("certs").display());
        let given = if certs == "certs" { vec![given.as_str()] } else { vec![] };
        let found = bench.build(&name, &buildpack, &[&["--publish"], &given[..]].concat()).expect(32);
        found.says("certificate").never_says("BUILDING");
        bench.file(&at("client.cert"), &read(&made.client));
        bench.file(&at("client.key"), &read(&made.client_key));
        let found = report(&bench, &buildpack, &name, &[&["--publish"], &given[..]].concat());
        let place = format!("registry:{name}");
        let inspect = [&["inspect", &place, "--json"], &given[..]].concat();
        assert_eq!(bench.cnb(inspect).expect(0).json()["digest"], found["digest"], "{certs}");
        fs_err::remove_dir_all(bench.path(certs)).expect("certificates");
    }
    bench.assert_nothing_is_left();
}

#[test]
fn a_push_that_fails_leaves_the_old_tag_and_the_old_image() {
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let name = format!("{}/team/app:v1", registry.host());
    report(&bench, &buildpack, &name, &["--publish"]);
    let before = (registry.tags(), bench.digest(&name));
    bench.file("app/page", "another page\n");
    registry.inject(Fault::new("PUT /v2/*/manifests/*", Nth::All, What::status(403)));
    let found = bench.build(&name, &buildpack, &["--publish", "--output", "oci:layout"]);
    assert_ne!(found.code, 0);
    assert!(found.stderr.contains("team/app:v1"), "{}", found.stderr);
    assert!(!bench.path("layout").exists(), "outputs are written in their order");
    assert_eq!((registry.tags(), bench.digest(&name)), before);
    registry.heal();
    registry.assert_whole();

    // The other way round: what was written before is said.
    registry.inject(Fault::new("PUT /v2/*/manifests/*", Nth::All, What::status(403)));
    let to = format!("registry:{name}");
    let found = bench.build(&name, &buildpack, &["--output", "oci:layout", "--output", &to]);
    assert_ne!(found.code, 0);
    assert!(found.stderr.contains("already") && found.stderr.contains("oci:"), "{}", found.stderr);
    bench.assert_nothing_is_left();
}

#[test]
fn another_machine_reuses_the_layers_of_what_was_published() {
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let name = format!("{}/team/app", registry.host());
    report(&bench, &buildpack, &name, &["--publish"]);
    let digest = bench.digest(&name);
    on_another_machine(&bench);
    let build = || bench.build(&name, &buildpack, &["--publish"]).expect(0);
    build()
        .says("Restoring metadata for \"test/app:words\" from app image")
        .says("Reusing layer test/app:words");
    assert_eq!(bench.digest(&name), digest);
    assert_eq!(registry.tags()["team/app:latest"], digest);
    bench.assert_store_is_whole();
}

#[test]
fn an_unknown_user_is_told_to_log_in_and_no_secret_is_shown() {
    let (bench, buildpack) = bench();
    let auth = Auth::Basic { user: "me".to_owned(), password: "s3cr3t-word".to_owned() };
    let registry = Registry::start(Options { auth, ..Options::default() }).expect("a registry");
    let name = format!("{}/team/app:v1", registry.host());
    let found = bench.build(&name, &buildpack, &["--publish"]).expect(32).never_says("BUILDING");
    let hint = format!("cnb login {}", registry.host());
    assert!(found.stderr.contains(&hint), "{}", found.stderr);
    let login = |args: &[&str], auth: &str| -> Done {
        let mut command = bench.build_command(&name, &buildpack, args);
        command.env("CNB_REGISTRY_AUTH", format!(r#"{{"{}":"{auth}"}}"#, registry.host()));
        Running::start(command).finish()
    };
    let found = login(&["--publish", "--verbose"], "Basic bWU6czNjcjN0LXdvcmQ=").expect(0);
    for secret in ["s3cr3t-word", "bWU6czNjcjN0LXdvcmQ="] {
        assert!(!found.stderr.contains(secret) && !found.stdout.contains(secret), "{}", found.stderr);
    }
    registry.assert_whole();
    bench.assert_nothing_is_left();
}

#[test]
fn an_engine_that_is_reachable_gets_the_image_unless_it_is_not_wanted() {
    if !Dockerd::is_available() {
        return;
    }
    let (bench, buildpack) = bench();
    let docker = Dockerd::start().expect("dockerd");
    let build = |args: &[&str]| {
        let mut command = bench.build_command("test/auto:v1", &buildpack, args);
        command.env("DOCKER_HOST", format!("unix://{}", docker.socket().display()));
        Running::start(command).finish().expect(0)
    };
    build(&["--no-load"]);
    bench.file("home/config.toml", "load-into-engine = false\n");
    build(&[]);
    build(&["--output", "oci:layout"]);
    assert_eq!(docker.docker(&["images", "--quiet"]), "", "nobody wanted it there");
    fs_err::remove_file(bench.path("home/config.toml")).expect("a file");
    let found = build(&[]);
    assert!(found.stderr.contains("Loaded into Docker as test/auto:v1"), "{}", found.stderr);
    let id = docker.docker(&["image", "inspect", "--format", "{{.Id}}", "test/auto:v1"]);
    let inspected = bench.cnb(["inspect", "test/auto:v1", "--json"]).expect(0).json();
    assert_eq!(inspected["image_id"], id.trim());
    build(&["--output", "docker", "--tag", "test/auto:v2"]);
    assert_eq!(docker.docker(&["image", "inspect", "--format", "{{.Id}}", "test/auto:v2"]), id);
    bench.assert_nothing_is_left();
}

#[test]
fn an_engine_that_does_not_answer_is_a_warning_and_no_failure() {
    let (bench, buildpack) = bench();
    let socket = bench.path("d.sock");
    // Somebody listens, and says nothing to anybody.
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let server = std::thread::spawn(move || drop(listener.accept()));
    let mut command = bench.build_command("test/app", &buildpack, &[]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let found = Running::start(command).finish().expect(0);
    server.join().expect("a connection");
    assert!(found.stderr.contains("could not be loaded into docker"), "{}", found.stderr);
    assert!(found.stderr.contains("--no-load"), "{}", found.stderr);
}

/// Answers as Docker does, and is told of an image that it is to load, of which it then says nothing.
fn silent_engine(stream: &std::os::unix::net::UnixStream, loads: &std::sync::mpsc::Sender<()>) {
    let mut stream = stream;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        while lines.next().is_some_and(|header| !header.is_empty()) {}
        let answer = match &request {
            line if line.contains("/images/load") => {
                let _ = loads.send(());
                // Until the client hangs up.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                return;
            }
            line if line.contains("/info") => r#"{"Driver":"overlay2"}"#,
            line if line.contains("/version") => r#"{"Version":"20.10.24","Os":"linux","Arch":"amd64"}"#,
            line if line.contains("/images/") => "",
            _ => "OK",
        };
        let status = if answer.is_empty() { "404 Not Found" } else { "200 OK" };
        let head =
            format!("HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Length: {}\r\n\r\n", answer.len());
        if stream.write_all((head + answer).as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn the_first_interrupt_ends_the_loading_into_an_engine() {
    let (bench, buildpack) = bench();
    let socket = bench.path("d.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let (loads, loading) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        silent_engine(&stream, &loads);
    });
    let mut command = bench.build_command("test/app", &buildpack, &["--output", "docker"]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let running = Running::start(command);
    loading.recv_timeout(std::time::Duration::from_secs(60)).expect("an image to load");
    running.signal(rustix::process::Signal::INT);
    running.finish().expect(130);
    server.join().expect("the engine");
    bench.cnb(["inspect", "test/app"]).expect(1);
    bench.assert_nothing_is_left();
}

#[test]
fn podman_runs_what_was_published() {
    if !Podman::is_available() {
        return;
    }
    let (bench, buildpack) = bench();
    let registry = Registry::start(Options::default()).expect("a registry");
    let name = format!("{}/team/app:v1", registry.host());
    bench
        .cnb([
            "build",
            "app",
            "--image",
            &name,
            "--publish",
            "--buildpack",
            buildpack.to_str().expect("UTF-8"),
        ])
        .expect(0);
    let engine = Podman::start().expect("podman");
    engine.podman(&["pull", "--tls-verify=false", &name]);
    assert_eq!(engine.podman(&["run", "--rm", "--network", "host", &name]), "the page\nport none\n");
    bench.assert_nothing_is_left();
}
