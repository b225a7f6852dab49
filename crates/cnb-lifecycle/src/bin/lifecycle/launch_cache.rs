//! The launch cache: the layers of app images in an engine, kept as tars so that they need not be asked of the
//! engine again (requirement B81).

use cnb_cache::{Volume, VolumeError};
use cnb_fs::HostPath;
use cnb_image::media::Family;
use cnb_image::{BlobSource, Image, ImageError, media::Compression};
use cnb_lifecycle::images::Images;
use cnb_spec::digest::Digest;

use crate::connected::Connected;

/// Why the launch cache could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchCacheError {
    /// The directory.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A layer.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Opens the launch cache, which only an engine has.
pub(crate) fn open(connected: &Connected<'_>) -> Result<Option<Volume>, VolumeError> {
    if connected.inputs.text("launch-cache").is_empty() || !matches!(connected.images, Images::Engine(_)) {
        return Ok(None);
    }
    let dir = HostPath::absolute(connected.inputs.path("launch-cache").as_guest());
    Volume::open(&dir).map(Some)
}

/// Stages every layer above the lowest `base` ones, and returns the image with those that are in the cache
/// already read from there.
pub(crate) fn through(
    volume: Volume,
    image: &Image,
    base: usize,
) -> Result<(Image, Volume), LaunchCacheError> {
    let mut layers = image.layers().to_vec();
    for layer in layers.iter_mut().skip(base) {
        let sha = layer.diff_id.to_string();
        let Some(tar) = volume.tar(&sha) else {
            volume.add_tar(&sha, layer.open_tar()?)?;
            continue;
        };
        volume.reuse(&sha)?;
        let size = std::fs::metadata(tar.as_path()).map_or(0, |m| m.len());
        layer.descriptor.media_type = Family::Docker.layer(Compression::None);
        layer.descriptor.size = size;
        layer.descriptor.digest = Digest::from_bytes(*layer.diff_id.as_bytes());
        layer.blob = BlobSource::File(tar);
    }
    let image = Image::assemble_mixed(image.family(), image.config().clone(), layers)?;
    Ok((image, volume))
}
