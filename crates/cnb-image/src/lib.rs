//! Makes OCI images: reproducible layers, a content-addressed blob store, layouts and archives.
//!
//! A layer has two digests. Its *diffID* is the sha256 of the uncompressed tar and names its content; the
//! *digest* of its blob is the sha256 of what is stored and sent. A config lists diffIDs, a manifest lists
//! digests, and the sha256 of the config is the image ID.
//!
//! Reading order: [`source`] and [`layer`] (making layers), [`blob_store`], [`image`], [`layout`] and
//! [`archive`] (where images are), [`tree`] (images as they are stored), [`image_store`] (the images of a user), [`mod@unpack`], [`mod@validate`].

pub mod archive;
pub mod blob_store;
pub mod compress;
pub mod destination;
mod error;
pub mod image;
pub mod image_store;
pub mod layer;
pub mod layout;
pub mod media;
pub mod source;
pub mod tar;
pub mod tree;
pub mod unpack;
pub mod validate;

pub use blob_store::{Blob, BlobStore};
pub use destination::Destination;
pub use error::ImageError;
pub use image::{BlobSource, Image, ImageLayer, Origin, Remote};
pub use image_store::ImageStore;
pub use layer::{Made, make_layers, pack_tar, write_tar};
pub use layout::Layout;
pub use source::{Content, Entry, EntryKind, LayerError, LayerSource, Ownership, ParentOwner};
pub use tar::rewrite::normalized;
pub use tree::Tree;
pub use unpack::{Limits, UnpackError, unpack};
pub use validate::{Mismatch, validate};
