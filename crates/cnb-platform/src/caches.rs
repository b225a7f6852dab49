//! The caches of a build: folders, and images of registries, which are mirrored in folders.
//!
//! A cache image has the form of the lifecycle's `-cache-image` (requirement A72), so that either reads what the other
//! wrote. What was read from one, or pushed to it, stays beside the image's other data as well, with the digest of the
//! image in the file `image`: as long as the registry has the same one, nothing is downloaded again.

use std::collections::BTreeMap;

use cnb_cache::Kept;
use cnb_detector::Detected;
use cnb_exporter::Exported;
use cnb_fs::{FsError, GuestPath, HostPath, Owner, atomic};
use cnb_image::source::ParentOwner;
use cnb_image::{Image, Ownership};
use cnb_lifecycle::cached::{self, CacheSource, CachedError, CachedEvent};
use cnb_lifecycle::caching::{Caching, CachingEvent};
use cnb_spec::digest::DiffId;
use cnb_spec::image_ref::ImageRef;

use crate::build::{API, Known, LAYERS, Session, threads};
use crate::enter::World;
use crate::{Cache, Failure, FailureKind, Phase, Place, guest, home};

/// The caches that a build found.
pub(crate) struct Caches {
    /// The folder that is written, with what is read from folders.
    pub kept: Kept,
    /// The cache image that is read, and its name; what is kept is empty then.
    image: Option<(ImageRef, Image)>,
    /// The cache image that is written.
    written: Option<WrittenImage>,
}

struct WrittenImage {
    name: ImageRef,
    mirror: HostPath,
    /// What the registry has at the moment, and layers can be taken from.
    before: Option<Image>,
}

impl Caches {
    /// Remembers that what is kept agrees with `pushed`; without that, the next build downloads it.
    pub(crate) fn remember(&self, pushed: &Image) -> Result<(), FsError> {
        let Some(written) = &self.written else { return Ok(()) };
        atomic::write(marker(&written.mirror).as_path(), pushed.digest().to_string().as_bytes())
    }
}

/// What came of restoring from a cache image.
pub(crate) enum FromImage {
    /// There is none to read.
    None,
    /// Everything was restored.
    Restored,
    /// Not all of it could be had; the user has been told.
    Unread(ImageRef),
}

fn marker(mirror: &HostPath) -> HostPath {
    mirror.join("image")
}

/// Returns whether the mirror holds what is in `image`.
fn is_mirrored(mirror: &HostPath, image: &Image) -> bool {
    let remembered = fs_err::read_to_string(marker(mirror).as_path());
    Kept::holds_layers(mirror) && remembered.is_ok_and(|digest| digest == image.digest().to_string())
}

impl Session<'_> {
    /// Opens the caches that were asked for, or the image's own, but for the cache images of `unread`.
    pub(crate) fn open_caches(&self, folder: &HostPath, unread: &[ImageRef]) -> Result<Caches, Failure> {
        let own = [Cache::Dir(folder.join("layers"))];
        let asked = if self.request.caches.is_empty() { &own[..] } else { &self.request.caches[..] };
        let mut dirs: Vec<HostPath> = Vec::new();
        let (mut image, mut written) = (None, None);
        for (number, cache) in asked.iter().enumerate() {
            let (dir, found) = match cache {
                Cache::Dir(dir) => (dir.clone(), None),
                Cache::Registry(name) => {
                    let mirror = folder.join("caches").join(home::folder_name(&name.to_string()));
                    // What cannot be read is made and pushed anew, or the cache would be broken for good.
                    let found = if unread.contains(name) { None } else { self.cache_image(name) };
                    let found = found.map(|image| (name.clone(), image));
                    if number == 0 {
                        let (name, mirror) = (name.clone(), mirror.clone());
                        // Who clears the cache may do so because the registry lost some of it.
                        let before = found.as_ref().map(|(_, image)| image.clone());
                        let before = before.filter(|_| !self.request.clear_cache);
                        written = Some(WrittenImage { name, mirror, before });
                    }
                    (mirror, found)
                }
            };
            if self.request.clear_cache {
                dirs.push(dir);
                break;
            }
            let newer = found.filter(|(_, image)| !is_mirrored(&dir, image));
            let holds_layers = newer.is_none() && Kept::holds_layers(&dir);
            // The mirror of a cache that is only read is nothing to write to: a newer image goes to the first one.
            if number == 0 || newer.is_none() {
                dirs.push(dir);
            }
            if newer.is_some() || holds_layers {
                image = newer;
                break;
            }
        }
        let mut kept = self.open_kept(&dirs)?;
        if self.request.clear_cache || image.is_some() {
            kept.clear().map_err(|e| {
                Failure::new(FailureKind::Phase(Phase::Restore), "failed to clear the cache").because(e)
            })?;
        }
        Ok(Caches { kept, image, written })
    }

    fn open_kept(&self, dirs: &[HostPath]) -> Result<Kept, Failure> {
        let failed =
            |e| Failure::new(FailureKind::Phase(Phase::Restore), "failed to open the cache").because(e);
        let waiting =
            |dir: &HostPath| self.info(&format!("waiting for another build that uses the cache `{dir}`"));
        let kept = Kept::open(dirs, waiting).map_err(failed)?;
        let kept = kept.ok_or_else(|| Failure::new(FailureKind::Other, "no cache was named"))?;
        for busy in kept.busy() {
            self.info(&format!("the cache `{busy}` is not read: another build writes to it"));
        }
        if kept.is_damaged() {
            self.warn(&format!(
                "the cache `{}` is damaged and is not used: everything is made again",
                dirs[0]
            ));
        }
        Ok(kept)
    }

    /// Returns the cache image, if there is one that can be had: a build without a cache only takes longer.
    fn cache_image(&self, name: &ImageRef) -> Option<Image> {
        match self.places.find(&Place::Registry(name.clone()), None) {
            Ok(Some(image)) => Some(image),
            Ok(None) => {
                self.info(&format!("there is no cache `registry:{}` yet", name.typed()));
                None
            }
            Err(failure) => {
                self.warn(&format!("the cache `registry:{}` is not read: {}", name.typed(), chain(&failure)));
                None
            }
        }
    }

    /// Restores from the cache image, if that is what is read.
    ///
    /// When not all of it can be had, the world is to be left for another one, since some of it is there.
    pub(crate) fn restore_image(
        &self,
        world: &World,
        detected: &Detected,
        known: &Known,
        caches: &Caches,
    ) -> Result<FromImage, Failure> {
        let Some((name, image)) = &caches.image else { return Ok(FromImage::None) };
        let restore = cached::Restore {
            root: &world.root,
            layers: &GuestPath::new(LAYERS),
            api: API,
            group: &detected.group,
            previous: &known.analyzed.metadata,
            cache: &CacheSource::Image(Some(image)),
            skip_layers: false,
            // Without isolation the root is this machine's.
            confined: true,
        };
        let events = |event: CachedEvent| match event {
            CachedEvent::Layer(event) => self.info(&event.to_string()),
            CachedEvent::Skipped { layer, reason } => {
                self.warn(&format!("the layer {layer} of the cache is not used: {reason}"));
            }
            CachedEvent::CacheNotFound | CachedEvent::SkippingLayers | CachedEvent::Sboms => {}
        };
        let failed = |e| {
            Failure::new(FailureKind::Phase(Phase::Restore), "failed to restore from the cache image")
                .because(e)
        };
        match cached::restore(&restore, &events) {
            Ok(()) => Ok(FromImage::Restored),
            Err(e @ (CachedError::Contents { .. } | CachedError::Sbom(_))) => {
                self.stop_if_asked()?;
                self.warn(&format!(
                    "the cache `registry:{}` is not used: {}",
                    name.typed(),
                    chain(&failed(e))
                ));
                Ok(FromImage::Unread(name.clone()))
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Pushes what is to be kept, if it goes to a registry; a failure is only a warning, since the image is there.
    pub(crate) fn push_cache(
        &self,
        world: &World,
        exported: &Exported,
        known: &Known,
        caches: &Caches,
    ) -> Option<Image> {
        let written = caches.written.as_ref()?;
        let pushed = self.make_cache(world, exported, known, written).and_then(|image| {
            self.places.write(&image, &Place::Registry(written.name.clone()), &[], &|_| {})?;
            Ok(image)
        });
        let name = written.name.typed();
        pushed
            .inspect_err(|e| {
                self.warn(&format!("the cache `registry:{name}` could not be written: {}", chain(e)));
            })
            .ok()
    }

    fn make_cache(
        &self,
        world: &World,
        exported: &Exported,
        known: &Known,
        written: &WrittenImage,
    ) -> Result<Image, Failure> {
        let before = written.before.as_ref();
        let caching = Caching {
            root: &world.root,
            layers: &GuestPath::new(LAYERS),
            api: API,
            found: &exported.found.buildpacks,
            owner: Ownership { content: guest::USER, parents: ParentOwner::Fixed(Owner { uid: 0, gid: 0 }) },
            known: &in_app_image(exported),
            before: before.map(cnb_cache::image::metadata).unwrap_or_default(),
        };
        let events = |event: CachingEvent| match event {
            CachingEvent::Reused(id) => self.debug(&format!("Reusing cache layer {id}")),
            CachingEvent::Added(id) => self.debug(&format!("Adding cache layer {id}")),
            CachingEvent::NoContents(id) => self.debug(&format!("{id} has no contents to keep")),
            CachingEvent::Failed(id, why) | CachingEvent::NotReused(id, why) => {
                self.warn(&format!("the layer {id} could not be kept: {why}"));
            }
        };
        let image = caching.to_image(before, known.store.blobs(), threads().get(), &events);
        image.map_err(|e| Failure::new(FailureKind::Other, "failed to make the cache image").because(e))
    }
}

/// The layers that are in the app image as well, by identifier.
fn in_app_image(exported: &Exported) -> BTreeMap<String, DiffId> {
    let buildpacks = exported.metadata.buildpacks.iter();
    let layers = buildpacks.flat_map(|b| {
        b.layers
            .iter()
            .filter_map(|(name, layer)| Some((format!("{}:{name}", b.key), layer.sha.parse().ok()?)))
    });
    layers.collect()
}

/// Returns a failure with its cause in one line.
fn chain(failure: &Failure) -> String {
    let causes = std::iter::successors(std::error::Error::source(failure), |e| e.source());
    causes.fold(failure.message.clone(), |all, cause| format!("{all}: {cause}"))
}
