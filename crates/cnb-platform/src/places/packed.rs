//! Packs the layers of an image that comes from an engine, which keeps plain tars only.

use cnb_image::media::Compression;
use cnb_image::{BlobStore, Image, ImageError, ImageLayer, pack_tar};

/// Returns the same image with its plain layers packed into `blobs`: another manifest, the same image ID.
///
/// A layer that `known`, the local store, has already is taken from there, so that what was built here and loaded
/// into an engine keeps its digests.
pub(super) fn packed(image: &Image, blobs: &BlobStore, known: &BlobStore) -> Result<Image, ImageError> {
    let mut layers = Vec::new();
    for layer in image.layers() {
        if layer.compression()? != Compression::None {
            layers.push(layer.clone());
            continue;
        }
        if let Some(blob) = known.known(&layer.diff_id) {
            layers.push(ImageLayer::stored(known, layer.diff_id, blob));
            continue;
        }
        let made = pack_tar(blobs, &mut layer.open_tar()?, blobs.dir().as_path())?;
        layers.push(ImageLayer::made(blobs, &made));
    }
    image.with_layers(layers)
}
