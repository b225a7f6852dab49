//! Images of several layers and several platforms, as values.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::big::BigLayer;
use super::{gzip, tree};
use crate::digest::digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layer of an image.
#[derive(Clone, Debug)]
pub enum Layer {
    /// What is in a directory, as an uncompressed tar.
    Tree(PathBuf),
    /// Files by path, as a gzipped tar: its digest is not its diff ID.
    Files(Vec<(String, String)>),
    /// One file of any length.
    Big(BigLayer),
}

/// An image to be made.
#[derive(Clone, Debug)]
pub struct Image {
    /// Operating system and architecture.
    pub platform: (String, String),
    /// What the image's config holds: `Env`, `User`, `Labels` and so on.
    pub config: Value,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Bytes(Vec<u8>),
    Big(BigLayer),
}

/// The blobs of an image, by digest, and the descriptor of its manifest or index, the last of them.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) blobs: Vec<(String, Source)>,
    pub(crate) manifests: Vec<(Value, Vec<u8>)>,
}

impl Image {
    /// Returns an image for Linux on this machine's architecture, with an empty config.
    pub fn new(layers: Vec<Layer>) -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { platform: ("linux".to_owned(), architecture.to_owned()), config: json!({}), layers }
    }

    /// Makes layers, config and manifest.
    pub(crate) fn make(&self) -> io::Result<Made> {
        let (mut blobs, mut layers, mut diff_ids) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &self.layers {
            let (media_type, name, diff_id, size, source) = match layer {
                Layer::Tree(dir) => {
                    let tar = tree::tar_of(dir)?;
                    (TAR, digest(&tar), digest(&tar), tar.len() as u64, Source::Bytes(tar))
                }
                Layer::Files(files) => {
                    let tar = tree::tar_of_files(files)?;
                    let zipped = gzip::store(&tar);
                    (TAR_GZIP, digest(&zipped), digest(&tar), zipped.len() as u64, Source::Bytes(zipped))
                }
                Layer::Big(big) => {
                    let name = big.digest()?;
                    (TAR, name.clone(), name, big.size(), Source::Big(big.clone()))
                }
            };
            layers.push(json!({"mediaType": media_type, "digest": name, "size": size}));
            diff_ids.push(diff_id);
            blobs.push((name, source));
        }
        let history: Vec<Value> = self.layers.iter().map(|_| json!({"created_by": "test"})).collect();
        let config = json!({
            "architecture": self.platform.1,
            "os": self.platform.0,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        let config = config.to_string().into_bytes();
        let descriptor = descriptor(CONFIG, &config);
        blobs.push((digest(&config), Source::Bytes(config)));
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": layers});
        let manifest = manifest.to_string().into_bytes();
        Ok(Made { blobs, manifests: vec![(self::descriptor(MANIFEST, &manifest), manifest)] })
    }
}

/// Makes images of several platforms and their index, which comes last.
pub(crate) fn make_index(images: &[Image]) -> io::Result<Made> {
    let mut all = Made { blobs: Vec::new(), manifests: Vec::new() };
    for image in images {
        let made = image.make()?;
        all.blobs.extend(made.blobs);
        for (mut descriptor, manifest) in made.manifests {
            descriptor["platform"] = json!({"os": image.platform.0, "architecture": image.platform.1});
            all.manifests.push((descriptor, manifest));
        }
    }
    let children: Vec<&Value> = all.manifests.iter().map(|(descriptor, _)| descriptor).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
    all.manifests.push((descriptor(INDEX, index.as_bytes()), index.into_bytes()));
    Ok(all)
}

/// Writes what was made as an OCI layout; returns the digest of its one manifest or index.
pub(super) fn write(layout: &Path, made: &Made) -> io::Result<String> {
    let blobs = layout.join("blobs/sha256");
    fs_err::create_dir_all(&blobs)?;
    let path = |name: &str| layout.join("blobs").join(name.replace(':', "/"));
    for (name, source) in &made.blobs {
        match source {
            Source::Bytes(bytes) => fs_err::write(path(name), bytes)?,
            Source::Big(big) => {
                io::copy(&mut big.open(0), &mut fs_err::File::create(path(name))?)?;
            }
        }
    }
    for (_, manifest) in &made.manifests {
        fs_err::write(path(&digest(manifest)), manifest)?;
    }
    let Some((last, bytes)) = made.manifests.last() else { return Err(io::Error::other("no image")) };
    fs_err::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [last]}).to_string())?;
    fs_err::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(digest(bytes))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}
