//! The buildpack as a platform runs it, and the server that it leaves in the layer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cnb_buildpack::trial::Trial;

fn trial(dir: &Path, fixture: &str) -> Trial {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trial =
        Trial::new(dir, manifest, Path::new(env!("CARGO_BIN_EXE_buildpack-static")), [].into()).unwrap();
    trial.use_app(&manifest.join("tests/fixtures").join(fixture)).unwrap();
    trial
}

#[test]
fn a_site_is_served_by_a_server_in_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial(dir.path(), "site");
    assert!(trial.detect().unwrap().success);
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    let launch = fs_err::read_to_string(trial.layers_dir().join("launch.toml")).unwrap();
    assert!(launch.contains(r#"command = ["static-server", "--root", "public"]"#), "{launch}");
    assert!(trial.layers_dir().join("server/bin/static-server").is_file());
    assert!(trial.layers_dir().join("server.sbom.cdx.json").is_file());
}

#[test]
fn the_second_build_reuses_the_server_without_its_contents() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial(dir.path(), "site");
    assert!(trial.build().unwrap().success);
    let first = fs_err::read_to_string(trial.layers_dir().join("server.toml")).unwrap();
    trial.restore().unwrap();
    assert!(trial.build().unwrap().success);
    assert_eq!(fs_err::read_to_string(trial.layers_dir().join("server.toml")).unwrap(), first);
    assert!(!trial.layers_dir().join("server").exists());
}

#[test]
fn an_app_without_an_index_is_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = trial(dir.path(), "none").detect().unwrap();
    assert_eq!(outcome.status, "exit status: 100");
    assert!(outcome.output.starts_with("would need: an `index.html`"), "{}", outcome.output);
}

/// A server that is ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let program = dir.join("static-server");
        fs_err::os::unix::fs::symlink(env!("CARGO_BIN_EXE_buildpack-static"), &program).unwrap();
        let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/site/public");
        let mut child = Command::new(program)
            .arg("--root")
            .arg(site)
            .args(more)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self { child, port }
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn check(answer: &str, status: &str, contains: &[&str]) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    for part in contains {
        assert!(answer.contains(part), "`{part}` in {answer}");
    }
}

#[test]
fn files_are_served_with_type_and_tag() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    check(&server.get("/", ""), "200", &["text/html", "<h1>Hello", "ETag: \""]);
    check(&server.get("/style.css?v=1", ""), "200", &["text/css"]);
    check(&server.get("/about", ""), "200", &["About"]);
    check(&server.get("/docs", ""), "301", &["Location: /docs/\r\n"]);
    check(&server.get("/docs/", ""), "200", &["Docs"]);
    check(&server.get("/nothing.png", ""), "404", &["Not here"]);
    check(
        &server.get("/style.css", "Range: bytes=0-3\r\n"),
        "206",
        &["Content-Range: bytes 0-3/", "\r\n\r\nbody"],
    );
    let head = server.send("HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n");
    check(&head, "200", &["Content-Length: "]);
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_client_that_has_the_file_gets_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let answer = server.get("/style.css", "");
    let tag = answer.lines().find_map(|l| l.strip_prefix("ETag: ")).unwrap();
    check(&server.get("/style.css", &format!("If-None-Match: {tag}\r\n")), "304", &[]);
    check(&server.get("/style.css", "If-None-Match: \"other\"\r\n"), "200", &[]);
}

#[test]
fn nothing_outside_and_nothing_hidden_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/.secret", "/docs/../.secret", "/out/hostname"] {
        check(&server.get(path, ""), "404", &[]);
    }
    check(&server.send("POST / HTTP/1.1\r\n\r\n"), "405", &["Allow: GET, HEAD"]);
    check(&server.send("nonsense\r\n\r\n"), "400", &[]);
}

#[test]
fn a_single_page_application_gets_its_index_for_every_page() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--spa"]);
    check(&server.get("/users/7", ""), "200", &["<h1>Hello"]);
    check(&server.get("/missing.js", ""), "404", &[]);
}

#[test]
fn sigterm_ends_the_server_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &[]);
    let idle = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let kill = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    drop(idle);
}
