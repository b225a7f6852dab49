//! Decides which layers the app image has and where each comes from, without touching the disk.

use cnb_fs::GuestPath;
use cnb_image::{Content, Entry};
use cnb_spec::api::PlatformApi;
use cnb_spec::digest::DiffId;
use cnb_spec::fault;
use cnb_spec::platform::labels::{LayerMetadata, LifecycleMetadata};
use cnb_spec::platform::metadata_toml::BuildMetadata;

use crate::found::{Found, FoundBuildpack, FoundLayer};
use crate::{ExportError, launcher};

/// The layers of the app image above the run image, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportPlan {
    /// The layers.
    pub layers: Vec<PlannedLayer>,
    /// What the entrypoint is: a process type, or the launcher itself.
    pub process_type: Option<String>,
}

/// A layer that is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLayer {
    /// Its identifier, such as `example/node:deps`.
    pub id: String,
    /// What the history says of it.
    pub created_by: String,
    /// What it is.
    pub kind: LayerKind,
    /// Where it comes from.
    pub source: PlannedSource,
    /// What it was in the previous image, if it is known.
    pub previous: Option<DiffId>,
}

/// What a layer is; the order is that in the image (E-2).
#[derive(Clone, Debug, PartialEq)]
pub enum LayerKind {
    /// A layer of a buildpack.
    Launch {
        /// The number of the buildpack in the group.
        buildpack: usize,
        /// The layer's name.
        name: String,
        /// Its metadata, without the digest.
        metadata: LayerMetadata,
    },
    /// The SBOMs.
    Sbom,
    /// A part of the app directory.
    App,
    /// The launcher.
    Launcher,
    /// `metadata.toml`.
    Config,
    /// The links that are process types.
    ProcessTypes,
}

/// Where a layer comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum PlannedSource {
    /// A directory with its parents.
    Tree(GuestPath),
    /// A list of paths below a directory, with its parents.
    Paths {
        /// The directory.
        top: GuestPath,
        /// The paths.
        paths: Vec<GuestPath>,
    },
    /// Generated entries.
    Entries(Vec<Entry>),
    /// The layer of the previous image, since there are no contents.
    Previous(DiffId),
    /// A directory that is known not to have changed since it was this layer.
    Unchanged {
        /// The layer.
        diff_id: DiffId,
        /// The directory, in case the blob is gone.
        path: GuestPath,
    },
}

/// What a plan is made from, beside what was found.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The layers directory.
    pub layers: &'a GuestPath,
    /// The app directory.
    pub app: &'a GuestPath,
    /// The Platform API.
    pub api: PlatformApi,
    /// What the buildpacks said of the image.
    pub metadata: &'a BuildMetadata,
    /// What the previous image says of itself.
    pub previous: &'a LifecycleMetadata,
    /// The launcher.
    pub launcher: &'a Content,
    /// The process type that the user wants to be the default.
    pub process_type: Option<&'a str>,
}

/// Returns the layers of the app image (requirements B71, B72, B74, E-2).
///
/// `unchanged` tells the diffID of a launch layer that is known to be as it was.
pub fn plan(
    input: &PlanInput<'_>,
    found: &Found,
    unchanged: &dyn Fn(&FoundBuildpack, &FoundLayer) -> Option<DiffId>,
) -> Result<ExportPlan, ExportError> {
    let mut layers = Vec::new();
    for (number, buildpack) in found.buildpacks.iter().enumerate() {
        for layer in buildpack.layers.iter().filter(|l| l.metadata.types.launch) {
            layers.push(launch_layer(input, number, buildpack, layer, unchanged)?);
        }
        if !buildpack.malformed.is_empty() && !fault::is("malformed-layer-ignored") {
            let ids: Vec<String> = buildpack.malformed.iter().map(|name| buildpack.layer_id(name)).collect();
            return Err(ExportError::Malformed { ids: ids.join(" ") });
        }
    }
    if fault::is("layer-order") {
        layers.reverse();
    }
    let previous = input.previous;
    if input.api.has_sbom() && found.has_launch_sbom && !fault::is("launch-sbom-lost") {
        let sha = previous.sbom.as_ref().map(|l| l.sha.as_str()).unwrap_or_default();
        let source = PlannedSource::Tree(input.layers.join("sbom/launch"));
        layers.push(layer(
            "buildpacksio/lifecycle:launch.sbom",
            "Software Bill-of-Materials",
            LayerKind::Sbom,
            source,
            sha,
        ));
    }
    layers.extend(app_layers(input, found)?);
    let source = PlannedSource::Entries(launcher::launcher(input.launcher));
    let sha = &previous.launcher.sha;
    let created_by = "Buildpacks Application Launcher";
    layers.push(layer("buildpacksio/lifecycle:launcher", created_by, LayerKind::Launcher, source, sha));
    let source = PlannedSource::Tree(input.layers.join("config"));
    let sha = &previous.config.sha;
    layers.push(layer(
        "buildpacksio/lifecycle:config",
        "Buildpacks Launcher Config",
        LayerKind::Config,
        source,
        sha,
    ));
    if let Some(entries) = launcher::process_types(&input.metadata.processes)? {
        let sha = &previous.process_types.sha;
        let (source, kind) = (PlannedSource::Entries(entries), LayerKind::ProcessTypes);
        layers.push(layer(
            "buildpacksio/lifecycle:process-types",
            "Buildpacks Process Types",
            kind,
            source,
            sha,
        ));
    }
    Ok(ExportPlan { layers, process_type: process_type(input)? })
}

fn layer(id: &str, created_by: &str, kind: LayerKind, source: PlannedSource, previous: &str) -> PlannedLayer {
    let (id, created_by) = (id.to_owned(), created_by.to_owned());
    PlannedLayer { id, created_by, kind, source, previous: previous.parse().ok() }
}

fn launch_layer(
    input: &PlanInput<'_>,
    number: usize,
    buildpack: &FoundBuildpack,
    found: &FoundLayer,
    unchanged: &dyn Fn(&FoundBuildpack, &FoundLayer) -> Option<DiffId>,
) -> Result<PlannedLayer, ExportError> {
    let id = buildpack.layer_id(&found.name);
    let name = found.name.to_string_lossy().into_owned();
    let before = input.previous.buildpack(buildpack.id.as_str()).and_then(|b| b.layers.get(&name));
    let previous = before.and_then(|l| l.sha.parse::<DiffId>().ok());
    let source = if found.has_contents {
        let path = found.path.clone();
        match unchanged(buildpack, found) {
            Some(diff_id) => PlannedSource::Unchanged { diff_id, path },
            None => PlannedSource::Tree(path),
        }
    } else if found.metadata.types.cache {
        return Err(ExportError::CacheWithoutContents { id });
    } else {
        // The digest is checked where the layer is looked for: a label can say anything.
        let before = before.ok_or_else(|| ExportError::NotInPrevious { id: id.clone() })?;
        PlannedSource::Previous(
            previous
                .ok_or_else(|| ExportError::BadPreviousSha { id: id.clone(), sha: before.sha.clone() })?,
        )
    };
    let types = found.metadata.types;
    let metadata = LayerMetadata {
        sha: String::new(),
        data: found.data(),
        build: types.build,
        launch: types.launch,
        cache: types.cache,
    };
    let created_by = format!("Layer: '{name}', Created by buildpack: {}@{}", buildpack.id, buildpack.version);
    Ok(PlannedLayer {
        id,
        created_by,
        kind: LayerKind::Launch { buildpack: number, name, metadata },
        source,
        previous,
    })
}

fn app_layers(input: &PlanInput<'_>, found: &Found) -> Result<Vec<PlannedLayer>, ExportError> {
    let slices = &input.metadata.slices;
    let lists = found.app.divide(slices)?;
    let numbered = (1..).zip(lists).map(|(number, paths): (usize, _)| PlannedLayer {
        id: format!("slice-{number}"),
        created_by: if slices.is_empty() {
            "Application Layer".to_owned()
        } else {
            format!("Application Slice: {number}")
        },
        kind: LayerKind::App,
        source: PlannedSource::Paths { top: input.app.clone(), paths },
        previous: None,
    });
    Ok(numbered.collect())
}

fn process_type(input: &PlanInput<'_>) -> Result<Option<String>, ExportError> {
    match input.process_type.filter(|wanted| !wanted.is_empty()) {
        Some(wanted)
            if fault::is("process-type-unchecked")
                || input.metadata.processes.iter().any(|p| p.process_type == wanted) =>
        {
            Ok(Some(wanted.to_owned()))
        }
        Some(wanted) => Err(ExportError::UnknownProcess { process_type: wanted.to_owned() }),
        // A buildpack's default is not checked against the processes (J20).
        None => Ok(Some(input.metadata.default_process_type.clone()).filter(|t| !t.is_empty())),
    }
}
