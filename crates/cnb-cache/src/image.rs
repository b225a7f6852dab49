//! A cache as an image: each cached layer is a layer, and a label says whose they are (requirement A72).
//!
//! The image is plain data here; reading it from a registry and pushing it is the caller's.

use cnb_image::media::Family;
use cnb_image::{Image, ImageError, ImageLayer};
use cnb_spec::oci::{History, ImageConfig};
use cnb_spec::platform::cache_metadata::{CACHE_METADATA, CacheMetadata};

/// The time that a cache image carries, as the Go lifecycle's do.
const CREATED: &str = "1980-01-01T00:00:01Z";

/// Returns what a cache image says of itself; an image that is no cache is as an empty one.
pub fn metadata(image: &Image) -> CacheMetadata {
    let label = image.config().config.labels.get(CACHE_METADATA);
    label.map(|l| CacheMetadata::parse(l.as_bytes())).unwrap_or_default()
}

/// Returns the image that holds `layers`; at least one, since registries want one.
pub fn cache_image(metadata: &CacheMetadata, layers: Vec<ImageLayer>) -> Result<Image, ImageError> {
    let mut config =
        ImageConfig { os: "linux".to_owned(), created: CREATED.to_owned(), ..ImageConfig::default() };
    config.history =
        layers.iter().map(|_| History { created: CREATED.to_owned(), ..History::default() }).collect();
    let label = metadata.to_json().map_err(|source| ImageError::Parse {
        what: "config",
        name: "new".to_owned(),
        source,
    })?;
    config.config.labels.insert(CACHE_METADATA.to_owned(), label);
    Image::assemble(Family::Oci, config, layers)
}
