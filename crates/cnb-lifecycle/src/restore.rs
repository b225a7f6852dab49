//! Restore: gives buildpacks back what earlier builds left for them.
//!
//! [`plan`] decides what comes back. In `cnb build` the contents of cache layers are already in place
//! (`cnb-cache` keeps the layers directory and mounts it), so [`restore`] deletes what may not stay and writes
//! metadata; in the `lifecycle` binary, [`crate::cached`] unpacks contents from a cache.
//! Platform Interface Specification, "`restorer`"; requirements B50 to B55, C58, C59.

use std::collections::BTreeMap;
use std::fmt;

use cnb_fs::{FsError, GuestPath, Kind, Root};
use cnb_spec::api::PlatformApi;
use cnb_spec::buildpack::layer_toml::restored_toml;
use cnb_spec::buildpack::store_toml::StoreToml;
use cnb_spec::fault;
use cnb_spec::id::ModuleId;
use cnb_spec::platform::group_toml::Group;
use cnb_spec::platform::labels::{BuildpackLayers, LayerMetadata, LifecycleMetadata};
use cnb_spec::value::{Metadata, NullInArray};

/// What restoring needs to know.
#[derive(Clone, Copy, Debug)]
pub struct RestoreConfig<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// The chosen buildpacks.
    pub group: &'a Group,
    /// The label of the previous image.
    pub previous: &'a LifecycleMetadata,
    /// What the cache holds; `sha` is empty for layers that were never in an image.
    pub cached: &'a [BuildpackLayers],
    /// Whether only `store.toml` comes back (B51).
    pub skip_layers: bool,
}

/// A layer that comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredLayer {
    /// Where its metadata came from.
    pub source: Source,
    /// The buildpack's own metadata.
    pub metadata: Option<Metadata>,
    /// Whether its contents come back as well.
    pub contents: Contents,
}

/// What becomes of the contents of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// There are none: the layer was in the image alone.
    None,
    /// They come back; the digest by which the cache has them.
    Cached(String),
    /// The cache has others than the image has metadata for: the layer does not come back at all.
    WrongSha,
}

/// Where metadata of a layer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The previous image.
    App,
    /// The cache.
    Cache,
}

/// What restoring will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestorePlan {
    /// `store.toml` by buildpack.
    pub stores: BTreeMap<ModuleId, Metadata>,
    /// Layers by buildpack and name.
    pub layers: BTreeMap<(ModuleId, String), RestoredLayer>,
}

/// Why restoring failed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Metadata in a label cannot be written as TOML.
    #[error("failed to restore the metadata of `{layer}`")]
    Metadata {
        /// Buildpack and layer, or the buildpack alone.
        layer: String,
        /// Why.
        #[source]
        source: NullInArray,
    },
}

/// One thing that restoring did; shown as the Go lifecycle words it (requirement H9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreEvent {
    /// Metadata came back.
    Metadata(ModuleId, String, Source),
    /// Contents came back.
    Contents(ModuleId, String),
    /// Contents were deleted.
    WrongSha(ModuleId, String),
}

impl fmt::Display for RestoreEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(id, layer, Source::App) => {
                write!(f, "Restoring metadata for \"{id}:{layer}\" from app image")
            }
            Self::Metadata(id, layer, Source::Cache) => {
                write!(f, "Restoring metadata for \"{id}:{layer}\" from cache")
            }
            Self::Contents(id, layer) => write!(f, "Restoring data for \"{id}:{layer}\" from cache"),
            Self::WrongSha(id, layer) => write!(f, "Removing \"{id}:{layer}\", wrong sha"),
        }
    }
}

/// Decides, without touching the disk, what comes back.
pub fn plan(config: &RestoreConfig<'_>) -> Result<RestorePlan, RestoreError> {
    let mut plan = RestorePlan::default();
    for element in &config.group.group {
        let id = &element.id;
        let previous = config.previous.buildpack(id.as_str());
        let cached = config.cached.iter().find(|b| b.key == id.as_str());
        if let Some(store) = previous.and_then(|b| b.store.as_ref()).filter(|_| !fault::is("store-lost")) {
            let bad = |source| RestoreError::Metadata { layer: id.to_string(), source };
            if let Some(metadata) = store.to_metadata().map_err(bad)? {
                plan.stores.insert(id.clone(), metadata);
            }
        }
        if config.skip_layers {
            continue;
        }
        let in_cache = |name: &str| cached.and_then(|b| b.layers.get(name)).filter(|l| l.cache);
        let mut add = |name: &str, layer: &LayerMetadata, source: Source| -> Result<(), RestoreError> {
            let bad = |source| RestoreError::Metadata { layer: format!("{id}:{name}"), source };
            let metadata = layer.metadata().map_err(bad)?;
            let key = (id.clone(), name.to_owned());
            let contents = match in_cache(name) {
                None => Contents::None,
                Some(cached) if fault::is("wrong-sha-restored") => Contents::Cached(cached.sha.clone()),
                Some(cached) if cached.sha == layer.sha => Contents::Cached(cached.sha.clone()),
                Some(_) => Contents::WrongSha,
            };
            plan.layers.insert(key, RestoredLayer { source, metadata, contents });
            Ok(())
        };
        for (name, layer) in previous.into_iter().flat_map(|b| &b.layers) {
            let lost = layer.cache && in_cache(name).is_none();
            if layer.launch && (layer.cache || !layer.build || fault::is("build-layer-restored")) && !lost {
                add(name, layer, Source::App)?;
            }
        }
        for (name, layer) in cached.into_iter().flat_map(|b| &b.layers) {
            let known = previous.is_some_and(|b| b.layers.contains_key(name));
            let from_app = layer.launch && (known || !config.api.restores_launch_metadata_from_cache());
            if layer.cache && !from_app {
                add(name, layer, Source::Cache)?;
            }
        }
    }
    Ok(plan)
}

/// Carries `plan` out below `layers`; what it does not mention is deleted.
pub fn restore(
    plan: &RestorePlan,
    root: &Root,
    layers: &GuestPath,
    events: &dyn Fn(RestoreEvent),
) -> Result<(), RestoreError> {
    sweep(plan, root, layers)?;
    write_stores(plan, root, layers)?;
    for ((id, name), layer) in &plan.layers {
        events(RestoreEvent::Metadata(id.clone(), name.clone(), layer.source));
        match &layer.contents {
            Contents::WrongSha => events(RestoreEvent::WrongSha(id.clone(), name.clone())),
            contents => {
                write_metadata(root, layers, id, name, layer)?;
                if *contents != Contents::None {
                    events(RestoreEvent::Contents(id.clone(), name.clone()));
                }
            }
        }
    }
    Ok(())
}

/// Writes `store.toml` of each buildpack that has one.
pub(crate) fn write_stores(plan: &RestorePlan, root: &Root, layers: &GuestPath) -> Result<(), RestoreError> {
    for (id, metadata) in &plan.stores {
        let text = StoreToml { metadata: Some(metadata.clone()) }.to_toml();
        write_anew(root, &layers.join(id.escaped()).join("store.toml"), &text)?;
    }
    Ok(())
}

/// Writes `<layer>.toml` of one layer.
pub(crate) fn write_metadata(
    root: &Root,
    layers: &GuestPath,
    id: &ModuleId,
    name: &str,
    layer: &RestoredLayer,
) -> Result<(), FsError> {
    let path = layers.join(id.escaped()).join(format!("{name}.toml"));
    write_anew(root, &path, &restored_toml(layer.metadata.as_ref()))
}

/// Deletes everything below `layers` but the contents and SBOM files of layers that keep their contents.
fn sweep(plan: &RestorePlan, root: &Root, layers: &GuestPath) -> Result<(), FsError> {
    let mut keep: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (id, name) in
        plan.layers.iter().filter(|(_, l)| matches!(l.contents, Contents::Cached(_))).map(|(key, _)| key)
    {
        keep.entry(id.escaped()).or_default().push(name);
    }
    for entry in root.list(layers)? {
        let dir = layers.join(&entry.name);
        let kept = entry.name.to_str().and_then(|name| keep.get(name));
        let (Some(kept), Kind::Dir) = (kept, entry.kind) else {
            root.remove_tree(&dir)?;
            continue;
        };
        for entry in root.list(&dir)? {
            let stays = entry.name.to_str().is_some_and(|name| {
                let sbom_of = name.rsplit_once(".sbom.").map(|(layer, _)| layer);
                kept.contains(&name) || sbom_of.is_some_and(|layer| kept.contains(&layer))
            });
            if !stays {
                root.remove_tree(&dir.join(&entry.name))?;
            }
        }
    }
    Ok(())
}

/// Writes a file of our own where a buildpack could have left anything: a link, a directory.
fn write_anew(root: &Root, path: &GuestPath, text: &str) -> Result<(), FsError> {
    root.remove_tree(path)?;
    root.write(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers as rows of `name flags sha`, flags of `b`, `c`, `l`.
    fn layers(rows: &[&str]) -> BuildpackLayers {
        let mut found =
            BuildpackLayers { key: "a/b".into(), version: "1".into(), ..BuildpackLayers::default() };
        for row in rows {
            let [name, flags, sha] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let has = |c| flags.contains(c);
            let layer = LayerMetadata {
                sha: sha.into(),
                build: has('b'),
                cache: has('c'),
                launch: has('l'),
                ..LayerMetadata::default()
            };
            found.layers.insert(name.into(), layer);
        }
        found
    }

    #[track_caller]
    fn check(api: &str, app: &[&str], cache: &[&str], expected: &[&str]) {
        let group: Group = toml::from_str("[[group]]\nid = 'a/b'\nversion = '1'\napi = '0.12'").unwrap();
        let previous = LifecycleMetadata { buildpacks: vec![layers(app)], ..LifecycleMetadata::default() };
        let previous = if app.is_empty() { LifecycleMetadata::default() } else { previous };
        let cached = [layers(cache)];
        let config = RestoreConfig {
            api: api.parse().unwrap(),
            group: &group,
            previous: &previous,
            cached: &cached,
            skip_layers: false,
        };
        let plan = plan(&config).unwrap();
        let contents = |l: &RestoredLayer| match l.contents {
            Contents::None => "",
            Contents::Cached(_) => " contents",
            Contents::WrongSha => " wrong",
        };
        let found: Vec<String> = plan
            .layers
            .iter()
            .map(|((_, name), l)| format!("{name} {:?}{}", l.source, contents(l)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_row_of_the_restore_table_holds() {
        check("0.15", &["x bcl s"], &["x bcl s"], &["x App contents"]);
        check("0.15", &[], &["x bc "], &["x Cache contents"]);
        check("0.15", &["x bl s"], &[], &[]);
        check("0.15", &["x cl s"], &["x cl s"], &["x App contents"]);
        check("0.15", &[], &["x c "], &["x Cache contents"]);
        check("0.15", &["x l s"], &[], &["x App"]);
        check("0.15", &["x b s"], &[], &[]);
    }

    #[test]
    fn a_cache_and_launch_layer_comes_back_with_both_or_not_at_all() {
        check("0.15", &["x cl s"], &[], &[]);
        check("0.15", &["x cl s"], &["x cl other"], &["x App wrong"]);
        check("0.15", &["x cl s"], &["x l s"], &[]);
    }

    #[test]
    fn the_cache_speaks_for_a_launch_layer_that_the_image_lacks_since_0_14() {
        check("0.14", &["y l s"], &["x cl s"], &["x Cache contents", "y App"]);
        check("0.13", &["y l s"], &["x cl s"], &["y App"]);
    }

    #[test]
    fn what_does_not_come_back_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let handle = std::fs::File::open(dir.path()).unwrap();
        let root = Root::new(handle.into(), None);
        let write = |path: &str| root.write(&GuestPath::new(path), b"", 0o644).unwrap();
        for path in [
            "/layers/a_b/kept/f",
            "/layers/a_b/kept.sbom.cdx.json",
            "/layers/a_b/old/f",
            "/layers/other/x/f",
            "/layers/a_b/old.toml",
        ] {
            write(path);
        }
        let mut plan = RestorePlan::default();
        let layer =
            RestoredLayer { source: Source::App, metadata: None, contents: Contents::Cached(String::new()) };
        plan.layers.insert(("a/b".parse().unwrap(), "kept".into()), layer);
        restore(&plan, &root, &GuestPath::new("/layers"), &|_| ()).unwrap();
        let names = |path: &str| -> Vec<String> {
            root.list(&GuestPath::new(path))
                .unwrap()
                .into_iter()
                .map(|e| e.name.into_string().unwrap())
                .collect()
        };
        assert_eq!(names("/layers"), ["a_b"]);
        assert_eq!(names("/layers/a_b"), ["kept", "kept.sbom.cdx.json", "kept.toml"]);
    }
}
