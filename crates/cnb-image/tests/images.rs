//! Images in layouts, archives and the store: written, read back, damaged, collected.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use cnb_fs::{HostPath, Owner};
use cnb_image::media::Family;
use cnb_image::{
    BlobStore, Content, Destination, Entry, Image, ImageError, ImageLayer, ImageStore, LayerSource, Layout,
    Mismatch, archive, make_layers, validate,
};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::{History, ImageConfig, Platform};

const ROOT: Owner = Owner { uid: 0, gid: 0 };

fn host(dir: &Path, name: &str) -> HostPath {
    HostPath::absolute(dir.join(name))
}

fn name(text: &str) -> ImageRef {
    text.parse().unwrap()
}

/// Returns an image with one layer for each text, and the same history.
fn image(store: &BlobStore, family: Family, architecture: &str, texts: &[&str]) -> Image {
    let sources: Vec<LayerSource<'_>> = texts
        .iter()
        .map(|text| {
            let content = Content::Bytes(text.as_bytes().into());
            LayerSource::Entries(vec![Entry::file(format!("/{text}"), 0o644, ROOT, content)])
        })
        .collect();
    let layers =
        make_layers(store, &sources, 2).unwrap().iter().map(|m| ImageLayer::made(store, m)).collect();
    let config = ImageConfig {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        created: "1980-01-01T00:00:01Z".to_owned(),
        history: texts
            .iter()
            .map(|t| History { created_by: (*t).to_owned(), ..History::default() })
            .collect(),
        ..ImageConfig::default()
    };
    Image::assemble(family, config, layers).unwrap()
}

#[test]
fn what_is_written_to_a_layout_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&host(dir.path(), "blobs")).unwrap();
    for family in [Family::Oci, Family::Docker] {
        let image = image(&blobs, family, "amd64", &["a", "b"]);
        let out = host(dir.path(), &format!("{family:?}"));
        Destination::Layout { dir: out.clone(), tag: None }.write(&image, &[name("app:v1")]).unwrap();
        let layout = Layout::open(&out).unwrap();
        let found = layout.find(Some("v1"), None).unwrap();
        assert_eq!((found.id(), found.family()), (image.id(), Family::Oci));
        assert_eq!(found.digest() == image.digest(), family == Family::Oci);
        assert_eq!(validate(&found), []);
        let error = layout.find(Some("v2"), None).unwrap_err().to_string();
        assert_eq!(error, format!("there is no image `v2` in `{out}`: it has v1"));
    }
}

#[test]
fn a_layout_holds_nothing_that_is_only_ours() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&host(dir.path(), "blobs")).unwrap();
    let out = host(dir.path(), "out");
    let image = image(&blobs, Family::Oci, "amd64", &["a"]);
    Destination::Layout { dir: out.clone(), tag: None }.write(&image, &[name("app")]).unwrap();
    let mut names: Vec<_> = fs_err::read_dir(out.as_path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn annotations_stay_with_the_image_in_another_family_and_with_other_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&host(dir.path(), "blobs")).unwrap();
    let plain = image(&blobs, Family::Docker, "amd64", &["a"]);
    let annotations: std::collections::BTreeMap<_, _> = [("vendor".to_owned(), "me".to_owned())].into();
    let image = plain.clone().with_annotations(annotations.clone()).unwrap();
    assert_eq!(image.id(), plain.id());
    assert_ne!(image.digest(), plain.digest());
    for other in [image.in_family(Family::Oci), image.with_layers(image.layers().to_vec())] {
        assert_eq!(other.unwrap().manifest().annotations, annotations);
    }
}

#[test]
fn the_image_for_the_platform_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(&host(dir.path(), "l")).unwrap();
    for architecture in ["amd64", "arm64"] {
        layout
            .write(&image(layout.store(), Family::Oci, architecture, &[architecture]), architecture)
            .unwrap();
    }
    let platform = |architecture: &str| Platform {
        architecture: architecture.into(),
        os: "linux".into(),
        ..Platform::default()
    };
    let found = layout.find(None, Some(&platform("arm64"))).unwrap();
    assert_eq!(found.config().architecture, "arm64");
    let error = layout.find(None, Some(&platform("s390x"))).unwrap_err().to_string();
    assert!(error.ends_with("is for `linux/s390x`: it has linux/amd64, linux/arm64"), "{error}");
    assert!(matches!(layout.find(None, None), Err(ImageError::NoPlatform { .. })));
}

#[test]
fn a_folder_that_is_no_layout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Layout::open(&host(dir.path(), "none")).unwrap_err().to_string();
    assert!(error.contains("is not an OCI layout: it has no file `oci-layout`"), "{error}");
    fs_err::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = Layout::open(&HostPath::absolute(dir.path())).unwrap_err().to_string();
    assert!(error.contains("its version is 2.0.0"), "{error}");
}

#[test]
fn an_archive_is_read_back_without_copying_layers() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&host(dir.path(), "blobs")).unwrap();
    let image = image(&blobs, Family::Oci, "amd64", &["a", "b", "a"]);
    let file = host(dir.path(), "out/image.tar");
    archive::write_oci(&file, &image, &[name("me/app:v1")]).unwrap();
    let found = archive::read_oci(&file, Some("docker.io/me/app:v1"), None).unwrap();
    assert_eq!(found.digest(), image.digest());
    assert_eq!(validate(&found), []);
    let copied = found.store(&BlobStore::open(&host(dir.path(), "copy")).unwrap()).unwrap();
    assert_eq!(validate(&copied), []);
    archive::write_oci(&file, &image, &[]).unwrap();
    assert_eq!(
        std::fs::read_dir(dir.path().join("out")).unwrap().count(),
        1,
        "nothing is left beside the archive"
    );
    let error = archive::read_oci(&host(dir.path(), "none.tar"), None, None).unwrap_err();
    assert!(error.to_string().starts_with("failed to read `"), "{error}");
}

#[test]
fn a_docker_archive_has_both_kinds_of_index() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(&host(dir.path(), "blobs")).unwrap();
    let image = image(&blobs, Family::Oci, "amd64", &["a"]);
    let file = host(dir.path(), "image.tar");
    archive::write_docker(&file, &image, &[name("app:v1"), name("r.io/app")]).unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(file.as_path()).unwrap());
    let mut manifest = None;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path().unwrap().as_os_str() == "manifest.json" {
            manifest = Some(serde_json::from_reader::<_, serde_json::Value>(entry).unwrap());
        }
    }
    let manifest = manifest.unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["app:v1", "r.io/app:latest"]));
    assert_eq!(manifest[0]["Config"], format!("blobs/sha256/{}", image.manifest().config.digest.hex()));
    assert_eq!(
        manifest[0]["Layers"][0],
        format!("blobs/sha256/{}", image.layers()[0].descriptor.digest.hex())
    );
    assert_eq!(archive::read_oci(&file, Some("v1"), None).unwrap().digest(), image.digest());
}

#[test]
fn names_are_canonical_in_the_store_and_shown_as_typed() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&host(dir.path(), "images")).unwrap();
    let session = store.session(|| {}).unwrap();
    let first = image(store.blobs(), Family::Oci, "amd64", &["a"]);
    store.put(&session, &first, &[name("app"), name("r.io/x/app:v1")]).unwrap();
    let second = image(store.blobs(), Family::Oci, "amd64", &["a", "b"]);
    store.put(&session, &second, &[name("docker.io/library/app:latest")]).unwrap();
    let listed: Vec<_> = store.list().unwrap().into_iter().map(|s| (s.typed, s.digest)).collect();
    assert_eq!(
        listed,
        [
            ("docker.io/library/app:latest".to_owned(), second.digest()),
            ("r.io/x/app:v1".to_owned(), first.digest())
        ]
    );
    assert_eq!(store.get(&name("app")).unwrap().unwrap().digest(), second.digest());
    let by_digest = name("r.io/x/app").with_digest(first.digest());
    assert_eq!(store.get(&by_digest).unwrap().unwrap().digest(), first.digest());
    assert_eq!(store.get(&name("app").with_digest(first.digest())).unwrap(), None);
    assert!(store.tag(&name("app"), &name("other")).unwrap());
    assert!(store.untag(&name("app")).unwrap());
    assert!(!store.untag(&name("app")).unwrap());
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn garbage_is_what_no_name_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&host(dir.path(), "images")).unwrap();
    let session = store.session(|| {}).unwrap();
    let kept =
        store.put(&session, &image(store.blobs(), Family::Oci, "amd64", &["a"]), &[name("kept")]).unwrap();
    let gone = store
        .put(&session, &image(store.blobs(), Family::Oci, "amd64", &["a", "b"]), &[name("gone")])
        .unwrap();
    drop(session);
    store.untag(&name("gone")).unwrap();
    let collected = store.gc(|| {}).unwrap();
    // The second layer, the config and the manifest.
    assert_eq!(collected.blobs, 3);
    assert_eq!(validate(&store.get(&name("kept")).unwrap().unwrap()), []);
    assert_eq!(store.blobs().known(&gone.layers()[1].diff_id), None);
    assert!(store.blobs().known(&kept.layers()[0].diff_id).is_some());
    assert_eq!(store.gc(|| {}).unwrap().blobs, 0);
}

#[test]
fn garbage_is_not_collected_while_a_build_makes_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&host(dir.path(), "images")).unwrap();
    let session = store.session(|| {}).unwrap();
    let made = image(store.blobs(), Family::Oci, "amd64", &["a"]);
    let (said, hears) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| store.gc(|| said.send(()).unwrap()).unwrap());
        hears.recv().unwrap();
        store.put(&session, &made, &[name("app")]).unwrap();
        drop(session);
        assert_eq!(collecting.join().unwrap().blobs, 0);
    });
    assert_eq!(validate(&store.get(&name("app")).unwrap().unwrap()), []);
}

#[test]
fn damage_is_found_and_all_of_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&host(dir.path(), "images")).unwrap();
    let session = store.session(|| {}).unwrap();
    let image = store
        .put(&session, &image(store.blobs(), Family::Oci, "amd64", &["a", "b"]), &[name("app")])
        .unwrap();
    let path = |n: usize| store.blobs().path(&image.layers()[n].descriptor.digest);
    let mut bytes = fs_err::read(path(0).as_path()).unwrap();
    bytes.push(0);
    fs_err::write(path(0).as_path(), &bytes).unwrap();
    fs_err::remove_file(path(1).as_path()).unwrap();
    let found = validate(&image);
    assert!(found.iter().any(|m| matches!(m, Mismatch::Size { number: 1, .. })), "{found:?}");
    assert!(found.iter().any(|m| matches!(m, Mismatch::Digest { number: 1, .. })), "{found:?}");
    assert!(found.iter().any(|m| matches!(m, Mismatch::Unreadable { number: 2, .. })), "{found:?}");
    let error = Destination::OciArchive { file: host(dir.path(), "x.tar"), name: None }
        .write(&image, &[])
        .unwrap_err();
    let digest = image.layers()[0].descriptor.digest.to_string();
    assert!(error.to_string().contains(&digest), "{error}");
    assert!(!dir.path().join("x.tar").exists());

    let config = store.blobs().path(&image.manifest().config.digest);
    fs_err::write(config.as_path(), "{}").unwrap();
    let error = store.get(&name("app")).unwrap_err().to_string();
    assert!(error.contains(&image.manifest().config.digest.to_string()), "{error}");
    assert!(store.list().unwrap()[0].details.is_err());
}
