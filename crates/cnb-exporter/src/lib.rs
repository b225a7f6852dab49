//! Turns a finished build into an app image.
//!
//! [`export`] reads what the build left ([`found`]), decides which layers the image has ([`plan`]), makes
//! them, and puts config and labels together. Nothing is run, and nothing outside the layers and app
//! directories is read through links in them.
//!
//! Platform Interface Specification, "exporter"; requirements B65 to B76 and section E.

mod config;
mod event;
pub mod extended;
pub mod found;
mod glob;
mod launcher;
pub mod plan;
pub mod slices;

use std::collections::BTreeMap;
use std::fmt;

use cnb_fs::{FsError, GuestPath, HostPath, Owner, Root};
use cnb_image::{
    BlobStore, Content, Image, ImageError, ImageLayer, LayerError, LayerSource, Ownership, ParentOwner,
    make_layers, media::Family,
};
use cnb_spec::api::PlatformApi;
use cnb_spec::digest::DiffId;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::fault;
use cnb_spec::oci::time;
use cnb_spec::platform::group_toml::GroupElement;
use cnb_spec::platform::labels::{
    self, BuildpackLayers, LauncherMetadata, LayerSha, LifecycleMetadata, RunImageMetadata, StackMetadata,
};
use cnb_spec::platform::metadata_toml::BuildMetadata;
use cnb_spec::platform::project_metadata_toml::ProjectMetadata;
use cnb_spec::platform::report_toml::Report;
use cnb_spec::platform::run_toml::RunImage;

pub use event::Event;
pub use extended::Extended;
use found::{Found, FoundBuildpack, FoundLayer};
pub use glob::BadPattern;
pub use launcher::{LAUNCHER, launcher_metadata};
use plan::{ExportPlan, LayerKind, PlanInput, PlannedLayer, PlannedSource};

/// Everything that an export depends on.
pub struct Export<'a> {
    /// The world in which the build ran.
    pub root: &'a Root,
    /// The layers directory.
    pub layers: GuestPath,
    /// The app directory.
    pub app: GuestPath,
    /// The Platform API.
    pub platform_api: PlatformApi,
    /// The buildpacks that were run.
    pub group: &'a [GroupElement],
    /// What they said of the image: `config/metadata.toml`.
    pub metadata: &'a BuildMetadata,
    /// The run image.
    pub run_image: &'a Image,
    /// The reference by which the run image was read.
    pub run_image_reference: String,
    /// The name of the run image and where else it can be had (E32).
    pub run_image_name: RunImage,
    /// What the previous image says of itself; empty when there is none.
    pub previous: &'a LifecycleMetadata,
    /// The previous image.
    pub previous_image: Option<&'a Image>,
    /// The launcher.
    pub launcher: Content,
    /// What the label says of the launcher.
    pub launcher_metadata: &'a LauncherMetadata,
    /// The process type that the user wants to be the default.
    pub process_type: Option<&'a str>,
    /// Where the source of the app came from.
    pub project: &'a ProjectMetadata,
    /// The execution environment.
    pub exec_env: Option<&'a ExecEnv>,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub source_date_epoch: Option<i64>,
    /// The owner of the contents of layers.
    pub owner: Owner,
    /// The owner of the directories above them.
    pub parents: ParentOwner,
    /// SBOMs of lifecycle and launcher that are to be part of the image (B73; Platform API 0.11).
    pub sboms: Vec<SbomFile>,
    /// Tells the diffID of a launch layer that is known to be as it was: it is not even read.
    pub unchanged: &'a dyn Fn(&FoundBuildpack, &FoundLayer) -> Option<DiffId>,
    /// What image extensions added to the run image (E21).
    pub extended: Option<&'a Extended>,
    /// Whether new layers have Docker's media types whatever the manifest has, as in the Go lifecycle (E36).
    pub docker_layers: bool,
    /// Where blobs are made and looked for.
    pub store: &'a BlobStore,
    /// How many threads make layers.
    pub threads: usize,
}

impl fmt::Debug for Export<'_> {
    /// Names the export; the rest is large, and one field is a closure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Export");
        text.field("layers", &self.layers).field("app", &self.app).field("platform_api", &self.platform_api);
        text.finish_non_exhaustive()
    }
}

/// An SBOM to copy into the layers directory before the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SbomFile {
    /// The file of the host.
    pub from: HostPath,
    /// Where it belongs.
    pub to: GuestPath,
}

/// An exported image, not yet published anywhere.
#[derive(Debug)]
pub struct Exported {
    /// The image; its new layers are in the store, its config and manifest are not.
    pub image: Image,
    /// What the label `io.buildpacks.lifecycle.metadata` says.
    pub metadata: LifecycleMetadata,
    /// `report.toml` without tags, which are known once the image is published.
    pub report: Report,
    /// What the build left, for the cache: layers with `cache = true` are among it.
    pub found: Found,
    /// The layers that the lifecycle added, by identifier.
    pub diff_ids: BTreeMap<String, DiffId>,
}

/// Why an image could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A TOML file could not be used.
    #[error(transparent)]
    Toml(#[from] cnb_fs::toml_file::TomlFileError),
    /// A layer could not be made.
    #[error("creating layer")]
    Layer(#[source] LayerError),
    /// The image could not be put together.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The metadata of layers is malformed (B72).
    #[error("failed to parse metadata for layers '[{ids}]'")]
    Malformed {
        /// The layers.
        ids: String,
    },
    /// A layer is to be cached, but has nothing.
    #[error("layer '{id}' is cache=true but has no contents")]
    CacheWithoutContents {
        /// The layer.
        id: String,
    },
    /// A layer without contents was not in the previous image.
    #[error("cannot reuse '{id}', previous image has no metadata for layer '{id}'")]
    NotInPrevious {
        /// The layer.
        id: String,
    },
    /// The previous image names a layer by something that is no diffID.
    #[error("cannot reuse '{id}', previous image names it by '{sha}'")]
    BadPreviousSha {
        /// The layer.
        id: String,
        /// What it says.
        sha: String,
    },
    /// The previous image does not have the layer that its label names.
    #[error("reusing layer: '{id}': previous image did not have layer with diff id '{diff_id}'")]
    NoPreviousLayer {
        /// The layer.
        id: String,
        /// Its diffID.
        diff_id: DiffId,
    },
    /// A process type cannot be a file name (C66).
    #[error("creating layer '': {}", bad_type(process_type))]
    ProcessType {
        /// The type.
        process_type: String,
    },
    /// The wanted default process does not exist (B74).
    #[error("determining entrypoint: tried to set {process_type} to default but it doesn't exist")]
    UnknownProcess {
        /// The type.
        process_type: String,
    },
    /// The slices could not be made.
    #[error("exporting app layers")]
    Slices(#[from] slices::SliceError),
    /// The run image has no layers (E43).
    #[error("image has no layers")]
    NoRunImageLayers,
    /// The time of the image cannot be written.
    #[error("SOURCE_DATE_EPOCH {0} is outside the years 0 to 9999")]
    Time(i64),
    /// A label cannot be written.
    #[error("failed to write a label")]
    Label(#[source] serde_json::Error),
}

fn bad_type(process_type: &str) -> String {
    if process_type.is_empty() {
        "type is required for all processes".to_owned()
    } else {
        format!("invalid process type '{process_type}': type may not contain characters '/><:|&\\'")
    }
}

/// Exports the image.
///
/// The order of events is that of requirement H18. Blobs of new layers are in `store` afterwards, also when
/// the export fails later.
///
/// # Errors
/// See [`ExportError`]; the previous image is never touched.
pub fn export(config: &Export<'_>, events: &dyn Fn(Event)) -> Result<Exported, ExportError> {
    let Some(top_layer) = config.run_image.layers().last() else { return Err(ExportError::NoRunImageLayers) };
    let created = created(config)?;
    if config.platform_api.has_launcher_sbom() {
        for missing in found::copy_sboms(config.root, &config.sboms)? {
            events(sbom_missing(missing));
        }
    }
    let found = found::read(config.root, &config.layers, &config.app, config.group)?;
    for path in found.buildpacks.iter().filter_map(|b| b.nameless.as_ref()) {
        events(Event::NamelessLayer { path: path.to_string() });
    }
    let input = PlanInput {
        layers: &config.layers,
        app: &config.app,
        api: config.platform_api,
        metadata: config.metadata,
        previous: config.previous,
        launcher: &config.launcher,
        process_type: config.process_type,
    };
    let plan = plan::plan(&input, &found, config.unchanged)?;
    let mut layers = assemble(config, &plan)?;
    if config.docker_layers {
        for layer in layers.iter_mut().filter(|l| of_previous(config, &l.diff_id).is_none()) {
            layer.descriptor.media_type = Family::Docker.layer(layer.compression()?);
        }
    }
    report_layers(&plan, &layers, config.previous, events);

    let metadata = lifecycle_metadata(config, &found, &plan, &layers, top_layer.diff_id);
    let labels = labels(config, &metadata)?;
    for (key, _) in &labels {
        events(Event::Label { key: key.clone() });
    }
    let extensions = config.extended.map(|e| &e.layers[..]).unwrap_or_default();
    let additions = config::Additions {
        api: config.platform_api,
        layers: &config.layers,
        app: &config.app,
        created,
        created_by: extensions
            .iter()
            .map(|l| &l.created_by)
            .chain(plan.layers.iter().map(|l| &l.created_by))
            .cloned()
            .collect(),
        labels,
        process_type: plan.process_type.as_deref(),
    };
    let mut base = config.run_image.config().clone();
    if let Some(extended) = config.extended.and_then(|e| e.config.as_ref()) {
        base.config.clone_from(extended);
    }
    let image_config = config::app_config(&base, config.run_image.layers().len(), additions);
    events(Event::DefaultProcess { process_type: plan.process_type.clone() });
    let diff_ids = plan.layers.iter().zip(&layers).map(|(p, l)| (p.id.clone(), l.diff_id)).collect();
    let extensions = extensions.iter().map(|l| l.layer.clone());
    let all = config.run_image.layers().iter().cloned().chain(extensions).chain(layers).collect();
    let family = config.run_image.family();
    let image = if config.docker_layers {
        Image::assemble_mixed(family, image_config, all)?
    } else {
        Image::assemble(family, image_config, all)?
    };
    // Go's image library changes the base's manifest rather than write a new one.
    let image = image.with_annotations(config.run_image.manifest().annotations.clone())?;
    let build_bom = if config.platform_api.has_legacy_sbom_file() {
        Vec::new()
    } else {
        found::build_bom(config.root, &config.layers, config.group)?
    };
    let report = Report {
        digest: image.digest().to_string(),
        manifest_size: image.manifest_bytes().len() as u64,
        build_bom,
        ..Report::default()
    };
    Ok(Exported { image, metadata, report, found, diff_ids })
}

fn created(config: &Export<'_>) -> Result<String, ExportError> {
    let seconds = config.source_date_epoch.filter(|_| config.platform_api.honours_source_date_epoch());
    let seconds = seconds.filter(|_| !fault::is("created-time"));
    let seconds = seconds.unwrap_or(time::NORMAL_TIME);
    time::rfc3339(seconds).ok_or(ExportError::Time(seconds))
}

fn sbom_missing(file: &SbomFile) -> Event {
    let path = file.from.as_path();
    Event::SbomMissing {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        dir: path.parent().unwrap_or(path).display().to_string(),
    }
}

/// Finds or makes each planned layer.
fn assemble(config: &Export<'_>, plan: &ExportPlan) -> Result<Vec<ImageLayer>, ExportError> {
    let owner = Ownership { content: config.owner, parents: config.parents };
    let tree = |path: &GuestPath| LayerSource::Tree { root: config.root, path: path.clone(), owner };
    let mut sources = Vec::new();
    let mut ready: BTreeMap<usize, ImageLayer> = BTreeMap::new();
    for (number, layer) in plan.layers.iter().enumerate() {
        match &layer.source {
            PlannedSource::Tree(path) => sources.push(tree(path)),
            PlannedSource::Paths { top, paths } => {
                sources.push(LayerSource::Paths {
                    root: config.root,
                    top: top.clone(),
                    paths: paths.clone(),
                    owner,
                });
            }
            PlannedSource::Entries(entries) => sources.push(LayerSource::Entries(entries.clone())),
            PlannedSource::Previous(diff_id) => {
                let found = known(config, diff_id).ok_or_else(|| ExportError::NoPreviousLayer {
                    id: layer.id.clone(),
                    diff_id: *diff_id,
                })?;
                ready.insert(number, found);
            }
            PlannedSource::Unchanged { diff_id, path } => match known(config, diff_id) {
                Some(found) => {
                    ready.insert(number, found);
                }
                None => sources.push(tree(path)),
            },
        }
    }
    let mut made =
        make_layers(config.store, &sources, config.threads).map_err(ExportError::Layer)?.into_iter();
    let layers = (0..plan.layers.len()).filter_map(|number| {
        ready.remove(&number).or_else(|| {
            let made = made.next()?;
            // The blob of the previous image may be packed in another way; then it is at its destination already.
            let before = of_previous(config, &made.diff_id);
            Some(before.unwrap_or_else(|| ImageLayer::made(config.store, &made)))
        })
    });
    Ok(layers.collect())
}

/// Returns a layer that exists already, of the previous image or in the store.
fn known(config: &Export<'_>, diff_id: &DiffId) -> Option<ImageLayer> {
    of_previous(config, diff_id).or_else(|| {
        let blob = config.store.known(diff_id)?;
        Some(ImageLayer::stored(config.store, *diff_id, blob))
    })
}

/// Returns a layer of the previous image, unless its blob has been lost since.
fn of_previous(config: &Export<'_>, diff_id: &DiffId) -> Option<ImageLayer> {
    let layer = config.previous_image?.layer(diff_id).filter(|_| !fault::is("layer-not-reused"));
    layer.filter(|layer| layer.is_present()).cloned()
}

fn report_layers(
    plan: &ExportPlan,
    layers: &[ImageLayer],
    previous: &LifecycleMetadata,
    events: &dyn Fn(Event),
) {
    let was_app = |diff_id: &DiffId| previous.app.iter().any(|l| l.sha.parse() == Ok(*diff_id));
    let (mut total, mut reused) = (0, 0);
    let of_app = plan.layers.iter().filter(|l| l.kind == LayerKind::App).count();
    for (planned, layer) in plan.layers.iter().zip(layers) {
        let (id, diff_id) = (planned.id.clone(), layer.diff_id);
        if planned.kind == LayerKind::App {
            total += 1;
            reused += usize::from(was_app(&diff_id));
            events(Event::AppLayer { id, diff_id });
            if total == of_app {
                events(Event::AppLayers { reused, total });
            }
        } else if is_reused(planned, &diff_id) {
            events(Event::LayerReused { id, diff_id });
        } else {
            events(Event::LayerAdded { id, diff_id });
        }
    }
}

fn is_reused(planned: &PlannedLayer, diff_id: &DiffId) -> bool {
    (planned.previous == Some(*diff_id) && !fault::is("reuse-untold"))
        || matches!(planned.source, PlannedSource::Previous(_))
}

fn lifecycle_metadata(
    config: &Export<'_>,
    found: &Found,
    plan: &ExportPlan,
    layers: &[ImageLayer],
    top_layer: DiffId,
) -> LifecycleMetadata {
    let names_run_image = config.platform_api.has_run_toml();
    let name = |keep: bool| if keep { config.run_image_name.clone() } else { RunImage::default() };
    let RunImage { image, mirrors } = name(names_run_image);
    let mut metadata: LifecycleMetadata = LifecycleMetadata {
        buildpacks: found
            .buildpacks
            .iter()
            .map(|b| BuildpackLayers {
                key: b.id.as_str().to_owned(),
                version: b.version.clone(),
                layers: BTreeMap::new(),
                store: b.store.clone(),
            })
            .collect(),
        run_image: RunImageMetadata {
            top_layer: top_layer.to_string(),
            reference: config.run_image_reference.clone(),
            image,
            mirrors,
        },
        stack: StackMetadata { run_image: name(true) },
        ..LifecycleMetadata::default()
    };
    for (planned, layer) in plan.layers.iter().zip(layers) {
        let sha = LayerSha { sha: layer.diff_id.to_string() };
        match &planned.kind {
            LayerKind::Launch { buildpack, name, metadata: of_layer } => {
                let mut of_layer = of_layer.clone();
                of_layer.sha = sha.sha;
                metadata.buildpacks[*buildpack].layers.insert(name.clone(), of_layer);
            }
            LayerKind::Sbom => metadata.sbom = Some(sha),
            LayerKind::App => metadata.app.push(sha),
            LayerKind::Launcher => metadata.launcher = sha,
            LayerKind::Config => metadata.config = sha,
            LayerKind::ProcessTypes => metadata.process_types = sha,
        }
    }
    metadata
}

/// Returns the labels in the order in which they are set (E27, C69).
fn labels(config: &Export<'_>, metadata: &LifecycleMetadata) -> Result<Vec<(String, String)>, ExportError> {
    let api = config.platform_api;
    let build =
        labels::build_metadata(config.metadata, config.launcher_metadata, api).map_err(ExportError::Label)?;
    let mut all = vec![
        (labels::LIFECYCLE_METADATA.to_owned(), metadata.to_label().map_err(ExportError::Label)?),
        (labels::BUILD_METADATA.to_owned(), build),
        (labels::PROJECT_METADATA.to_owned(), config.project.to_label()),
    ];
    let own = config.metadata.labels.iter().filter(|_| !fault::is("labels-lost"));
    all.extend(own.map(|l| (l.key.clone(), l.value.clone())));
    let exec_env = config.exec_env.filter(|_| api.honours_exec_env() && !fault::is("exec-env-label-lost"));
    if let Some(exec_env) = exec_env.filter(|e| !e.as_str().is_empty()) {
        all.push((labels::EXEC_ENV.to_owned(), exec_env.as_str().to_owned()));
    }
    Ok(all)
}
