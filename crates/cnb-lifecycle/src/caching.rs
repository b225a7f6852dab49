//! Keeps the layers of a build that are marked `cache = true`, in a directory of tars or an image
//! (requirements B77 to B80).

use std::collections::BTreeMap;
use std::io;

use cnb_cache::{Volume, VolumeError};
use cnb_exporter::found::FoundBuildpack;
use cnb_fs::{FsError, GuestPath, Root};
use cnb_image::{
    BlobStore, Image, ImageError, ImageLayer, LayerError, LayerSource, Ownership, make_layers, write_tar,
};
use cnb_spec::api::PlatformApi;
use cnb_spec::digest::DiffId;
use cnb_spec::fault;
use cnb_spec::platform::cache_metadata::CacheMetadata;
use cnb_spec::platform::labels::{BuildpackLayers, LayerMetadata};

/// What is kept, and how.
#[derive(Debug)]
pub struct Caching<'a> {
    /// The world that the layers lie in.
    pub root: &'a Root,
    /// The layers directory.
    pub layers: &'a GuestPath,
    /// The Platform API.
    pub api: PlatformApi,
    /// What the buildpacks left, in the order of the group.
    pub found: &'a [FoundBuildpack],
    /// The owners of the entries of layers.
    pub owner: Ownership,
    /// Layers whose digest is known, since they are in the app image as well; by identifier.
    pub known: &'a BTreeMap<String, DiffId>,
    /// What the cache held before.
    pub before: CacheMetadata,
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum CachingError {
    /// The cache directory.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A layer of the cache image.
    #[error("creating layer")]
    Layer(#[from] LayerError),
    /// The cache image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The SBOMs.
    #[error("failed to read layers SBOM")]
    Sbom(#[source] FsError),
}

/// Something that happened; shown as the Go lifecycle words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachingEvent {
    /// A layer is as it was.
    Reused(String),
    /// A layer is new.
    Added(String),
    /// A layer to be kept has nothing.
    NoContents(String),
    /// A layer could not be kept.
    Failed(String, String),
    /// The copy in the cache is of no use, so it is made again.
    NotReused(String, String),
}

/// The identifier of the layer with SBOMs.
const SBOM_ID: &str = "buildpacksio/lifecycle:cache.sbom";

/// A layer to be kept.
struct Wanted<'a> {
    /// The number of the buildpack in the group and the layer's name; `None` for the SBOMs.
    of: Option<(usize, String)>,
    id: String,
    metadata: LayerMetadata,
    /// Its digest in the cache as it was.
    before: String,
    source: LayerSource<'a>,
}

impl<'a> Caching<'a> {
    /// Stages the layers in `volume` and returns what it is to be committed with.
    pub fn to_volume(
        &self,
        volume: &Volume,
        events: &dyn Fn(CachingEvent),
    ) -> Result<CacheMetadata, CachingError> {
        let mut metadata = self.empty();
        for mut layer in self.wanted(events)? {
            match keep_in_volume(volume, &layer, self.known.get(&layer.id), events) {
                Ok(diff_id) => layer.metadata.sha = diff_id.to_string(),
                Err(e) if layer.of.is_some() => {
                    events(CachingEvent::Failed(layer.id, describe(&e)));
                    continue;
                }
                Err(e) => return Err(e.into()),
            }
            add(&mut metadata, layer);
        }
        Ok(metadata)
    }

    /// Makes the cache image; layers that are in `before` are taken from there.
    pub fn to_image(
        &self,
        before: Option<&Image>,
        store: &BlobStore,
        threads: usize,
        events: &dyn Fn(CachingEvent),
    ) -> Result<Image, CachingError> {
        let mut metadata = self.empty();
        let mut layers = Vec::new();
        for mut layer in self.wanted(events)? {
            let old = before.filter(|_| !layer.before.is_empty());
            let old = old.and_then(|image| image.layer(&layer.before.parse().ok()?)).cloned();
            let unchanged = match (&old, self.known.get(&layer.id)) {
                (None, _) => false,
                (Some(old), Some(known)) => old.diff_id == *known,
                // Hashing is ten times as fast as packing.
                (Some(old), None) => write_tar(&layer.source, &mut io::sink(), "".as_ref())?.0 == old.diff_id,
            };
            let kept = if let Some(old) = old.filter(|_| unchanged) {
                events(CachingEvent::Reused(layer.id.clone()));
                old
            } else {
                events(CachingEvent::Added(layer.id.clone()));
                self.make(store, &layer, threads)?
            };
            layer.metadata.sha = kept.diff_id.to_string();
            add(&mut metadata, layer);
            layers.push(kept);
        }
        if layers.is_empty() {
            let empty = [LayerSource::Entries(Vec::new())];
            layers.extend(make_layers(store, &empty, 1)?.iter().map(|made| ImageLayer::made(store, made)));
        }
        Ok(cnb_cache::image::cache_image(&metadata, layers)?)
    }

    fn make(
        &self,
        store: &BlobStore,
        layer: &Wanted<'_>,
        threads: usize,
    ) -> Result<ImageLayer, CachingError> {
        let known = self.known.get(&layer.id).and_then(|diff_id| Some((*diff_id, store.known(diff_id)?)));
        if let Some((diff_id, blob)) = known {
            return Ok(ImageLayer::stored(store, diff_id, blob));
        }
        let made = make_layers(store, std::slice::from_ref(&layer.source), threads)?;
        Ok(made.iter().map(|made| ImageLayer::made(store, made)).collect::<Vec<_>>().remove(0))
    }

    fn empty(&self) -> CacheMetadata {
        let buildpacks = self.found.iter().map(|b| BuildpackLayers {
            key: b.id.as_str().to_owned(),
            version: b.version.clone(),
            ..BuildpackLayers::default()
        });
        let buildpacks: Vec<_> = buildpacks.collect();
        CacheMetadata {
            buildpacks: (!buildpacks.is_empty()).then_some(buildpacks),
            ..CacheMetadata::default()
        }
    }

    /// Lists the layers to be kept, in the order of the group.
    fn wanted(&self, events: &dyn Fn(CachingEvent)) -> Result<Vec<Wanted<'a>>, CachingError> {
        let tree = |path: GuestPath| LayerSource::Tree { root: self.root, path, owner: self.owner };
        let mut wanted = Vec::new();
        for (number, buildpack) in self.found.iter().enumerate() {
            for layer in buildpack.layers.iter().filter(|l| l.metadata.types.cache) {
                let id = buildpack.layer_id(&layer.name);
                if !layer.has_contents {
                    events(CachingEvent::NoContents(id));
                    continue;
                }
                let name = layer.name.to_string_lossy().into_owned();
                let before = self.before.buildpack(buildpack.id.as_str()).and_then(|b| b.layers.get(&name));
                let types = layer.metadata.types;
                wanted.push(Wanted {
                    of: Some((number, name)),
                    id,
                    metadata: LayerMetadata {
                        sha: String::new(),
                        data: layer.data(),
                        build: types.build,
                        launch: types.launch,
                        cache: types.cache && !fault::is("cache-flag-lost"),
                    },
                    before: before.map(|l| l.sha.clone()).unwrap_or_default(),
                    source: tree(layer.path.clone()),
                });
            }
        }
        let sboms = self.layers.join("sbom/cache");
        if self.api.has_sbom() && self.root.exists(&sboms).map_err(CachingError::Sbom)? {
            wanted.push(Wanted {
                of: None,
                id: SBOM_ID.to_owned(),
                metadata: LayerMetadata::default(),
                before: self.before.sbom.sha.clone(),
                source: tree(sboms),
            });
        }
        Ok(wanted)
    }
}

fn add(metadata: &mut CacheMetadata, layer: Wanted<'_>) {
    match layer.of {
        None => metadata.sbom.sha = layer.metadata.sha,
        Some((number, name)) => {
            if let Some(buildpack) = metadata.buildpacks.iter_mut().flatten().nth(number) {
                buildpack.layers.insert(name, layer.metadata);
            }
        }
    }
}

fn keep_in_volume(
    volume: &Volume,
    layer: &Wanted<'_>,
    known: Option<&DiffId>,
    events: &dyn Fn(CachingEvent),
) -> Result<DiffId, VolumeError> {
    // A layer that is in the cache alone is hashed first: reading is cheaper than writing it again.
    let hash = || write_tar(&layer.source, &mut io::sink(), "".as_ref()).map(|(diff_id, _)| diff_id);
    let known = match known {
        None if !layer.before.is_empty() => {
            Some(hash().map_err(|source| VolumeError::Layer { id: layer.id.clone(), source })?)
        }
        other => other.copied(),
    };
    let known = known.filter(|_| !fault::is("cache-not-reused"));
    if let Some(known) = known.filter(|known| layer.before == known.to_string()) {
        match volume.verify(&layer.before) {
            Ok(()) => {
                volume.reuse(&layer.before)?;
                events(CachingEvent::Reused(layer.id.clone()));
                return Ok(known);
            }
            Err(why) => events(CachingEvent::NotReused(layer.id.clone(), why.to_string())),
        }
    }
    let diff_id = volume.add(&layer.id, &layer.source)?;
    events(CachingEvent::Added(layer.id.clone()));
    Ok(diff_id)
}

/// Returns an error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source()).map(|e| format!(": {e}"));
    std::iter::once(error.to_string()).chain(causes).collect()
}
