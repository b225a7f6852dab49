//! Reads `docker-archive` files: what `docker save`, `podman save` and skopeo write.
//!
//! `manifest.json` names the config and the layers of each image. A layer is a plain or compressed tar,
//! `<id>/layer.tar` or any other name, and the same layer of another image may be a link to it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnb_fs::{FsError, HostPath};
use cnb_spec::digest::{DiffId, Digest};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::{Descriptor, ImageConfig};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::parts::{Part, Parts};
use crate::ImageError;
use crate::compress::unpacked;
use crate::image::{BlobSource, Image, ImageLayer, from_bytes};
use crate::media::{Compression, Family};

/// A Docker archive that is open.
#[derive(Debug)]
pub struct DockerArchive {
    file: Arc<File>,
    path: PathBuf,
    parts: Parts,
    images: Vec<Entry>,
}

/// An image in `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// An image of the archive: its config, and for each layer its diffID and where it is.
struct Contents {
    config: ImageConfig,
    config_bytes: Vec<u8>,
    layers: Vec<(DiffId, Part)>,
}

impl DockerArchive {
    /// Reads what the archive has; `path` is what errors name.
    ///
    /// # Errors
    /// When the file is no tar, is cut off, or has no readable `manifest.json`.
    pub fn open(file: File, path: &Path) -> Result<Self, ImageError> {
        let parts = Parts::scan(&file, path)?;
        let manifest = parts.find(Path::new("manifest.json")).ok_or_else(|| ImageError::NotAnArchive {
            file: path.to_path_buf(),
            reason: "it has no file `manifest.json`".to_owned(),
        })?;
        let manifest = manifest.document("Docker manifest", &file, path)?;
        let name = format!("{}: manifest.json", path.display());
        let images = from_bytes("Docker manifest", &name, &manifest)?;
        Ok(Self { file: Arc::new(file), path: path.to_path_buf(), parts, images })
    }

    /// Opens the uncompressed tar of a layer, `None` if no image of the archive has it; it is not verified.
    pub fn layer(&self, diff_id: &DiffId) -> Result<Option<Box<dyn Read + Send>>, ImageError> {
        for entry in &self.images {
            let contents = self.contents(entry)?;
            if let Some((_, part)) = contents.layers.iter().find(|(found, _)| found == diff_id) {
                let packed = self.compression(*part)?;
                let blob = Box::new(part.reader(Arc::clone(&self.file)));
                return Ok(Some(unpacked(blob, packed).map_err(FsError::on("read", &self.path))?));
            }
        }
        Ok(None)
    }

    /// Finds the image called `name`, or the only one if there is no name.
    fn find(&self, name: Option<&str>) -> Result<&Entry, ImageError> {
        let tags = |entry: &'_ Entry| entry.repo_tags.clone().unwrap_or_default();
        let is_wanted = |tag: &String, name: &str| {
            let read = |text: &str| text.parse::<ImageRef>().ok();
            tag == name || read(tag).zip(read(name)).is_some_and(|(a, b)| a == b)
        };
        let found = self
            .images
            .iter()
            .find(|e| name.is_none_or(|name| tags(e).iter().any(|tag| is_wanted(tag, name))));
        match found {
            Some(entry) if name.is_some() || self.images.len() == 1 => Ok(entry),
            _ => {
                let all: Vec<String> = self.images.iter().flat_map(tags).collect();
                Err(ImageError::NotFound {
                    name: name.unwrap_or("any").to_owned(),
                    place: self.path.clone(),
                    hint: (!all.is_empty()).then(|| format!("it has {}", all.join(", "))),
                })
            }
        }
    }

    fn contents(&self, entry: &Entry) -> Result<Contents, ImageError> {
        let part = |name: &str| {
            self.parts.find(Path::new(name)).ok_or_else(|| ImageError::NotAnArchive {
                file: self.path.clone(),
                reason: format!("its `manifest.json` names `{name}`, which is missing"),
            })
        };
        let config_bytes = part(&entry.config)?.document("config", &self.file, &self.path)?;
        let config: ImageConfig = from_bytes("config", &entry.config, &config_bytes)?;
        let names = entry.layers.as_deref().unwrap_or_default();
        let (layers, diff_ids) = (names.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(ImageError::LayerCount { layers, diff_ids });
        }
        let layers = config.rootfs.diff_ids.iter().zip(names);
        let layers = layers
            .map(|(diff_id, name)| Ok::<_, ImageError>((*diff_id, part(name)?)))
            .collect::<Result<_, _>>()?;
        Ok(Contents { config, config_bytes, layers })
    }

    /// Looks at the first bytes of a layer.
    fn compression(&self, part: Part) -> Result<Compression, ImageError> {
        let mut magic = Vec::new();
        let file: &File = self.file.borrow();
        part.reader(file).take(4).read_to_end(&mut magic).map_err(FsError::on("read", &self.path))?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            _ => Compression::None,
        })
    }

    /// Returns the digest of a layer's blob: that of a plain tar is known, a compressed one is read.
    fn digest(&self, diff_id: DiffId, part: Part, packed: Compression) -> Result<Digest, ImageError> {
        if packed == Compression::None {
            return Ok(Digest::from_bytes(*diff_id.as_bytes()));
        }
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let file: &File = self.file.borrow();
        let mut reader = part.reader(file);
        loop {
            match reader.read(&mut buffer).map_err(FsError::on("read", &self.path))? {
                0 => return Ok(Digest::from_bytes(hash.finalize().into())),
                count => hash.update(&buffer[..count]),
            }
        }
    }
}

/// Returns the names of all images of a Docker archive.
pub fn docker_names(file: &HostPath) -> Result<Vec<String>, ImageError> {
    let path = file.as_path();
    let archive = DockerArchive::open(File::open(path).map_err(FsError::on("read", path))?, path)?;
    Ok(archive.images.into_iter().flat_map(|image| image.repo_tags.unwrap_or_default()).collect())
}

/// Reads the image called `name` (the only one, if there is no name) from a Docker archive.
///
/// Its config, and so its image ID, is the archive's own; the manifest is made, as the archive has none.
///
/// # Errors
/// Also when there are several images and no name.
pub fn read_docker(file: &HostPath, name: Option<&str>) -> Result<Image, ImageError> {
    let path = file.as_path();
    let archive = DockerArchive::open(File::open(path).map_err(FsError::on("read", path))?, path)?;
    let contents = archive.contents(archive.find(name)?)?;
    let mut seen = BTreeMap::new();
    let mut layers = Vec::new();
    for (diff_id, part) in contents.layers {
        let packed = archive.compression(part)?;
        let digest = match seen.get(&part.offset) {
            Some(digest) => *digest,
            None => archive.digest(diff_id, part, packed)?,
        };
        seen.insert(part.offset, digest);
        layers.push(ImageLayer {
            descriptor: Descriptor::new(Family::Docker.layer(packed), part.size, digest),
            diff_id,
            blob: BlobSource::Part { file: file.clone(), offset: part.offset },
        });
    }
    Image::with_manifest(Family::Docker, contents.config, contents.config_bytes, layers)
}
