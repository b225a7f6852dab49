//! The analyze phase: the previous image and the run image, wherever they are.

use cnb_image::{Image, ImageStore};
use cnb_lifecycle::analyze::{Seen, analyze};

use crate::build::{API, Known, Session, in_phase};
use crate::{Failure, Output, Phase, Place, base, images, places, publish};

impl Session<'_> {
    pub(crate) fn analyze(&self) -> Result<Known, Failure> {
        let store = self.platform.store()?;
        // From here on blobs are made that no image refers to yet.
        let making = store.session(|| self.info("waiting for a clean-up of the image store"));
        let making = making.map_err(in_phase(Phase::Analyze, "failed to use the image store"))?;
        self.check_outputs()?;
        let previous = self.previous(&store)?;
        let base = base::choose(self, &store)?;
        let previous_seen = previous
            .as_ref()
            .map(|(place, i)| Seen::new(&shown(place), &places::reference(place, i), i.config()));
        let analyzed = analyze(
            API,
            previous_seen.as_ref(),
            &Seen::new(&base.name, &base.reference, base.image.config()),
        )
        .map_err(in_phase(Phase::Analyze, "failed to analyze the run image"))?;
        // An image that a lifecycle did not build cannot lend layers.
        let previous = previous
            .map(|(_, image)| image)
            .filter(|_| analyzed.image.as_ref().is_some_and(|i| !i.reference.is_empty()));
        Ok(Known { store, making, previous, base, analyzed })
    }

    /// Checks that the image may be written to its registries: nobody wants to know after a long build (B21).
    fn check_outputs(&self) -> Result<(), Failure> {
        let names = self.request.names();
        for place in self.request.outputs.iter().flat_map(|output| publish::places_of(output, &names)) {
            if let Place::Registry(name) = &place {
                self.places.check_write(name).map_err(base::in_analysis)?;
            }
        }
        Ok(())
    }

    /// Reads the image whose layers are reused, and says where it is. Its layers stay there until one of them is
    /// part of the new image.
    fn previous(&self, store: &ImageStore) -> Result<Option<(Place, Image)>, Failure> {
        let own = Place::Store(self.request.image.clone());
        let asked = self.request.previous_image.as_ref();
        let found = self.previous_at(store, asked.unwrap_or(&own))?;
        if found.is_none() && asked.is_none() && self.request.outputs.contains(&Output::Registries) {
            return self.previous_at(store, &Place::Registry(self.request.image.clone()));
        }
        Ok(found)
    }

    fn previous_at(&self, store: &ImageStore, place: &Place) -> Result<Option<(Place, Image)>, Failure> {
        let place = self.places.resolved(place)?;
        let name = shown(&place);
        let damaged = |why: String| {
            self.warn(&format!("the image `{name}` is damaged and is not reused: {why}"));
        };
        let found = match &place {
            Place::Store(own) => match store.get(own) {
                Ok(image) => image,
                Err(e) => {
                    images::discard_damaged(store, &e);
                    // As the Go lifecycle does with a corrupt image (B29): all layers are made again.
                    damaged(e.to_string());
                    return Ok(None);
                }
            },
            other => match self.places.find(other, None).map_err(base::in_analysis)? {
                Some(image) => Some(self.places.packed(other, image).map_err(base::in_analysis)?),
                None => None,
            },
        };
        let Some(image) = found else {
            if self.request.previous_image.is_some() {
                self.info(&format!("Image with name \"{name}\" not found"));
            }
            return Ok(None);
        };
        if let Some(lost) = image.layers().iter().find(|layer| !layer.is_present()) {
            damaged(format!("the blob `{}` is missing", lost.descriptor.digest));
            return Ok(None);
        }
        Ok(Some((place, image)))
    }
}

/// Returns how messages name an image.
fn shown(place: &Place) -> String {
    place.name().map_or_else(|| place.to_string(), |name| name.typed().to_owned())
}
