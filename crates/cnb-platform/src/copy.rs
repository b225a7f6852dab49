//! Copies an image, or an index of several, from any place to any other.

use cnb_image::{Destination, Image, Tree};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::Platform as ImagePlatform;

use crate::places::{Found, Place, Places, Written};
use crate::{Cancel, Event, Events, Failure, FailureKind, Platform, Transfer};

/// One copy.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// What is copied.
    pub from: Place,
    /// Where to.
    pub to: Place,
    /// Which of it.
    pub which: Which,
}

/// Which images of an index are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The one for Linux on this machine's architecture; a single image is what it is.
    #[default]
    Own,
    /// The one for this platform; a single image must be for it.
    For(ImagePlatform),
    /// All, and the index itself.
    All,
}

impl Which {
    fn platform(&self) -> Option<&ImagePlatform> {
        match self {
            Self::For(platform) => Some(platform),
            Self::Own | Self::All => None,
        }
    }
}

impl Platform {
    /// Copies an image. Its digest stays the same wherever the destination keeps manifests: registries keep every
    /// byte, and so do layouts and OCI archives but for a single image with Docker's media types, which other tools
    /// would not see there.
    ///
    /// # Errors
    /// What was at the destination is then as it was.
    pub fn copy(
        &self,
        request: &CopyRequest,
        events: Events<'_>,
        cancel: &Cancel,
    ) -> Result<Written, Failure> {
        let result = copy(&self.places(cancel), request, events);
        result.map_err(|e| cancel.stopped().map_or(e, |why| crate::cancel::failure(&why)))
    }
}

fn copy(places: &Places<'_>, request: &CopyRequest, events: Events<'_>) -> Result<Written, Failure> {
    let from = places.resolved(&request.from)?;
    let to = &request.to;
    let names: Vec<ImageRef> = from.name().into_iter().filter(|name| name.tag().is_some()).collect();
    let transfers = |transfer| tell(events, &transfer);
    let platform = request.which.platform();
    let found = match from {
        // These have no index to choose from.
        Place::Name(_) | Place::Store(_) | Place::Engine(..) => {
            Found::Image(Box::new(places.read(&from, platform)?))
        }
        Place::Registry(_) | Place::Files(_) => places.read_all(&from)?,
    };
    if let Found::Tree(tree) = &found {
        if request.which == Which::All && (tree.is_index() || to.holds_indexes()) {
            return places.write_tree(tree, to, &names, &transfers);
        }
        // What is no image of an application, such as a signature, can be copied, but not understood.
        let as_it_is = !tree.is_index() && platform.is_none() && keeps(to, tree);
        if as_it_is {
            return places.write_tree(tree, to, &names, &transfers);
        }
    }
    let tree = match &found {
        Found::Tree(tree) => Some(tree.clone()),
        Found::Image(_) => None,
    };
    let image = places.choose(&from, found, platform)?;
    if let Some(platform) = platform {
        check_platform(&from, &image, platform)?;
    }
    let chosen = tree.as_ref().and_then(|tree| tree.find(&image.digest())).filter(|chosen| keeps(to, chosen));
    if let Some(chosen) = chosen {
        return places.write_tree(chosen, to, &names, &transfers);
    }
    let packs = !matches!(to, Place::Engine(..) | Place::Files(Destination::DockerArchive { .. }));
    let image = if packs { places.packed(&from, image)? } else { image };
    places.write(&image, to, &names, &transfers)
}

/// Returns whether the bytes of documents stay as they are there.
fn keeps(to: &Place, tree: &Tree) -> bool {
    match to {
        Place::Registry(_) => true,
        Place::Files(Destination::Layout { .. } | Destination::OciArchive { .. }) => !tree.has_docker_types(),
        _ => false,
    }
}

fn check_platform(from: &Place, image: &Image, wanted: &ImagePlatform) -> Result<(), Failure> {
    let config = image.config();
    let agree = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
    if agree(&config.os, &wanted.os)
        && agree(&config.architecture, &wanted.architecture)
        && agree(&config.variant, &wanted.variant)
    {
        return Ok(());
    }
    let message = format!(
        "the image `{from}` is for {}/{}, and not for {}",
        config.os,
        config.architecture,
        show_platform(wanted)
    );
    Err(Failure::new(FailureKind::Request, message))
}

/// Returns a platform as people write it: `linux/arm/v7`.
pub(crate) fn show_platform(platform: &ImagePlatform) -> String {
    let ImagePlatform { os, architecture, variant, .. } = platform;
    if variant.is_empty() { format!("{os}/{architecture}") } else { format!("{os}/{architecture}/{variant}") }
}

/// Tells what a transfer does.
pub(crate) fn tell(events: Events<'_>, transfer: &Transfer) {
    let (descriptor, reused) = match transfer {
        Transfer::Exists(descriptor) => (descriptor, true),
        Transfer::Sent(descriptor) => (descriptor, false),
        Transfer::Bytes(..) => return,
    };
    if descriptor.media_type.contains("config") || descriptor.media_type.contains("container.image") {
        return;
    }
    let digest = descriptor.digest.to_string();
    let short = digest.get(..19).unwrap_or(&digest);
    events(Event::Layer { name: short, size: descriptor.size, reused });
}
