//! The images of a user: an OCI layout whose index has one entry for each name.
//!
//! Names are stored in canonical form ([`REF_NAME`]) and, as they were typed, in an
//! annotation of our own. Whoever makes blobs holds a [`Session`]; collecting garbage waits until there is
//! none, so it never deletes what a build has just made.

use std::collections::BTreeSet;

use cnb_fs::lock::Lock;
use cnb_fs::{FsError, HostPath};
use cnb_spec::digest::{Digest, ImageId};
use cnb_spec::image_ref::{ImageRef, Selector};
use cnb_spec::oci::{Descriptor, Manifest};
use fs_err as fs;

use crate::ImageError;
use crate::blob_store::BlobStore;
use crate::image::{Image, from_bytes};
use crate::layout::{Layout, REF_NAME};
use crate::media::Family;

/// The annotation that keeps a name as it was typed.
pub const TYPED_NAME: &str = "io.github.cnb-rs.name";

/// The images of a user.
#[derive(Clone, Debug)]
pub struct ImageStore {
    layout: Layout,
}

/// The right to make blobs: as long as it lives, nothing is collected.
#[derive(Debug)]
pub struct Session(#[expect(dead_code, reason = "the lock is held as long as this lives")] Lock);

/// A name in the store and what is behind it.
#[derive(Debug)]
pub struct Stored {
    /// The name, canonical.
    pub name: ImageRef,
    /// The name as it was typed.
    pub typed: String,
    /// The digest of the manifest.
    pub digest: Digest,
    /// What the image says of itself, or why it cannot be read.
    pub details: Result<Details, ImageError>,
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The image ID.
    pub id: ImageId,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The size of its layers as they are stored.
    pub size: u64,
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs were deleted.
    pub blobs: usize,
    /// How many bytes they had.
    pub bytes: u64,
}

impl ImageStore {
    /// Opens the store in `dir`, which is made if it is missing.
    pub fn open(dir: &HostPath) -> Result<Self, ImageError> {
        Ok(Self { layout: Layout::create(dir)? })
    }

    /// Returns the blobs, which builds share.
    pub fn blobs(&self) -> &BlobStore {
        self.layout.store()
    }

    /// Takes the right to make blobs; `waiting` is called once when garbage is being collected.
    pub fn session(&self, waiting: impl FnOnce()) -> Result<Session, ImageError> {
        Ok(Session(Lock::shared(&self.gc_lock(), waiting)?))
    }

    /// Stores `image`, with OCI media types, under each of `names`, all of them by one step; other images lose those names.
    pub fn put(&self, _session: &Session, image: &Image, names: &[ImageRef]) -> Result<Image, ImageError> {
        let stored = image.in_family(Family::Oci)?.store(self.blobs())?;
        self.layout.update(|index| {
            for name in names {
                let canonical = name.to_string();
                let mut descriptor = stored.descriptor();
                descriptor.annotations.insert(REF_NAME.to_owned(), canonical.clone());
                descriptor.annotations.insert(TYPED_NAME.to_owned(), name.typed().to_owned());
                index.manifests.retain(|d| d.annotations.get(REF_NAME) != Some(&canonical));
                index.manifests.push(descriptor);
            }
        })?;
        Ok(stored)
    }

    /// Reads the image called `name`, by tag or digest; `None` when there is none.
    ///
    /// # Errors
    /// When the image is there but cannot be read: a damaged blob is named.
    pub fn get(&self, name: &ImageRef) -> Result<Option<Image>, ImageError> {
        match self.find(name)? {
            Some(descriptor) => self.layout.image(&descriptor).map(Some),
            None => Ok(None),
        }
    }

    /// Gives the image called `name` another name; returns whether there is such an image.
    pub fn tag(&self, name: &ImageRef, new: &ImageRef) -> Result<bool, ImageError> {
        let Some(mut descriptor) = self.find(name)? else { return Ok(false) };
        let canonical = new.to_string();
        descriptor.annotations.insert(REF_NAME.to_owned(), canonical.clone());
        descriptor.annotations.insert(TYPED_NAME.to_owned(), new.typed().to_owned());
        self.layout.update(|index| {
            index.manifests.retain(|d| d.annotations.get(REF_NAME) != Some(&canonical));
            index.manifests.push(descriptor);
        })?;
        Ok(true)
    }

    /// Takes the name away; returns whether there was an image with it. Its blobs stay until [`gc`](Self::gc).
    ///
    /// A reference by digest takes all names of that image in that repository away.
    pub fn untag(&self, name: &ImageRef) -> Result<bool, ImageError> {
        self.layout.update(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|d| !is_called(d, name));
            index.manifests.len() != before
        })
    }

    /// Lists all names, sorted.
    pub fn list(&self) -> Result<Vec<Stored>, ImageError> {
        let mut all = Vec::new();
        for descriptor in self.layout.index()?.manifests {
            let Some(name) = descriptor.annotations.get(REF_NAME).and_then(|n| n.parse::<ImageRef>().ok())
            else {
                continue;
            };
            let typed = descriptor.annotations.get(TYPED_NAME).cloned().unwrap_or_else(|| name.familiar());
            let details = self.layout.image(&descriptor).map(|image| Details {
                id: image.id(),
                created: image.config().created.clone(),
                size: image.size(),
            });
            all.push(Stored { name, typed, digest: descriptor.digest, details });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Deletes blobs that no image refers to; `waiting` is called once while builds are running.
    ///
    /// # Errors
    /// When a manifest cannot be read, nothing is deleted: what its image needs is not known then.
    pub fn gc(&self, waiting: impl FnOnce()) -> Result<Collected, ImageError> {
        let _alone = Lock::exclusive(&self.gc_lock(), waiting)?;
        let mut needed = BTreeSet::new();
        for descriptor in self.layout.index()?.manifests {
            let bytes = self.blobs().read("manifest", &descriptor)?;
            let manifest: Manifest = from_bytes("manifest", &descriptor.digest.to_string(), &bytes)?;
            needed.insert(descriptor.digest.hex());
            needed.insert(manifest.config.digest.hex());
            needed.extend(manifest.layers.iter().map(|l| l.digest.hex()));
        }
        let mut collected = Collected::default();
        let dir = self.blobs().blobs();
        for entry in fs::read_dir(&dir).map_err(FsError::on("list", &dir))? {
            let entry = entry.map_err(FsError::on("list", &dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata().map_err(FsError::on("look at", &entry.path()))?;
            // Whoever makes blobs holds a session, and there is none: half-written files have lost their writer.
            if needed.contains(&name) {
                continue;
            }
            fs::remove_file(entry.path()).map_err(FsError::on("delete", &entry.path()))?;
            collected.blobs += 1;
            collected.bytes += metadata.len();
        }
        self.blobs().forget_what_is_gone()?;
        Ok(collected)
    }

    fn find(&self, name: &ImageRef) -> Result<Option<Descriptor>, ImageError> {
        Ok(self.layout.index()?.manifests.into_iter().find(|d| is_called(d, name)))
    }

    fn gc_lock(&self) -> std::path::PathBuf {
        self.layout.dir().join(".gc-lock")
    }
}

fn is_called(descriptor: &Descriptor, name: &ImageRef) -> bool {
    let Some(has) = descriptor.annotations.get(REF_NAME) else { return false };
    match name.selector() {
        Selector::Tag(_) => *has == name.to_string(),
        Selector::Digest(digest) => {
            descriptor.digest == *digest
                && has.parse::<ImageRef>().is_ok_and(|h| h.repository() == name.repository())
        }
    }
}
