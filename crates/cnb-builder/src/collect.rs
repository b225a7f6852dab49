//! What one buildpack left in its layers directory (requirements A43 to A51, C54, C56, C64, C65).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;

use cnb_dirs::layers::{BuildpackLayers, SbomSubject};
use cnb_dirs::store::Module;
use cnb_fs::{GuestPath, Root, toml_file};
use cnb_spec::api::BuildpackApi;
use cnb_spec::buildpack::build_toml::{BuildToml, Unmet};
use cnb_spec::buildpack::buildpack_plan::BuildpackPlan;
use cnb_spec::buildpack::launch_toml::{BomItem, LaunchToml, ProcessEntry};
use cnb_spec::buildpack::layer_toml::LayerTypes;
use cnb_spec::fault;
use cnb_spec::platform::metadata_toml::{BomBuildpack, BomEntry};
use cnb_spec::process::{Label, Process, Slice};

use crate::sbom::{Destination, SbomCopy};
use crate::{BuildError, Event};

/// What one buildpack left.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// The layers that buildpacks after it see, in order.
    pub build_layers: Vec<GuestPath>,
    /// The names of its plan that it met.
    pub met: Vec<String>,
    /// Its processes.
    pub processes: Vec<Process>,
    /// Its slices.
    pub slices: Vec<Slice>,
    /// Its labels.
    pub labels: Vec<Label>,
    /// Its SBOM files.
    pub sbom_files: Vec<SbomCopy>,
    /// Its legacy bill of materials of the app image.
    pub launch_bom: Vec<BomEntry>,
    /// Its legacy bill of materials of the build.
    pub build_bom: Vec<BomEntry>,
}

/// Reads what the buildpack `module` left, and sets layers without a type aside.
pub fn collect(
    root: &Root,
    layers: &GuestPath,
    module: &Module,
    api: BuildpackApi,
    plan: &BuildpackPlan,
    events: &dyn Fn(Event),
) -> Result<Left, BuildError> {
    let found = BuildpackLayers::read(root, layers, &module.id)?;
    if found.has_nameless_file() {
        events(Event::NamelessLayer(found.dir.clone()));
    }
    let types = layer_types(root, &found)?;
    let build_layers = types.iter().filter(|(_, t)| t.build).map(|(name, _)| found.layer_dir(name)).collect();
    let build: BuildToml =
        toml_file::read_if_exists(root, &found.dir.join("build.toml"))?.unwrap_or_default();
    let bom = |items: Vec<BomItem>| check_bom(items, module, &found, events);
    let build_bom = bom(build.bom)?;
    let met = met(&build.unmet, plan)?;
    let sbom_files = sbom_files(&found, &types, module)?;
    let launch: Option<LaunchToml> = toml_file::read_if_exists(root, &found.dir.join("launch.toml"))?;
    let launch = launch.unwrap_or_default();
    let processes = processes(launch.processes, module, api, events)?;
    Ok(Left {
        build_layers,
        met,
        processes,
        slices: launch.slices,
        labels: launch.labels,
        sbom_files,
        launch_bom: bom(launch.bom)?,
        build_bom,
    })
}

/// Reads the types of all layers, in the order of their files; a layer without any is renamed to `.ignore`.
fn layer_types(root: &Root, found: &BuildpackLayers) -> Result<Vec<(OsString, LayerTypes)>, BuildError> {
    let mut all = Vec::new();
    for name in found.with_files() {
        let types = found.metadata(root, name).map_err(BuildError::LayerFile)?.types;
        if types == LayerTypes::default() && !fault::is("typeless-layer-kept") {
            set_aside(root, found, name)?;
        }
        all.push((name.to_os_string(), types));
    }
    Ok(all)
}

fn set_aside(root: &Root, found: &BuildpackLayers, name: &OsStr) -> Result<(), BuildError> {
    let dir = found.layer_dir(name);
    if root.symlink_metadata(&dir)?.is_none() {
        return Ok(());
    }
    let mut ignored = name.to_os_string();
    ignored.push(".ignore");
    let ignored = found.dir.join(ignored);
    // A rename would replace an empty directory without a word.
    if root.symlink_metadata(&ignored)?.is_some() {
        return Err(BuildError::IgnoredExists(ignored));
    }
    match root.rename(&dir, &ignored) {
        // An overlay moves no directory of an earlier build. Nobody looks at an ignored layer, so it can go.
        Err(e) if e.source.kind() == ErrorKind::CrossesDevices => Ok(root.remove_tree(&dir)?),
        other => Ok(other?),
    }
}

/// Returns the names of the plan that are not listed as unmet (requirements A48, C54).
fn met(unmet: &[Unmet], plan: &BuildpackPlan) -> Result<Vec<String>, BuildError> {
    // Sets: both lists are as long as buildpacks please.
    let requested: HashSet<&str> = plan.entries.iter().map(|entry| entry.name.as_str()).collect();
    for entry in unmet {
        if entry.name.is_empty() {
            return Err(BuildError::UnmetWithoutName);
        }
        if !requested.contains(entry.name.as_str()) {
            return Err(BuildError::UnmetNotRequested(entry.name.clone()));
        }
    }
    let unmet: HashSet<&str> =
        unmet.iter().filter(|_| !fault::is("unmet-ignored")).map(|entry| entry.name.as_str()).collect();
    let names = plan.entries.iter().map(|entry| &entry.name);
    Ok(names.filter(|name| !unmet.contains(name.as_str())).cloned().collect())
}

fn check_bom(
    items: Vec<BomItem>,
    module: &Module,
    found: &BuildpackLayers,
    events: &dyn Fn(Event),
) -> Result<Vec<BomEntry>, BuildError> {
    if !items.is_empty() && !found.has_sbom() {
        events(Event::LegacyBom);
    }
    let entry = |item: BomItem| {
        if !item.version.is_empty() {
            return Err(BuildError::BomVersion(item.name));
        }
        let buildpack = BomBuildpack { id: module.id.clone(), version: module.version.clone() };
        Ok(BomEntry { name: item.name, metadata: item.metadata, buildpack })
    };
    items.into_iter().map(entry).collect()
}

/// Decides where each SBOM file goes; all must be of formats that the buildpack declares (C64).
fn sbom_files(
    found: &BuildpackLayers,
    types: &[(OsString, LayerTypes)],
    module: &Module,
) -> Result<Vec<SbomCopy>, BuildError> {
    let by_name: BTreeMap<&OsStr, LayerTypes> =
        types.iter().map(|(name, t)| (name.as_os_str(), *t)).collect();
    let names: BTreeSet<OsString> = types.iter().map(|(name, _)| name.clone()).collect();
    let mut copies = Vec::new();
    for file in found.sbom_files(&names) {
        let Some(format) = file.format else { return Err(BuildError::UnknownSbom(file.path)) };
        if !module.info.sbom_formats.iter().any(|declared| format.is_declared_by(declared)) {
            let (buildpack, media_type) = (module.to_string(), format.media_type());
            return Err(BuildError::UndeclaredSbom { path: file.path, buildpack, media_type });
        }
        let mut copy = |to, layer: Option<OsString>| {
            copies.push(SbomCopy {
                from: file.path.clone(),
                buildpack: module.id.clone(),
                layer,
                to,
                format,
            });
        };
        match file.subject {
            SbomSubject::Launch => copy(Destination::Launch, None),
            SbomSubject::Build => copy(Destination::Build, None),
            SbomSubject::Layer(layer) => {
                let types = by_name.get(layer.as_os_str()).copied().unwrap_or_default();
                copy(
                    if types.launch && !fault::is("layer-sbom-misplaced") {
                        Destination::Launch
                    } else {
                        Destination::Build
                    },
                    Some(layer.clone()),
                );
                if types.cache {
                    copy(Destination::Cache, Some(layer));
                }
            }
        }
    }
    Ok(copies)
}

fn processes(
    entries: Vec<ProcessEntry>,
    module: &Module,
    api: BuildpackApi,
    events: &dyn Fn(Event),
) -> Result<Vec<Process>, BuildError> {
    let mut default_type = "";
    for entry in entries.iter().filter(|e| e.default) {
        if !default_type.is_empty() {
            return Err(BuildError::SeveralDefaults);
        }
        default_type = &entry.process_type;
    }
    let process = |entry: ProcessEntry| {
        let mut process = entry.resolve(api)?;
        if !api.has_working_dir() && !process.working_dir.is_empty() {
            events(Event::IgnoredWorkingDir(process.process_type.clone()));
            process.working_dir.clear();
        }
        module.id.as_str().clone_into(&mut process.buildpack_id);
        Ok(process)
    };
    entries.into_iter().map(process).collect()
}
