//! An image as data: manifest, config, and layers that know where their bytes are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

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
}

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
    pub fn is_present(&self) -> bool {
        let Ok(metadata) = fs_err::metadata(self.blob.path()) else { return false };
        match self.blob {
            BlobSource::File(_) => metadata.len() == self.descriptor.size,
            BlobSource::Part { offset, .. } => {
                offset.checked_add(self.descriptor.size).is_some_and(|end| end <= metadata.len())
            }
        }
    }

    /// Opens the blob; its end is only reported once hash and size are right.
    pub fn open(&self) -> Result<Verified<Box<dyn Read + Send>>, ImageError> {
        Ok(Verified::new(self.blob.open(&self.descriptor)?, &self.descriptor))
    }

    /// Opens the uncompressed tar of the layer. The blob is verified, the tar's own digest is not.
    pub fn open_tar(&self) -> Result<Box<dyn Read + Send>, ImageError> {
        let compression = self.compression()?;
        let blob = Box::new(self.open()?);
        Ok(unpacked(blob, compression).map_err(FsError::on("read", self.blob.path()))?)
    }
}

impl BlobSource {
    pub(crate) fn path(&self) -> &std::path::Path {
        match self {
            Self::File(file) | Self::Part { file, .. } => file.as_path(),
        }
    }

    /// Opens the bytes as they are, not verified.
    pub(crate) fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
        let path = self.path();
        let mut file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => ImageError::Missing {
                digest: descriptor.digest,
                dir: path.parent().unwrap_or(path).to_path_buf(),
            },
            _ => FsError::on("read", path)(e).into(),
        })?;
        match self {
            Self::File(_) => Ok(Box::new(file)),
            Self::Part { offset, .. } => {
                file.seek(SeekFrom::Start(*offset)).map_err(FsError::on("read", path))?;
                Ok(Box::new(file.take(descriptor.size)))
            }
        }
    }
}

/// Gives the bytes of a document: a manifest, an index or a config.
pub(crate) type ReadDocument<'a> = dyn Fn(&'static str, &Descriptor) -> Result<Vec<u8>, ImageError> + 'a;

/// Tells where a blob is.
pub(crate) type Locate<'a> = dyn Fn(&Descriptor) -> Result<BlobSource, ImageError> + 'a;

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

    /// Returns the same image with media types of `family`: another manifest, the same image ID.
    ///
    /// OCI layouts hold OCI manifests only: other tools do not see Docker's in them.
    pub fn in_family(&self, family: Family) -> Result<Self, ImageError> {
        if self.family == family {
            return Ok(self.clone());
        }
        Self::with_manifest(family, self.config.clone(), self.config_bytes.clone(), self.layers.clone())
    }

    fn with_manifest(
        family: Family,
        config: ImageConfig,
        config_bytes: Vec<u8>,
        mut layers: Vec<ImageLayer>,
    ) -> Result<Self, ImageError> {
        for layer in &mut layers {
            layer.descriptor.media_type = family.layer(layer.compression()?);
        }
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
    pub(crate) fn read(
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
