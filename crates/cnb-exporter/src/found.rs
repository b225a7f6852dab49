//! What a build left behind, read from the layers and app directories.

use std::ffi::{OsStr, OsString};

use cnb_dirs::layers::BuildpackLayers;
use cnb_fs::{FsError, GuestPath, Root, toml_file};
use cnb_spec::buildpack::build_toml::BuildToml;
use cnb_spec::buildpack::layer_toml::LayerContentMetadata;
use cnb_spec::buildpack::store_toml::StoreToml;
use cnb_spec::id::ModuleId;
use cnb_spec::platform::group_toml::GroupElement;
use cnb_spec::platform::labels::Store;
use cnb_spec::platform::metadata_toml::{BomBuildpack, BomEntry};
use cnb_spec::value;
use serde_json::Value as Json;

use crate::ExportError;
use crate::slices::AppTree;

/// What a build left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What each buildpack of the group left, in the order of the group.
    pub buildpacks: Vec<FoundBuildpack>,
    /// Whether there are SBOMs of the app image.
    pub has_launch_sbom: bool,
    /// The app directory.
    pub app: AppTree,
}

/// What one buildpack left.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundBuildpack {
    /// The buildpack.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
    /// Its layers, sorted by name; those with malformed metadata are not among them.
    pub layers: Vec<FoundLayer>,
    /// The names of layers whose metadata is malformed.
    pub malformed: Vec<OsString>,
    /// What it remembers.
    pub store: Option<Store>,
    /// A file named just `.toml`, if there is one (J29).
    pub nameless: Option<GuestPath>,
}

/// A layer on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundLayer {
    /// Its name: any bytes but `/`.
    pub name: OsString,
    /// Where its contents are, or would be.
    pub path: GuestPath,
    /// Whether it has contents.
    pub has_contents: bool,
    /// What it is for.
    pub metadata: LayerContentMetadata,
}

impl FoundLayer {
    /// Returns the layer's own metadata as it stands in labels: `null` when there is none.
    pub fn data(&self) -> Json {
        self.metadata.metadata.as_ref().map_or(Json::Null, value::table_to_json)
    }
}

impl FoundBuildpack {
    /// Returns the identifier of a layer as messages show it.
    pub fn layer_id(&self, name: &OsStr) -> String {
        format!("{}:{}", self.id, name.to_string_lossy())
    }
}

/// Reads what one buildpack left; for the cache as well, which wants the layers with `cache = true`.
pub fn read_buildpack(
    root: &Root,
    layers: &GuestPath,
    buildpack: &GroupElement,
) -> Result<FoundBuildpack, ExportError> {
    let dir = BuildpackLayers::read(root, layers, &buildpack.id)?;
    let mut found = FoundBuildpack {
        id: buildpack.id.clone(),
        version: buildpack.version.clone(),
        layers: Vec::new(),
        malformed: Vec::new(),
        store: None,
        nameless: dir.has_nameless_file().then(|| dir.dir.join(".toml")),
    };
    for name in dir.names() {
        let Ok(metadata) = dir.metadata(root, name) else {
            found.malformed.push(name.to_os_string());
            continue;
        };
        let path = dir.layer_dir(name);
        let has_contents = root.exists(&path)?;
        found.layers.push(FoundLayer { name: name.to_os_string(), path, has_contents, metadata });
    }
    let store: Option<StoreToml> = toml_file::read_if_exists(root, &dir.dir.join("store.toml"))?;
    found.store =
        store.map(|s| Store { metadata: s.metadata.as_ref().map_or(Json::Null, value::table_to_json) });
    Ok(found)
}

pub(crate) fn read(
    root: &Root,
    layers: &GuestPath,
    app: &GuestPath,
    group: &[GroupElement],
) -> Result<Found, ExportError> {
    let buildpacks = group.iter().map(|b| read_buildpack(root, layers, b)).collect::<Result<_, _>>()?;
    let has_launch_sbom = root.exists(&layers.join("sbom/launch"))?;
    Ok(Found { buildpacks, has_launch_sbom, app: AppTree::read(root, app)? })
}

/// Reads the bill of materials for building, before Platform API 0.9 (A31).
pub(crate) fn build_bom(
    root: &Root,
    layers: &GuestPath,
    group: &[GroupElement],
) -> Result<Vec<BomEntry>, ExportError> {
    let mut all = Vec::new();
    for buildpack in group {
        let path = cnb_dirs::layers::dir_of(layers, &buildpack.id).join("build.toml");
        let file: BuildToml = toml_file::read_if_exists(root, &path)?.unwrap_or_default();
        all.extend(file.bom.into_iter().map(|item| BomEntry {
            name: item.name,
            metadata: item.metadata,
            buildpack: BomBuildpack { id: buildpack.id.clone(), version: buildpack.version.clone() },
        }));
    }
    Ok(all)
}

/// Copies the SBOMs of lifecycle and launcher into the layers directory; returns those that are not there.
pub(crate) fn copy_sboms<'s>(
    root: &Root,
    files: &'s [crate::SbomFile],
) -> Result<Vec<&'s crate::SbomFile>, ExportError> {
    let mut missing = Vec::new();
    for file in files {
        match toml_file::read_host_bytes(file.from.as_path(), SBOM_LIMIT) {
            Ok(bytes) => root.write(&file.to, &bytes, 0o644)?,
            Err(e) if e.is_not_found() => missing.push(file),
            Err(e) => return Err(FsError::into(e)),
        }
    }
    Ok(missing)
}

/// The most bytes of an SBOM of the lifecycle itself: 256 MiB.
const SBOM_LIMIT: u64 = 256 << 20;
