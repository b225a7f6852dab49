//! A run image with what image extensions added: its config and its layers above the run image's.
//!
//! Written by the extender as a sparse OCI layout, `<extended>/run/<digest>`: manifest, config, and the blobs
//! of the added layers alone (requirements B67, D25, D27, E21).

use cnb_fs::{FsError, HostPath};
use cnb_image::{BlobStore, ImageError, ImageLayer, LayerError, Layout, media::Family, normalized};
use cnb_spec::oci::{History, RuntimeConfig};

/// What image extensions made of the run image.
#[derive(Clone, Debug)]
pub struct Extended {
    /// Takes the place of the run image's `config`, if there is one.
    pub config: Option<RuntimeConfig>,
    /// The added layers, lowest first.
    pub layers: Vec<ExtensionLayer>,
}

/// A layer that an image extension added.
#[derive(Clone, Debug)]
pub struct ExtensionLayer {
    /// What the history says of it.
    pub created_by: String,
    /// The layer, its times normalised.
    pub layer: ImageLayer,
}

/// Why an extended run image could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ExtendedError {
    /// The directory could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The directory has several entries, so that nobody knows which counts.
    #[error("expected directory \"{dir}\" to have only 1 item; found {found}")]
    Items {
        /// The directory.
        dir: HostPath,
        /// How many it has.
        found: usize,
    },
    /// The layout has several images, or none.
    #[error("expected image index at \"{dir}\" to have only 1 manifest; found {found}")]
    Manifests {
        /// The layout.
        dir: HostPath,
        /// How many it has.
        found: usize,
    },
    /// The layout is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be rewritten.
    #[error("failed to create layer from tar path {path}")]
    Layer {
        /// The blob.
        path: HostPath,
        /// Why.
        #[source]
        source: LayerError,
    },
}

/// Reads the extended run image below `extended`, `None` when there is none; its layers are made in `store`.
///
/// `docker_layers` as in [`Export::docker_layers`](crate::Export).
pub fn read(
    extended: &HostPath,
    store: &BlobStore,
    docker_layers: bool,
) -> Result<Option<Extended>, ExtendedError> {
    let Some(dir) = only_entry(&extended.join("run"))? else { return Ok(None) };
    let layout = Layout::open(&dir)?;
    let index = layout.index()?;
    let [descriptor] = &index.manifests[..] else {
        return Err(ExtendedError::Manifests { dir, found: index.manifests.len() });
    };
    let image = layout.image(descriptor)?;
    let history: Vec<&History> = image.config().history.iter().filter(|h| !h.empty_layer).collect();
    let mut layers = Vec::new();
    for (number, layer) in image.layers().iter().enumerate() {
        // Those without a blob are the run image's own.
        if !layer.is_present() {
            continue;
        }
        let path = layout.store().path(&layer.descriptor.digest);
        let made = normalized(layer, store).map_err(|source| ExtendedError::Layer { path, source })?;
        let mut layer = ImageLayer::made(store, &made);
        if docker_layers {
            layer.descriptor.media_type = Family::Docker.layer(layer.compression()?);
        }
        let created_by = history.get(number).map(|h| h.created_by.clone()).unwrap_or_default();
        layers.push(ExtensionLayer { created_by, layer });
    }
    Ok(Some(Extended { config: Some(image.config().config.clone()), layers }))
}

/// Returns the one entry of `dir`; `None` when there is nothing in it.
fn only_entry(dir: &HostPath) -> Result<Option<HostPath>, ExtendedError> {
    let on_error = FsError::on("list", dir.as_path());
    let entries = match std::fs::read_dir(dir.as_path()) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(on_error)?,
    };
    match &entries[..] {
        [] => Ok(None),
        [entry] => Ok(Some(dir.join(entry.file_name()))),
        several => Err(ExtendedError::Items { dir: dir.clone(), found: several.len() }),
    }
}
