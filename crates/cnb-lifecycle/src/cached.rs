//! Restores from a cache of the `lifecycle` binary: a directory of tars or an image (requirements B52 to B55).

use std::io::Read;

use cnb_cache::{Unusable, Volume};
use cnb_dirs::layers::BuildpackLayers;
use cnb_fs::{FsError, GuestPath, Kind, Root};
use cnb_image::{Image, ImageError};
use cnb_spec::api::PlatformApi;
use cnb_spec::digest::DiffId;
use cnb_spec::fault;
use cnb_spec::id::ModuleId;
use cnb_spec::platform::cache_metadata::CacheMetadata;
use cnb_spec::platform::group_toml::Group;

use crate::extract::{ExtractError, extract, extract_below};
use crate::restore::{self, Contents, RestoreError, RestoreEvent, RestorePlan};

/// A cache that layers are restored from.
#[derive(Debug)]
pub enum CacheSource<'a> {
    /// There is none.
    None,
    /// A directory.
    Volume(&'a Volume),
    /// An image; `None` when nothing of its name is there yet.
    Image(Option<&'a Image>),
}

/// Why restoring from a cache failed.
#[derive(Debug, thiserror::Error)]
pub enum CachedError {
    /// Metadata could not be restored.
    #[error(transparent)]
    Metadata(#[from] RestoreError),
    /// A directory could not be read.
    #[error("reading buildpack layer directory")]
    Layers(#[source] FsError),
    /// The metadata of the cache could not be read.
    #[error("retrieving cache metadata")]
    CacheMetadata(#[source] FsError),
    /// A layer that should go could not be deleted.
    #[error("removing layer")]
    Remove(#[source] FsError),
    /// Contents could not be unpacked.
    #[error("restoring data: restoring layer {layer}")]
    Contents {
        /// The layer.
        layer: String,
        /// Why.
        #[source]
        source: Unreadable,
    },
    /// The SBOMs could not be restored.
    #[error("restoring data")]
    Sbom(#[source] Unreadable),
    /// An SBOM could not be copied to its buildpack.
    #[error("restoring data")]
    CopySbom(#[source] FsError),
}

/// Why a layer of the cache could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not there, or damaged: the build can go on without it.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The registry did not give it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It could not be written to disk.
    #[error(transparent)]
    Extract(#[from] ExtractError),
}

/// Something that happened; shown as the Go lifecycle words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachedEvent {
    /// There is no cache at the place that was named.
    CacheNotFound,
    /// Nothing but `store.toml` comes back.
    SkippingLayers,
    /// What happened to a layer.
    Layer(RestoreEvent),
    /// A layer of the cache is of no use.
    Skipped {
        /// The layer.
        layer: String,
        /// Why.
        reason: String,
    },
    /// The SBOMs come back.
    Sboms,
}

impl CacheSource<'_> {
    /// Returns what the cache says of itself.
    pub fn metadata(&self) -> Result<CacheMetadata, FsError> {
        match self {
            Self::Volume(volume) => volume.metadata(),
            Self::Image(Some(image)) => Ok(cnb_cache::image::metadata(image)),
            Self::None | Self::Image(None) => Ok(CacheMetadata::default()),
        }
    }

    /// Unpacks the layer `sha`; that of a directory is verified before anything is written.
    fn restore(&self, config: &Restore<'_>, sha: &str, verify: bool) -> Result<(), Unreadable> {
        let missing = || Unusable::Missing(sha.to_owned());
        let tar: Box<dyn Read> = match self {
            Self::None | Self::Image(None) => return Err(missing().into()),
            Self::Volume(volume) => {
                if verify {
                    volume.verify(sha)?;
                }
                Box::new(volume.open_tar(sha)?)
            }
            Self::Image(Some(image)) => {
                let diff_id: DiffId = sha.parse().map_err(|_| missing())?;
                image.layer(&diff_id).ok_or_else(missing)?.open_tar()?
            }
        };
        if config.confined {
            return Ok(extract_below(config.root, config.layers, tar)?);
        }
        Ok(extract(config.root, tar)?)
    }
}

/// What restoring needs to know.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The world that the layers lie in.
    pub root: &'a Root,
    /// The layers directory.
    pub layers: &'a GuestPath,
    /// The Platform API.
    pub api: PlatformApi,
    /// The chosen buildpacks.
    pub group: &'a Group,
    /// The label of the previous image.
    pub previous: &'a cnb_spec::platform::labels::LifecycleMetadata,
    /// The cache.
    pub cache: &'a CacheSource<'a>,
    /// Whether only `store.toml` comes back (B51).
    pub skip_layers: bool,
    /// Whether nothing is unpacked elsewhere than below the layers directory. The Go lifecycle unpacks anywhere, and
    /// is alone in its container.
    pub confined: bool,
}

/// Restores metadata, contents and SBOMs of layers.
pub fn restore(config: &Restore<'_>, events: &(dyn Fn(CachedEvent) + Sync)) -> Result<(), CachedError> {
    if matches!(config.cache, CacheSource::Image(None)) {
        events(CachedEvent::CacheNotFound);
    }
    let metadata = config.cache.metadata().map_err(CachedError::CacheMetadata)?;
    let plan = restore::plan(&restore::RestoreConfig {
        api: config.api,
        group: config.group,
        previous: config.previous,
        cached: metadata.buildpacks(),
        skip_layers: config.skip_layers,
    })?;
    let wanted = prepare(config, &plan, &metadata, events)?;
    let contents = |(id, name, sha): &(ModuleId, String, String)| {
        let layer = format!("{id}:{name}");
        match config.cache.restore(config, sha, !fault::is("cache-unverified")) {
            Err(Unreadable::Unusable(reason)) => {
                events(CachedEvent::Skipped { layer, reason: reason.to_string() });
                Ok(())
            }
            other => other.map_err(|source| CachedError::Contents { layer, source }),
        }
    };
    std::thread::scope(|scope| {
        let sboms = scope.spawn(|| sboms(config, &metadata, events));
        let threads: Vec<_> = wanted.iter().map(|layer| scope.spawn(|| contents(layer))).collect();
        // The first error counts; none is lost in a thread that nobody waits for.
        let results = threads
            .into_iter()
            .chain([sboms])
            .map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Writes metadata, deletes what does not belong to it, and returns the layers whose contents are wanted.
fn prepare(
    config: &Restore<'_>,
    plan: &RestorePlan,
    cached: &CacheMetadata,
    events: &dyn Fn(CachedEvent),
) -> Result<Vec<(ModuleId, String, String)>, CachedError> {
    restore::write_stores(plan, config.root, config.layers)?;
    if config.skip_layers {
        events(CachedEvent::SkippingLayers);
    }
    for ((id, name), layer) in &plan.layers {
        events(CachedEvent::Layer(RestoreEvent::Metadata(id.clone(), name.clone(), layer.source)));
        restore::write_metadata(config.root, config.layers, id, name, layer).map_err(RestoreError::from)?;
    }
    let mut wanted = Vec::new();
    for element in &config.group.group {
        let id = &element.id;
        let Some(cached) = cached.buildpack(id.as_str()) else { continue };
        let found = BuildpackLayers::read(config.root, config.layers, id).map_err(CachedError::Layers)?;
        for name in found.names() {
            let Some(text) = name.to_str().filter(|n| cached.layers.get(*n).is_some_and(|l| l.cache)) else {
                continue;
            };
            let planned = plan.layers.get(&(id.clone(), text.to_owned())).map(|l| &l.contents);
            if let Some(Contents::Cached(sha)) = planned {
                events(CachedEvent::Layer(RestoreEvent::Contents(id.clone(), text.to_owned())));
                wanted.push((id.clone(), text.to_owned(), sha.clone()));
                continue;
            }
            events(CachedEvent::Layer(RestoreEvent::WrongSha(id.clone(), text.to_owned())));
            for path in [found.layer_dir(name), found.dir.join(format!("{text}.sha")), found.layer_file(name)]
            {
                config.root.remove_tree(&path).map_err(CachedError::Remove)?;
            }
        }
    }
    Ok(wanted)
}

/// Brings the SBOMs of layers back to where their buildpacks look for them (B55).
fn sboms(
    config: &Restore<'_>,
    metadata: &CacheMetadata,
    events: &dyn Fn(CachedEvent),
) -> Result<(), CachedError> {
    if !config.api.has_sbom() || fault::is("sboms-not-restored") {
        return Ok(());
    }
    if !metadata.sbom.sha.is_empty() {
        events(CachedEvent::Sboms);
        // With layers skipped, the Go program says so and restores nothing (J15).
        if !config.skip_layers {
            config.cache.restore(config, &metadata.sbom.sha, false).map_err(CachedError::Sbom)?;
        }
    }
    if config.skip_layers {
        return Ok(());
    }
    let all = config.layers.join("sbom");
    for kind in ["cache", "launch"] {
        copy_sboms(config, &all.join(kind)).map_err(CachedError::CopySbom)?;
    }
    config.root.remove_tree(&all).map_err(CachedError::CopySbom)
}

/// The most bytes of an SBOM: 256 MiB.
const SBOM_LIMIT: u64 = 256 << 20;

fn copy_sboms(config: &Restore<'_>, from: &GuestPath) -> Result<(), FsError> {
    let root = config.root;
    for element in &config.group.group {
        let escaped = element.id.escaped();
        let to = config.layers.join(&escaped);
        if !root.is_dir(&to)? {
            continue;
        }
        let from = from.join(&escaped);
        for layer in root.list(&from)?.into_iter().filter(|e| e.kind == Kind::Dir) {
            for file in root.list(&from.join(&layer.name))?.into_iter().filter(|e| e.kind == Kind::File) {
                let Some(name) = file.name.to_str().filter(|n| n.starts_with("sbom") && n.ends_with("json"))
                else {
                    continue;
                };
                let mut target = layer.name.clone();
                target.push(format!(".{name}"));
                let bytes = root.read(&from.join(&layer.name).join(name), SBOM_LIMIT)?;
                root.write(&to.join(target), &bytes, 0o644)?;
            }
        }
    }
    Ok(())
}
