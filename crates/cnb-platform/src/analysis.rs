//! The analyze phase: the previous image in the store and the run image.

use cnb_image::Image;
use cnb_lifecycle::analyze::{Seen, analyze};

use crate::build::{Known, Session, in_phase};
use crate::{Failure, Phase};
use crate::{base, images};

impl Session<'_> {
    pub(crate) fn analyze(&self) -> Result<Known, Failure> {
        let store = self.platform.store()?;
        // From here on blobs are made that no image refers to yet.
        let making = store.session(|| self.info("waiting for a clean-up of the image store"));
        let making = making.map_err(in_phase(Phase::Analyze, "failed to use the image store"))?;
        let name = self.request.previous_image.as_ref().unwrap_or(&self.request.image);
        let previous = match store.get(name) {
            Ok(image) => image,
            Err(e) => {
                images::discard_damaged(&store, &e);
                // As the Go lifecycle does with a corrupt image (requirement B29): all layers are made again.
                self.warn(&format!("the image `{}` is damaged and is not reused: {e}", name.typed()));
                None
            }
        };
        let lost = |image: &Image| {
            image
                .layers()
                .iter()
                .find(|l| !store.blobs().contains(&l.descriptor))
                .map(|l| l.descriptor.digest)
        };
        let previous = previous.filter(|image| match lost(image) {
            None => true,
            Some(digest) => {
                self.warn(&format!(
                    "the image `{}` is damaged and is not reused: the blob `{digest}` is missing",
                    name.typed()
                ));
                false
            }
        });
        if self.request.previous_image.is_some() && previous.is_none() {
            self.info(&format!("Image with name \"{}\" not found", name.typed()));
        }
        let base = base::choose(self, &store)?;
        let previous_seen =
            previous.as_ref().map(|i| seen(i, name.typed(), format!("{}@{}", name.repository(), i.digest())));
        let analyzed =
            analyze(previous_seen.as_ref(), &seen(&base.image, &base.name, base.reference.clone()))
                .map_err(in_phase(Phase::Analyze, "failed to analyze the run image"))?;
        // An image that a lifecycle did not build cannot lend layers.
        let previous = previous.filter(|_| analyzed.image.as_ref().is_some_and(|i| !i.reference.is_empty()));
        Ok(Known { store, making, previous, base, analyzed })
    }
}

/// What analysis sees of an image.
fn seen<'a>(image: &'a Image, name: &str, reference: String) -> Seen<'a> {
    let config = image.config();
    Seen {
        name: name.to_owned(),
        reference,
        os: &config.os,
        arch: &config.architecture,
        variant: &config.variant,
        labels: &config.config.labels,
    }
}
