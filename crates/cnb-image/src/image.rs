//! An image as data: manifest, config, and layers that know where their bytes are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use cnb_fs::{FsError, HostPath};
use cnb_spec::digest::{DiffId, Digest, ImageId};
use cnb_spec::gojson;
use cnb_spec::oci::{Descriptor, ImageConfig, Manifest, Platform};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ImageError;
use crate::blob_store::{Blob, BlobStore, Verified, digest_of};
use crate::compress::unpacked;
use crate::layer::Made;
use crate::media::{self, Compression, Family};

/// Where the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobSource {
    /// A file of its own, in a store or a layout.
    File(HostPath),
    /// A part of a larger file: an archive.
    Part {
        /// The archive.
        file: HostPath,
        /// Where in it the blob starts.
        offset: u64,
    },
    /// A registry or an engine, which is asked when the bytes are needed.
    Remote(Remote),
}

/// A place outside the file system that gives blobs: a repository of a registry, or an image of an engine.
pub trait Origin: std::fmt::Debug + Send + Sync {
    /// Returns how errors name the place.
    fn place(&self) -> String;

    /// Returns registry and path of the repository, from which others of that registry can mount the blob.
    ///
    /// `None` for an engine: it knows layers by their diffIDs alone, so their descriptors have that as the
    /// digest, the media type of a plain tar, and no size.
    fn repository(&self) -> Option<(&str, &str)>;

    /// Opens the bytes of a blob; whoever reads them verifies them.
    ///
    /// When reading fails, the [`io::Error`] should hold an [`ImageError::Remote`], which names the place.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError>;
}

/// An [`Origin`], shared by the layers of an image.
#[derive(Clone, Debug)]
pub struct Remote(pub Arc<dyn Origin>);

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        self.0.place() == other.0.place()
    }
}

impl Eq for Remote {}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// The blob's media type, size and digest.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed layer.
    pub diff_id: DiffId,
    /// Where the blob is.
    pub blob: BlobSource,
}

impl ImageLayer {
    /// Takes a layer that was made in `store`.
    pub fn made(store: &BlobStore, made: &Made) -> Self {
        Self::stored(store, made.diff_id, made.blob)
    }

    /// Takes a gzip layer that is in `store`.
    pub fn stored(store: &BlobStore, diff_id: DiffId, blob: Blob) -> Self {
        let descriptor = Descriptor::new(Family::Oci.layer(Compression::Gzip), blob.size, blob.digest);
        Self { descriptor, diff_id, blob: BlobSource::File(store.path(&blob.digest)) }
    }

    /// Returns how the blob is packed.
    pub fn compression(&self) -> Result<Compression, ImageError> {
        media::compression(&self.descriptor.media_type).ok_or_else(|| ImageError::MediaType {
            what: "layer",
            media_type: self.descriptor.media_type.clone(),
        })
    }

    /// Returns whether the blob is there, with its size; its bytes are not looked at.
    ///
    /// A registry or engine is not asked: what an image of theirs names is taken to be there.
    pub fn is_present(&self) -> bool {
        let (BlobSource::File(file) | BlobSource::Part { file, .. }) = &self.blob else { return true };
        let Ok(metadata) = fs_err::metadata(file.as_path()) else { return false };
        match self.blob {
            BlobSource::Part { offset, .. } => {
                offset.checked_add(self.descriptor.size).is_some_and(|end| end <= metadata.len())
            }
            BlobSource::File(_) | BlobSource::Remote(_) => metadata.len() == self.descriptor.size,
        }
    }

    /// Opens the blob; its end is only reported once hash and size are right.
    pub fn open(&self) -> Result<Verified<Box<dyn Read + Send>>, ImageError> {
        let blob = self.blob.open(&self.descriptor)?;
        Ok(match &self.blob {
            BlobSource::Remote(remote) if remote.0.repository().is_none() => {
                Verified::of_any_size(blob, self.descriptor.digest)
            }
            _ => Verified::new(blob, &self.descriptor),
        })
    }

    /// Opens the uncompressed tar of the layer. The blob is verified, the tar's own digest is not.
    pub fn open_tar(&self) -> Result<Box<dyn Read + Send>, ImageError> {
        let compression = self.compression()?;
        let blob = Box::new(self.open()?);
        Ok(unpacked(blob, compression).map_err(FsError::on("read", &self.blob.place()))?)
    }
}

impl BlobSource {
    /// Returns what errors name: a file, or a remote place.
    pub(crate) fn place(&self) -> PathBuf {
        match self {
            Self::File(file) | Self::Part { file, .. } => file.as_path().to_path_buf(),
            Self::Remote(remote) => PathBuf::from(remote.0.place()),
        }
    }

    /// Opens the bytes as they are, not verified.
    pub fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
        let (file, offset) = match self {
            Self::File(file) => (file, None),
            Self::Part { file, offset } => (file, Some(*offset)),
            Self::Remote(remote) => return remote.0.open(descriptor),
        };
        let path = file.as_path();
        let mut file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => ImageError::Missing {
                digest: descriptor.digest,
                dir: path.parent().unwrap_or(path).to_path_buf(),
            },
            _ => FsError::on("read", path)(e).into(),
        })?;
        let Some(offset) = offset else { return Ok(Box::new(file)) };
        file.seek(SeekFrom::Start(offset)).map_err(FsError::on("read", path))?;
        Ok(Box::new(file.take(descriptor.size)))
    }
}

/// Gives the bytes of a document: a manifest, an index or a config.
pub type ReadDocument<'a> = dyn Fn(&'static str, &Descriptor) -> Result<Vec<u8>, ImageError> + 'a;

/// Tells where a blob is.
pub type Locate<'a> = dyn Fn(&Descriptor) -> Result<BlobSource, ImageError> + 'a;

/// An image whose documents and their bytes agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    family: Family,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    config: ImageConfig,
    config_bytes: Vec<u8>,
    layers: Vec<ImageLayer>,
}

impl Image {
    /// Puts an image together: diffIDs and media types follow `layers` and `family` (J35).
    pub fn assemble(
        family: Family,
        mut config: ImageConfig,
        layers: Vec<ImageLayer>,
    ) -> Result<Self, ImageError> {
        "layers".clone_into(&mut config.rootfs.kind);
        config.rootfs.diff_ids = layers.iter().map(|l| l.diff_id).collect();
        let config_bytes = to_bytes("config", &config)?;
        Self::with_manifest(family, config, config_bytes, layers)
    }

    /// Puts an image together whose layers keep the media types that they have, as Go's image libraries do:
    /// their added layers have Docker's also below an OCI manifest (E36).
    pub fn assemble_mixed(
        family: Family,
        mut config: ImageConfig,
        layers: Vec<ImageLayer>,
    ) -> Result<Self, ImageError> {
        "layers".clone_into(&mut config.rootfs.kind);
        config.rootfs.diff_ids = layers.iter().map(|l| l.diff_id).collect();
        let config_bytes = to_bytes("config", &config)?;
        Self::of_layers(family, config, config_bytes, layers)
    }

    /// Returns the same image with media types of `family`: another manifest, the same image ID.
    ///
    /// OCI layouts hold OCI manifests only: other tools do not see Docker's in them.
    pub fn in_family(&self, family: Family) -> Result<Self, ImageError> {
        if self.family == family {
            return Ok(self.clone());
        }
        Self::with_manifest(family, self.config.clone(), self.config_bytes.clone(), self.layers.clone())?
            .with_annotations(self.manifest.annotations.clone())
    }

    /// Returns the same image with other blobs for its layers, in the same order: another manifest, the same image ID.
    pub fn with_layers(&self, layers: Vec<ImageLayer>) -> Result<Self, ImageError> {
        Self::with_manifest(self.family, self.config.clone(), self.config_bytes.clone(), layers)?
            .with_annotations(self.manifest.annotations.clone())
    }

    /// Returns the same image with `annotations` in its manifest: another manifest, the same image ID.
    pub fn with_annotations(mut self, annotations: BTreeMap<String, String>) -> Result<Self, ImageError> {
        self.manifest.annotations = annotations;
        self.manifest_bytes = to_bytes("manifest", &self.manifest)?;
        Ok(self)
    }

    /// Makes the manifest for a config that is there already.
    pub(crate) fn with_manifest(
        family: Family,
        config: ImageConfig,
        config_bytes: Vec<u8>,
        mut layers: Vec<ImageLayer>,
    ) -> Result<Self, ImageError> {
        for layer in &mut layers {
            layer.descriptor.media_type = family.layer(layer.compression()?);
        }
        Self::of_layers(family, config, config_bytes, layers)
    }

    fn of_layers(
        family: Family,
        config: ImageConfig,
        config_bytes: Vec<u8>,
        layers: Vec<ImageLayer>,
    ) -> Result<Self, ImageError> {
        let manifest = Manifest {
            schema_version: 2,
            media_type: family.manifest(),
            config: Descriptor::new(family.config(), config_bytes.len() as u64, digest_of(&config_bytes)),
            layers: layers.iter().map(|l| l.descriptor.clone()).collect(),
            annotations: BTreeMap::new(),
            subject: None,
            artifact_type: String::new(),
        };
        let manifest_bytes = to_bytes("manifest", &manifest)?;
        Ok(Self { family, manifest, manifest_bytes, config, config_bytes, layers })
    }

    /// Reads an image from the bytes of its manifest; `read` gives documents and `locate` blobs by descriptor.
    pub fn read(
        manifest_bytes: Vec<u8>,
        family: Family,
        read: &ReadDocument<'_>,
        locate: &Locate<'_>,
    ) -> Result<Self, ImageError> {
        let name = digest_of(&manifest_bytes).to_string();
        let manifest: Manifest = from_bytes("manifest", &name, &manifest_bytes)?;
        let config_bytes = read("config", &manifest.config)?;
        let config: ImageConfig = from_bytes("config", &manifest.config.digest.to_string(), &config_bytes)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(ImageError::LayerCount { layers, diff_ids });
        }
        let layers = manifest
            .layers
            .iter()
            .zip(&config.rootfs.diff_ids)
            .map(|(descriptor, diff_id)| {
                let layer = ImageLayer {
                    descriptor: descriptor.clone(),
                    diff_id: *diff_id,
                    blob: locate(descriptor)?,
                };
                layer.compression()?;
                Ok(layer)
            })
            .collect::<Result<_, ImageError>>()?;
        Ok(Self { family, manifest, manifest_bytes, config, config_bytes, layers })
    }

    /// Returns the config.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Returns the config as it is stored.
    pub fn config_bytes(&self) -> &[u8] {
        &self.config_bytes
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the manifest as it is stored.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Returns the layers, lowest first.
    pub fn layers(&self) -> &[ImageLayer] {
        &self.layers
    }

    /// Returns the family of media types.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Returns the digest of the manifest: the image's digest.
    pub fn digest(&self) -> Digest {
        digest_of(&self.manifest_bytes)
    }

    /// Returns the digest of the config: the image ID.
    pub fn id(&self) -> ImageId {
        ImageId::from_bytes(*digest_of(&self.config_bytes).as_bytes())
    }

    /// Returns the layer with this diffID.
    pub fn layer(&self, diff_id: &DiffId) -> Option<&ImageLayer> {
        self.layers.iter().find(|l| l.diff_id == *diff_id)
    }

    /// Returns the size of all layers as they are stored.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|l| l.descriptor.size).sum()
    }

    /// Returns a descriptor of the manifest for an index, with the platform.
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor =
            Descriptor::new(self.family.manifest(), self.manifest_bytes.len() as u64, self.digest());
        descriptor.platform = Some(Platform {
            architecture: self.config.architecture.clone(),
            os: self.config.os.clone(),
            variant: self.config.variant.clone(),
            os_version: self.config.os_version.clone(),
            ..Platform::default()
        });
        descriptor
    }

    /// Stores layers, config and manifest, in this order; blobs that are there are not read.
    ///
    /// Returns the same image with its layers in `store`.
    pub fn store(&self, store: &BlobStore) -> Result<Self, ImageError> {
        let mut image = self.clone();
        for layer in &mut image.layers {
            let found = layer.clone();
            store.copy(&found.descriptor, || found.blob.open(&found.descriptor))?;
            layer.blob = BlobSource::File(store.path(&found.descriptor.digest));
        }
        store.put(&self.config_bytes)?;
        store.put(&self.manifest_bytes)?;
        Ok(image)
    }
}

pub(crate) fn to_bytes<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, ImageError> {
    let text = gojson::to_string(value);
    text.map(String::into_bytes).map_err(|source| ImageError::Parse { what, name: "new".to_owned(), source })
}

pub(crate) fn from_bytes<T: DeserializeOwned>(
    what: &'static str,
    name: &str,
    bytes: &[u8],
) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Parse { what, name: name.to_owned(), source })
}
