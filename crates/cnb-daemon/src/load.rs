//! Loads images into an engine (E40).

use std::collections::BTreeSet;

use cnb_image::Image;
use cnb_spec::digest::{DiffId, ImageId};
use cnb_spec::image_ref::ImageRef;
use hyper::Method;

use crate::engine::Engine;
use crate::exchange::{Ask, SILENCE};
use crate::stream::Stream;
use crate::{EngineError, progress};

impl Engine {
    /// Loads an image under `names`; returns the engine's ID of it.
    ///
    /// Layers that are the engine's own, of images that [`image`](Self::image) returned, are not sent where its API
    /// allows (E40): with Docker the lowest ones, with Podman all. Docker with containerd's store is sent everything,
    /// and so is an engine that refuses the image otherwise.
    ///
    /// # Errors
    /// Names with a digest, layers that cannot be read or are damaged, and whatever the engine says.
    pub fn load(&self, image: &Image, names: &[ImageRef]) -> Result<ImageId, EngineError> {
        if let Some(name) = names.iter().find(|name| name.tag().is_none()) {
            return Err(EngineError::DigestAsName(name.typed().to_owned()));
        }
        // Asking also sees to it that the connection is alive: what a stream has given cannot be sent again.
        let containerd = self.info()?.containerd;
        let layers: Vec<DiffId> = image.layers().iter().map(|l| l.diff_id).collect();
        let blank = if containerd { BTreeSet::new() } else { self.known_layers(&layers) };
        let loaded = match self.send(image, names.first(), &blank) {
            // The images that had these layers may be gone.
            Err(EngineError::Refused { .. }) if !blank.is_empty() => {
                self.send(image, names.first(), &BTreeSet::new())?
            }
            other => other?,
        };
        let id = self.check(image, names.first(), loaded, containerd)?;
        self.remember(layers);
        names.iter().skip(1).try_for_each(|name| self.tag(&id, name))?;
        Ok(id)
    }

    /// Sends the image; returns the ID if the engine tells it.
    fn send(
        &self,
        image: &Image,
        name: Option<&ImageRef>,
        blank: &BTreeSet<usize>,
    ) -> Result<Option<ImageId>, EngineError> {
        let label = name.map_or_else(|| image.id().to_string(), |name| name.typed().to_owned());
        let mut stream = Stream::new(image, name, blank)?;
        let target = self.versioned("/images/load?quiet=0");
        let action = format!("load the image `{label}`");
        let ask = Ask { method: Method::POST, target: &target, action: &action, patience: SILENCE };
        let answer = self.connections().send(&ask, &mut stream);
        if let Some(failure) = stream.into_failure() {
            // What the engine says about half a stream is of no interest, but reading it keeps the connection.
            if let Ok(mut answer) = answer {
                let _ = answer.read_document();
            }
            return Err(failure.into());
        }
        let refused = |message| EngineError::Refused { name: label.clone(), message };
        let mut answer = match answer?.success() {
            Err(EngineError::Api { message, .. }) => return Err(refused(message)),
            other => other?,
        };
        let outcome = progress::read(&mut answer).map_err(|source| answer.not_understood(source))?;
        match outcome.error {
            Some(message) => Err(refused(message)),
            None => Ok(outcome.id),
        }
    }

    /// Checks that the engine has what was sent. containerd's store has IDs of its own, so there the layers count.
    fn check(
        &self,
        image: &Image,
        name: Option<&ImageRef>,
        loaded: Option<ImageId>,
        containerd: bool,
    ) -> Result<ImageId, EngineError> {
        let expected = image.id();
        let other = |found: String| EngineError::OtherImage { expected, found };
        let label = match (containerd, name, loaded) {
            (true, Some(name), _) => name.familiar(),
            (true, None, Some(id)) => id.to_string(),
            _ => expected.to_string(),
        };
        let found = self.inspect(&label)?.ok_or_else(|| other(format!("there is no `{label}`")))?;
        let same_layers = found.root_fs.layers.iter().eq(image.layers().iter().map(|l| &l.diff_id));
        if !same_layers || (!containerd && found.id != expected) {
            return Err(other(format!("`{label}` is `{}`", found.id)));
        }
        Ok(found.id)
    }
}
