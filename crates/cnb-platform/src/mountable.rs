//! Layers that lie in the local store, and at a registry from which its other repositories can mount them.

use std::io::Read;
use std::sync::Arc;

use cnb_image::{BlobSource, Image, ImageError, ImageLayer, Origin, Remote};
use cnb_spec::oci::Descriptor;

/// A blob of the local store that a repository of a registry has as well.
#[derive(Debug)]
struct Mountable {
    /// The registry's.
    there: Remote,
    /// The store's.
    here: BlobSource,
}

impl Origin for Mountable {
    fn place(&self) -> String {
        self.there.0.place()
    }

    fn repository(&self) -> Option<(&str, &str)> {
        self.there.0.repository()
    }

    /// Where mounting is refused the bytes need not come from afar.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
        self.here.open(descriptor)
    }
}

/// Returns the same image for a push to `registry`: those of its layers that `origins` has there can be mounted.
pub(crate) fn mountable(image: &Image, origins: &[ImageLayer], registry: &str) -> Result<Image, ImageError> {
    let there = |layer: &ImageLayer| {
        let found = origins.iter().find(|o| o.descriptor.digest == layer.descriptor.digest)?;
        let BlobSource::Remote(remote) = &found.blob else { return None };
        remote.0.repository().is_some_and(|(host, _)| host == registry).then(|| remote.clone())
    };
    if !image.layers().iter().any(|layer| there(layer).is_some()) {
        return Ok(image.clone());
    }
    let layers = image.layers().iter().map(|layer| {
        let Some(there) = there(layer) else { return layer.clone() };
        let blob = BlobSource::Remote(Remote(Arc::new(Mountable { there, here: layer.blob.clone() })));
        ImageLayer { blob, ..layer.clone() }
    });
    image.with_layers(layers.collect())
}
