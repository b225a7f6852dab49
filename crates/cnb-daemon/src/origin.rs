//! An image of an engine as a place that layers are read from.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use cnb_image::archive::DockerArchive;
use cnb_image::{ImageError, Origin};
use cnb_spec::digest::{DiffId, ImageId};
use cnb_spec::oci::Descriptor;

use crate::Engine;

/// An image of an engine, which is exported as a whole when the first of its layers is opened: engines export in no
/// order that could be relied on, and asking again for each layer would export everything each time.
#[derive(Debug)]
pub(crate) struct EngineImage {
    engine: Engine,
    id: ImageId,
    /// Which platform of it, `?platform=…`, where the engine can be asked that.
    query: String,
    export: Mutex<Option<Arc<DockerArchive>>>,
}

impl EngineImage {
    pub(crate) fn new(engine: Engine, id: ImageId, query: String) -> Self {
        Self { engine, id, query, export: Mutex::new(None) }
    }

    fn export(&self, descriptor: &Descriptor) -> Result<Arc<DockerArchive>, ImageError> {
        // Held across the export: others that want a layer have to wait for the same one.
        let mut export = self.export.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(archive) = &*export {
            return Ok(Arc::clone(archive));
        }
        let archive = self.engine.spool(&self.id, &self.query).map_err(|source| ImageError::Remote {
            digest: descriptor.digest,
            place: self.place(),
            source: Box::new(source),
        })?;
        Ok(Arc::clone(export.insert(Arc::new(archive))))
    }
}

impl Origin for EngineImage {
    fn place(&self) -> String {
        format!("the image `{}` of the engine at `{}`", self.id, self.engine.address())
    }

    fn repository(&self) -> Option<(&str, &str)> {
        None
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
        let diff_id = DiffId::from_bytes(*descriptor.digest.as_bytes());
        self.export(descriptor)?.layer(&diff_id)?.ok_or(ImageError::NoLayer(diff_id))
    }
}
