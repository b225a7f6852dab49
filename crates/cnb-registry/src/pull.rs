//! Pulling: the layers of an image into a store, several at a time.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread;

use cnb_image::{BlobStore, Image, ImageError, ImageLayer};
use cnb_spec::digest::Digest;

use crate::client::{Event, Registry};
use crate::error::{Fault, RegistryError};

impl Registry {
    /// Stores layers (several at a time, those in the store are not read), config and manifest of an image;
    /// returns the same image with its layers in `store`.
    ///
    /// Layers may be anywhere: what is not at a registry is copied as well.
    pub fn store(
        &self,
        image: &Image,
        store: &BlobStore,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Image, RegistryError> {
        let action = || format!("store the image `{}`", image.digest());
        let mut seen = BTreeSet::new();
        let missing = image.layers().iter().filter(|layer| seen.insert(layer.descriptor.digest));
        let queue = Mutex::new(missing.collect::<Vec<_>>().into_iter());
        let failed: Mutex<Option<ImageError>> = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..self.transport().settings.transfers.clamp(1, image.layers().len().max(1)) {
                scope.spawn(|| {
                    while failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some(layer) = next else { return };
                        if let Err(error) = fetch(layer, store, events) {
                            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What is left is small, and the layers are there.
        let stored = failed.map_or_else(|| image.store(store), Err);
        stored.map_err(|error| Fault::image(error).while_doing(action()))
    }
}

fn fetch(layer: &ImageLayer, store: &BlobStore, events: &(dyn Fn(Event) + Sync)) -> Result<(), ImageError> {
    let descriptor = &layer.descriptor;
    if store.contains(descriptor) {
        events(Event::Exists(descriptor.clone()));
        return Ok(());
    }
    store.copy(descriptor, || {
        Ok(Counted { bytes: layer.blob.open(descriptor)?, digest: descriptor.digest, events })
    })?;
    events(Event::Sent(descriptor.clone()));
    Ok(())
}

/// Tells how much of a blob has come.
struct Counted<'e> {
    bytes: Box<dyn Read + Send>,
    digest: Digest,
    events: &'e (dyn Fn(Event) + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        // Nothing is the end.
        if count > 0 {
            (self.events)(Event::Bytes(self.digest, count as u64));
        }
        Ok(count)
    }
}
