//! Archives that others write: `docker save` old and new, skopeo, and broken ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use cnb_fs::{HostPath, Owner};
use cnb_image::media::{Compression, Family};
use cnb_image::{
    BlobStore, Content, Entry, Image, ImageError, ImageLayer, LayerSource, archive, make_layers, validate,
};
use cnb_spec::oci::ImageConfig;
use serde_json::json;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// Returns an image with a layer for each text.
fn image(dir: &Path, texts: &[&str]) -> Image {
    let store = BlobStore::open(&HostPath::absolute(dir.join("blobs"))).unwrap();
    let layer = |text: &&str| {
        let content = Content::Bytes(text.as_bytes().into());
        let source = LayerSource::Entries(vec![Entry::file(format!("/{text}"), 0o644, ROOT, content)]);
        ImageLayer::made(&store, &make_layers(&store, &[source], 1).unwrap()[0])
    };
    let config = ImageConfig { os: "linux".to_owned(), ..ImageConfig::default() };
    Image::assemble(Family::Docker, config, texts.iter().map(layer).collect()).unwrap()
}

/// Returns the uncompressed tar of a layer.
fn tar_of(image: &Image, layer: usize) -> Vec<u8> {
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut image.layers()[layer].open_tar().unwrap(), &mut tar).unwrap();
    tar
}

/// An archive that a test puts together.
struct Draft(tar::Builder<Vec<u8>>);

impl Draft {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn file(mut self, name: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        self.0.append_data(&mut header, name, content).unwrap();
        self
    }

    fn link(mut self, name: &str, target: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        self.0.append_link(&mut header, name, target).unwrap();
        self
    }

    fn manifest(self, images: &serde_json::Value) -> Self {
        self.file("manifest.json", images.to_string().as_bytes())
    }

    /// Writes it, less the last `cut` bytes.
    fn write(self, dir: &Path, cut: usize) -> HostPath {
        let path = dir.join("archive.tar");
        let bytes = self.0.into_inner().unwrap();
        fs_err::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        HostPath::absolute(path)
    }
}

#[track_caller]
fn refused(file: &HostPath, name: Option<&str>, expected: &str) {
    let error = archive::read(file, name, None).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_layer_may_be_a_link_to_that_of_another_image() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), &["a", "b", "a"]);
    let file = Draft::new()
        .file("one/VERSION", b"1.0")
        .file("one/layer.tar", &tar_of(&image, 0))
        .link("three/layer.tar", "../one/layer.tar")
        .file("two/layer.tar", &tar_of(&image, 1))
        .file("c.json", image.config_bytes())
        .manifest(&json!([{
            "Config": "c.json",
            "RepoTags": ["app:v1"],
            "Layers": ["one/layer.tar", "two/layer.tar", "three/layer.tar"]
        }]))
        .file("repositories", b"{}")
        .write(dir.path(), 0);
    for name in [None, Some("app:v1"), Some("docker.io/library/app:v1")] {
        let found = archive::read(&file, name, None).unwrap();
        assert_eq!((found.id(), found.family()), (image.id(), Family::Docker));
        assert_eq!(validate(&found), []);
        assert_eq!(found.layers()[0].compression().unwrap(), Compression::None);
    }
    refused(&file, Some("app:v2"), "archive.tar`: it has app:v1");
}

#[test]
fn layers_may_be_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), &["a", "b"]);
    let blob = |n: usize| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut image.layers()[n].open().unwrap(), &mut bytes).unwrap();
        bytes
    };
    let zstd = zstd::encode_all(tar_of(&image, 1).as_slice(), 1).unwrap();
    let file = Draft::new()
        .file("c.json", image.config_bytes())
        .file("./0.tar.gz", &blob(0))
        .file("1", &zstd)
        .manifest(&json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["0.tar.gz", "1"] }]))
        .write(dir.path(), 0);
    let found = archive::read(&file, None, None).unwrap();
    assert_eq!(found.id(), image.id());
    assert_eq!(validate(&found), []);
    let packed: Vec<_> = found.layers().iter().map(|l| l.compression().unwrap()).collect();
    assert_eq!(packed, [Compression::Gzip, Compression::Zstd]);
    assert_eq!(found.layers()[0].descriptor.digest, image.layers()[0].descriptor.digest);
}

#[test]
fn one_of_several_images_is_chosen_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let images = [image(dir.path(), &["a"]), image(dir.path(), &["b"])];
    let draft = images.iter().enumerate().fold(Draft::new(), |draft, (n, image)| {
        draft.file(&format!("{n}.json"), image.config_bytes()).file(&format!("{n}.tar"), &tar_of(image, 0))
    });
    let entry = |n: usize, name: &str| json!({ "Config": format!("{n}.json"), "RepoTags": [name], "Layers": [format!("{n}.tar")] });
    let file = draft.manifest(&json!([entry(0, "a:1"), entry(1, "r.io/b:2")])).write(dir.path(), 0);
    assert_eq!(archive::read(&file, Some("r.io/b:2"), None).unwrap().id(), images[1].id());
    refused(&file, None, "archive.tar`: it has a:1, r.io/b:2");
}

#[test]
fn damage_is_found_when_a_layer_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), &["a"]);
    let mut tar = tar_of(&image, 0);
    tar[600] ^= 1;
    let file = Draft::new()
        .file("c.json", image.config_bytes())
        .file("l.tar", &tar)
        .manifest(&json!([{ "Config": "c.json", "Layers": ["l.tar"] }]))
        .write(dir.path(), 0);
    let found = archive::read(&file, None, None).unwrap();
    assert!(!validate(&found).is_empty());
    let read = std::io::copy(&mut found.layers()[0].open().unwrap(), &mut std::io::sink());
    assert!(read.unwrap_err().to_string().contains("is damaged"));
}

#[test]
fn what_is_no_archive_of_images_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), &["a"]);
    let layer = tar_of(&image, 0);
    let draft = || Draft::new().file("c.json", image.config_bytes());
    let entry = |layers: &[&str]| json!([{ "Config": "c.json", "Layers": layers }]);

    let file = draft().write(dir.path(), 0);
    refused(&file, None, "it has neither a file `oci-layout` nor a file `manifest.json`");
    let file = draft().manifest(&entry(&["l.tar"])).write(dir.path(), 0);
    refused(&file, None, "its `manifest.json` names `l.tar`, which is missing");
    let file = draft().link("l.tar", "../../etc/passwd").manifest(&entry(&["l.tar"])).write(dir.path(), 0);
    refused(&file, None, "its `manifest.json` names `l.tar`, which is missing");
    let file = draft().link("l", "k").link("k", "l").manifest(&entry(&["l"])).write(dir.path(), 0);
    refused(&file, None, "its `manifest.json` names `l`, which is missing");
    let file = draft().manifest(&entry(&[])).write(dir.path(), 0);
    refused(&file, None, "the manifest has 0 layers, but the config has 1 diffIDs");
    // The end of the tar and some of the layer.
    let file = draft().manifest(&entry(&["l.tar"])).file("l.tar", &layer).write(dir.path(), 1024 + 100);
    refused(&file, None, "it ends within `l.tar`");
    fs_err::write(file.as_path(), [0x1f, 0x8b, 8, 0]).unwrap();
    refused(&file, None, "it is compressed as a whole; unpack it with `gunzip` first");
    let file = Draft::new().manifest(&json!({ "schemaVersion": 2 })).write(dir.path(), 0);
    assert!(matches!(archive::read(&file, None, None), Err(ImageError::Parse { .. })));
}

#[test]
fn an_archive_of_both_kinds_is_read_as_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), &["a"]).in_family(Family::Oci).unwrap();
    let file = HostPath::absolute(dir.path().join("both.tar"));
    archive::write_docker(&file, &image, &["app:v1".parse().unwrap()]).unwrap();
    assert_eq!(archive::read(&file, None, None).unwrap().digest(), image.digest());
    assert_eq!(archive::read_docker(&file, Some("app:v1")).unwrap().id(), image.id());
}
