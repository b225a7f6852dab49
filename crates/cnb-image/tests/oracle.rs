//! skopeo and umoci accept what we write, and we read what they write.
//!
//! Without the tools these tests say that they are skipped; with `CI=true` that is a failure.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use cnb_fs::{HostPath, Owner};
use cnb_image::media::Family;
use cnb_image::{
    BlobStore, Content, Destination, Entry, Image, ImageLayer, LayerSource, archive, make_layers, validate,
};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::ImageConfig;

const USER: Owner = Owner { uid: 0, gid: 0 };

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the gate decides whether a missing tool is a failure"
)]
fn has(tool: &str) -> bool {
    if Command::new(tool).arg("--version").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "{tool} is missing, and the gate needs it");
    println!("skipped: {tool} is not installed");
    false
}

fn image(dir: &Path, family: Family) -> Image {
    let store = BlobStore::open(&HostPath::absolute(dir.join("blobs"))).unwrap();
    let long = format!("/{}/file", "long-name".repeat(20));
    let entries = vec![
        Entry::dir("/app", 0o755, USER),
        Entry::file("/app/big", 0o644, USER, Content::Bytes(vec![7; 3 << 20].into())),
        Entry::file("/app/é", 0o600, USER, Content::Bytes(b"x".as_slice().into())),
        Entry::link("/app/link", "big", 0o777, USER),
        Entry::file(long, 0o644, USER, Content::Bytes(b"y".as_slice().into())),
    ];
    let sources = [LayerSource::Entries(entries), LayerSource::Entries(Vec::new())];
    let layers =
        make_layers(&store, &sources, 2).unwrap().iter().map(|m| ImageLayer::made(&store, m)).collect();
    let config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: "1980-01-01T00:00:01Z".to_owned(),
        ..ImageConfig::default()
    };
    Image::assemble(family, config, layers).unwrap()
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn skopeo_copies_every_form() {
    if !has("skopeo") {
        return;
    }
    let names: [ImageRef; 1] = ["me/app:v1".parse().unwrap()];
    for family in [Family::Oci, Family::Docker] {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), family);
        for (text, from) in [
            ("oci:out:v1", "oci:out:v1"),
            ("oci-archive:a.tar", "oci-archive:a.tar"),
            ("docker-archive:d.tar", "docker-archive:d.tar"),
        ] {
            Destination::parse(dir.path(), text).unwrap().write(&image, &names).unwrap();
            let mut inspect = Command::new("skopeo");
            let shown = run(inspect.args(["inspect", "--config", from]).current_dir(dir.path()));
            assert!(shown.contains(&image.layers()[0].diff_id.to_string()), "{from}: {shown}");
            let mut copy = Command::new("skopeo");
            run(copy.args(["copy", "--insecure-policy", from, "dir:copied"]).current_dir(dir.path()));
        }
    }
}

#[test]
fn umoci_unpacks_a_layout() {
    if !has("umoci") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), Family::Oci);
    Destination::parse(dir.path(), "oci:out:v1").unwrap().write(&image, &[]).unwrap();
    let mut umoci = Command::new("umoci");
    run(umoci.args(["unpack", "--rootless", "--image", "out:v1", "bundle"]).current_dir(dir.path()));
    let unpacked = dir.path().join("bundle/rootfs/app");
    assert_eq!(fs_err::read(unpacked.join("big")).unwrap(), vec![7; 3 << 20]);
    assert_eq!(fs_err::read(unpacked.join("é")).unwrap(), b"x");
    assert_eq!(std::fs::read_link(unpacked.join("link")).unwrap(), Path::new("big"));
}

#[test]
fn what_skopeo_writes_is_read() {
    if !has("skopeo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), Family::Oci);
    Destination::parse(dir.path(), "oci:out:v1").unwrap().write(&image, &[]).unwrap();
    for to in ["docker-archive:d.tar:me/app:v1", "oci-archive:o.tar"] {
        let mut skopeo = Command::new("skopeo");
        run(skopeo.args(["copy", "--insecure-policy", "oci:out:v1", to]).current_dir(dir.path()));
        let file = to.split(':').nth(1).unwrap();
        let found = archive::read(&HostPath::absolute(dir.path().join(file)), None, None).unwrap();
        assert_eq!(found.id(), image.id(), "{to}");
        assert_eq!(validate(&found), [], "{to}");
    }
}
