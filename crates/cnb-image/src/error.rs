//! What can be wrong with an image, a store or an archive.

use std::path::PathBuf;

use cnb_fs::FsError;
use cnb_spec::digest::{DiffId, Digest};

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A document is no JSON of the expected form.
    #[error("failed to parse the {what} `{name}`")]
    Parse {
        /// What it should be: "manifest", "config", "index".
        what: &'static str,
        /// Its digest or path.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A document is larger than anything of its kind has reason to be.
    #[error("the {what} `{name}` has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its digest or path.
        name: String,
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A blob is not in the store.
    #[error("the blob `{digest}` is missing in `{}`", dir.display())]
    Missing {
        /// The blob.
        digest: Digest,
        /// The store or layout.
        dir: PathBuf,
    },
    /// A blob has other bytes than its digest or size says.
    #[error("the blob `{digest}` is damaged: {how}")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// What does not agree.
        how: String,
    },
    /// A registry or an engine did not give a blob.
    #[error("failed to read the blob `{digest}` from `{place}`")]
    Remote {
        /// The blob.
        digest: Digest,
        /// The registry or engine.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A media type that cannot be handled.
    #[error("the media type `{media_type}` of the {what} is not supported")]
    MediaType {
        /// What has the type.
        what: &'static str,
        /// The type.
        media_type: String,
    },
    /// The config does not have one diffID for each layer of the manifest.
    #[error("the manifest has {layers} layers, but the config has {diff_ids} diffIDs")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the config.
        diff_ids: usize,
    },
    /// The image has no layer that is asked for.
    #[error("failed to find a layer with diffID `{0}`")]
    NoLayer(DiffId),
    /// The layout or store has no such image.
    #[error("there is no image `{name}` in `{}`{}", place.display(), hint.as_deref().map(|h| format!(": {h}")).unwrap_or_default())]
    NotFound {
        /// The name or tag.
        name: String,
        /// The layout, store or archive.
        place: PathBuf,
        /// What there is instead.
        hint: Option<String>,
    },
    /// No image of an index is for the platform.
    #[error("no image in `{}` is for `{wanted}`: it has {found}", place.display())]
    NoPlatform {
        /// The layout.
        place: PathBuf,
        /// The platform.
        wanted: String,
        /// The platforms that are there.
        found: String,
    },
    /// The folder or file is no OCI layout.
    #[error("`{}` is not an OCI layout: {reason}", place.display())]
    NotALayout {
        /// The folder or file.
        place: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is no archive of images.
    #[error("`{}` is not an archive of images: {reason}", file.display())]
    NotAnArchive {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}
