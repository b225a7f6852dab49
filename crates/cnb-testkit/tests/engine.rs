//! The engines start, take an image, and leave nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::peers::{available, run};
use cnb_testkit::scratch_layout;
use serde_json::json;

/// Makes a small image as a Docker archive; returns its path.
fn archive(dir: &Path) -> PathBuf {
    fs_err::create_dir_all(dir.join("tree/etc")).expect("a new directory");
    fs_err::write(dir.join("tree/etc/motd"), "hello\n").expect("a new file");
    scratch_layout(&dir.join("image"), &dir.join("tree"), &json!({})).expect("a new image");
    let to = "docker-archive:image.tar:example.test/some/app:v1";
    run("skopeo", &["--insecure-policy", "copy", "oci:image", to], dir);
    dir.join("image.tar")
}

/// Asks the API of an engine for its images.
fn images(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).expect("an engine");
    stream.write_all(b"GET /v1.40/images/json HTTP/1.0\r\nHost: engine\r\n\r\n").expect("an engine");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[track_caller]
fn assert_gone(folder: &Path) {
    assert!(!folder.exists());
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").expect("the mounts");
    assert!(!mounts.contains(folder.to_str().expect("UTF-8")), "{mounts}");
}

#[test]
fn dockerd_serves_its_api_and_leaves_nothing() {
    if !Dockerd::is_available() || !available(&["skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let engine = Dockerd::start().unwrap();
    assert!(engine.load(&archive).contains("example.test/some/app:v1"));
    assert!(images(engine.socket()).contains("example.test/some/app:v1"));
    let folder = engine.socket().parent().unwrap().to_owned();
    drop(engine);
    assert_gone(&folder);
}

#[test]
fn podman_serves_dockers_api_and_leaves_nothing() {
    if !Podman::is_available() || !available(&["skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let engine = Podman::serve().unwrap();
    assert_eq!(engine.load(&archive), "example.test/some/app:v1");
    let socket = engine.socket().unwrap();
    let images = images(&socket);
    assert!(images.contains("example.test/some/app:v1"), "{images}");
    drop(engine);
    assert_gone(socket.parent().unwrap());
}
