//! Images that the tests load.

use std::path::Path;

use cnb_fs::{HostPath, Owner};
use cnb_image::media::Family;
use cnb_image::{BlobStore, Content, Entry, Image, ImageLayer, LayerSource, make_layers};
use cnb_spec::oci::{History, ImageConfig, RuntimeConfig};

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const TIME: &str = "1980-01-01T00:00:01Z";

/// A store of blobs for one test.
pub(crate) fn store(dir: &Path) -> BlobStore {
    BlobStore::open(&HostPath::absolute(dir)).unwrap()
}

/// Makes a layer with one file, which is called like its text.
pub(crate) fn layer(store: &BlobStore, text: &str) -> ImageLayer {
    let content = Content::Bytes(text.as_bytes().into());
    let source = LayerSource::Entries(vec![Entry::file(format!("/{text}"), 0o644, ROOT, content)]);
    ImageLayer::made(store, &make_layers(store, &[source], 1).unwrap()[0])
}

/// Returns a config that has everything an engine keeps, with one step of history for each layer.
pub(crate) fn config(steps: &[&str]) -> ImageConfig {
    ImageConfig {
        architecture: "amd64".to_owned(),
        author: "somebody".to_owned(),
        os: "linux".to_owned(),
        created: TIME.to_owned(),
        history: steps
            .iter()
            .map(|step| History {
                created: TIME.to_owned(),
                created_by: (*step).to_owned(),
                ..History::default()
            })
            .collect(),
        config: RuntimeConfig {
            cmd: vec!["serve".to_owned()],
            entrypoint: vec!["/cnb/process/web".to_owned()],
            env: vec!["PATH=/cnb/process:/bin".to_owned(), "CNB_LAYERS_DIR=/layers".to_owned()],
            labels: [("z", "<&>"), ("io.buildpacks.project.metadata", "{}")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            user: "1000:1000".to_owned(),
            volumes: ["/data".to_owned()].into(),
            working_dir: "/workspace".to_owned(),
            exposed_ports: ["8080/tcp".to_owned()].into(),
            stop_signal: "SIGINT".to_owned(),
            ..RuntimeConfig::default()
        },
        ..ImageConfig::default()
    }
}

/// Returns an image with a layer for each text.
pub(crate) fn image(store: &BlobStore, texts: &[&str]) -> Image {
    let layers = texts.iter().map(|text| layer(store, text)).collect();
    Image::assemble(Family::Oci, config(texts), layers).unwrap()
}
