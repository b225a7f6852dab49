//! Keeps cached layers after an export; nothing here fails the build (requirements B77 to B80).

use std::collections::BTreeMap;
use std::thread;

use cnb_cache::Volume;
use cnb_exporter::found::FoundBuildpack;
use cnb_image::{BlobStore, Image};
use cnb_lifecycle::cached::CacheSource;
use cnb_lifecycle::caching::{Caching, CachingEvent};
use cnb_spec::digest::DiffId;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::platform::cache_metadata::CacheMetadata;

use crate::connected::Connected;
use crate::console::Level;
use crate::exit::{Failure, describe};
use crate::exporter::ownership;
use crate::restorer::Cache;
use crate::timer::Timer;

/// A cache that will be written.
pub(crate) struct Keep<'a> {
    connected: &'a Connected<'a>,
    store: &'a BlobStore,
    cache: Cache,
    before: CacheMetadata,
}

impl<'a> Keep<'a> {
    /// Reads what the cache holds, before anything is exported.
    pub(crate) fn new(
        connected: &'a Connected<'a>,
        store: &'a BlobStore,
        cache: Cache,
    ) -> Result<Self, Failure> {
        let source = match &cache {
            Cache::Volume(volume) => CacheSource::Volume(volume),
            Cache::Image(image) => CacheSource::Image(image.as_deref()),
        };
        let before = source.metadata().map_err(Failure::file("read the metadata of the cache"))?;
        Ok(Self { connected, store, cache, before })
    }

    /// Keeps the layers of `found`; `may_commit` is asked once all is ready. A failure is a warning.
    pub(crate) fn run(
        self,
        found: &[FoundBuildpack],
        known: &BTreeMap<String, DiffId>,
        may_commit: &dyn Fn() -> bool,
    ) {
        let console = self.connected.console;
        let _timer = Timer::start(console, "Cache");
        if let Err(why) = self.keep(found, known, may_commit) {
            console.log(Level::Warn, &format!("Failed to export cache: {why}\n"));
        }
    }

    fn keep(
        self,
        found: &[FoundBuildpack],
        known: &BTreeMap<String, DiffId>,
        may_commit: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let Self { connected, store, cache, before } = self;
        let caching = Caching {
            root: &connected.root,
            layers: &connected.inputs.path("layers"),
            api: connected.inputs.platform_api,
            found,
            owner: ownership(connected),
            known,
            before,
        };
        let console = connected.console;
        let events = |event: CachingEvent| match event {
            CachingEvent::Reused(id) => console.log(Level::Info, &format!("Reusing cache layer '{id}'")),
            CachingEvent::Added(id) => console.log(Level::Info, &format!("Adding cache layer '{id}'")),
            CachingEvent::NoContents(id) => {
                console.log(Level::Warn, &format!("Failed to cache layer '{id}' because it has no contents"));
            }
            CachingEvent::Failed(id, why) => {
                console.log(Level::Warn, &format!("Failed to cache layer '{id}': {why}"));
            }
            CachingEvent::NotReused(id, why) => {
                console.log(Level::Warn, &format!("Skipping reuse for layer {id}: {why}"));
            }
        };
        match cache {
            Cache::Volume(volume) => to_volume(&caching, volume, may_commit, &events),
            Cache::Image(image) => {
                if image.is_none() {
                    console.log(Level::Info, "Layer cache not found");
                }
                let threads = thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
                let made = caching.to_image(image.as_deref(), store, threads, &events);
                let made = made.map_err(|e| describe(&e))?;
                if may_commit() { push(connected, image.as_deref(), &made) } else { Ok(()) }
            }
        }
    }
}

fn to_volume(
    caching: &Caching<'_>,
    volume: Volume,
    may_commit: &dyn Fn() -> bool,
    events: &dyn Fn(CachingEvent),
) -> Result<(), String> {
    let metadata = caching.to_volume(&volume, events).map_err(|e| describe(&e))?;
    if may_commit() {
        volume.commit(Some(&metadata)).map_err(|e| format!("committing cache: {}", describe(&e)))
    } else {
        Ok(())
    }
}

/// Pushes the cache image and, where the Platform API says so, deletes the one it replaces (B80).
fn push(connected: &Connected<'_>, before: Option<&Image>, image: &Image) -> Result<(), String> {
    let name: ImageRef = connected.names.cache_image.parse().map_err(|e| describe(&e))?;
    let pushed = connected.registry.push(image, &name, &|_| {});
    pushed.map_err(|e| format!("committing cache: saving image '{}': {}", name.typed(), describe(&e)))?;
    let replaced = before.filter(|old| old.digest() != image.digest());
    if let Some(old) = replaced.filter(|_| connected.inputs.platform_api.deletes_old_cache_image())
        && let Err(e) = connected.registry.delete(&name.with_digest(old.digest()))
    {
        connected.console.log(Level::Warn, &format!("Unable to delete cache image: {}", describe(&e)));
    }
    Ok(())
}
