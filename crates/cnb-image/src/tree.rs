//! What a name leads to, as it is stored: a manifest or an index with all that it names, byte for byte.
//!
//! [`Image`] is an image that is understood; a [`Tree`] is copied without that. So digests stay what they are, and
//! an index may hold what is no image: attestations, signatures.

use std::path::Path;

use cnb_spec::digest::Digest;
use cnb_spec::oci::{Descriptor, Index, Manifest, Platform};

use crate::ImageError;
use crate::blob_store::{Verified, check_size};
use crate::image::{BlobSource, Image, Locate, ReadDocument, from_bytes};
use crate::layout::{choose, empty_index};
use crate::media::{self, Document, Family};

/// How deep indexes may be nested.
const DEPTH: usize = 4;

/// A manifest or an index, and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// How the document is named by what leads to it.
    pub descriptor: Descriptor,
    /// The document.
    pub bytes: Vec<u8>,
    /// Config and layers of a manifest, and where they are.
    pub blobs: Vec<(Descriptor, BlobSource)>,
    /// What an index names, in order.
    pub children: Vec<Tree>,
}

impl Tree {
    /// Reads all documents below `descriptor`, but for configs; `locate` says where blobs are.
    ///
    /// # Errors
    /// Also for an index that holds anything but manifests and indexes.
    pub fn read(
        descriptor: &Descriptor,
        read: &ReadDocument<'_>,
        locate: &Locate<'_>,
    ) -> Result<Self, ImageError> {
        Self::read_below(descriptor, read, locate, DEPTH)
    }

    fn read_below(
        descriptor: &Descriptor,
        read: &ReadDocument<'_>,
        locate: &Locate<'_>,
        depth: usize,
    ) -> Result<Self, ImageError> {
        let name = descriptor.digest.to_string();
        let mut tree = Self {
            descriptor: descriptor.clone(),
            bytes: Vec::new(),
            blobs: Vec::new(),
            children: Vec::new(),
        };
        match media::document(&descriptor.media_type) {
            Some(Document::Manifest(_)) => {
                tree.bytes = read("manifest", descriptor)?;
                let manifest: Manifest = from_bytes("manifest", &name, &tree.bytes)?;
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    tree.blobs.push((blob.clone(), locate(blob)?));
                }
            }
            Some(Document::Index) if depth > 0 => {
                tree.bytes = read("index", descriptor)?;
                let index: Index = from_bytes("index", &name, &tree.bytes)?;
                for child in &index.manifests {
                    tree.children.push(Self::read_below(child, read, locate, depth - 1)?);
                }
            }
            _ => {
                let media_type = descriptor.media_type.clone();
                return Err(ImageError::MediaType { what: "entry of the index", media_type });
            }
        }
        Ok(tree)
    }

    /// Returns whether it is an index.
    pub fn is_index(&self) -> bool {
        media::document(&self.descriptor.media_type) == Some(Document::Index)
    }

    /// Returns whether any of its documents has a media type of Docker's.
    pub fn has_docker_types(&self) -> bool {
        let media_type = &self.descriptor.media_type;
        media::document(media_type) == Some(Document::Manifest(Family::Docker))
            || media_type == media::DOCKER_INDEX
            || self.children.iter().any(Self::has_docker_types)
    }

    /// Returns this document or the one below it with this digest.
    pub fn find(&self, digest: &Digest) -> Option<&Self> {
        if self.descriptor.digest == *digest {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(digest))
    }

    /// Returns the platforms that the entries of the index name; what has none, and `unknown`, is no image to run.
    pub fn platforms(&self) -> Vec<Platform> {
        let mut all: Vec<Platform> = self.children.iter().flat_map(Self::platforms).collect();
        all.extend(self.descriptor.platform.clone().filter(|p| !p.os.is_empty() && p.os != "unknown"));
        all
    }

    /// Reads the image for `platform`; without one there must be a single image.
    ///
    /// # Errors
    /// When no image is for the platform, or several are there and nothing to choose by. `place` is named then.
    pub fn image(&self, place: &Path, platform: Option<&Platform>) -> Result<Image, ImageError> {
        let missing = |d: &Descriptor| ImageError::Missing { digest: d.digest, dir: place.to_path_buf() };
        let locate = |descriptor: &Descriptor| {
            self.blob(&descriptor.digest).cloned().ok_or_else(|| missing(descriptor))
        };
        let read = |what: &'static str, descriptor: &Descriptor| {
            if let Some(found) = self.find(&descriptor.digest) {
                return Ok(found.bytes.clone());
            }
            check_size(what, descriptor)?;
            Verified::new(locate(descriptor)?.open(descriptor)?, descriptor).read_all(place)
        };
        let mut index = empty_index();
        index.manifests.push(self.descriptor.clone());
        choose(place, &index, None, platform, &read, &locate)
    }

    fn blob(&self, digest: &Digest) -> Option<&BlobSource> {
        let own = self.blobs.iter().find(|(descriptor, _)| descriptor.digest == *digest);
        own.map(|(_, source)| source).or_else(|| self.children.iter().find_map(|child| child.blob(digest)))
    }
}
