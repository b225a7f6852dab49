//! Labels of app images: what a build must remember for the next build, for rebasing, for people.
//!
//! Written by the exporter, read by analyzer, restorer, rebaser and `cnb inspect`.
//! Platform Interface Specification, "Labels"; requirements E30 to E35, A14.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use super::group_toml::GroupElement;
use super::metadata_toml::{BomEntry, BuildMetadata};
use super::run_toml::RunImage;
use crate::api::PlatformApi;
use crate::gojson;
use crate::gotoml::{Node, Table};
use crate::process::Process;
use crate::value::{self, Metadata};

/// The label that holds [`LifecycleMetadata`].
pub const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";
/// The label that holds [`build_metadata`].
pub const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
/// The label that holds the project metadata.
pub const PROJECT_METADATA: &str = "io.buildpacks.project.metadata";
/// The label that names the execution environment (Platform API 0.15).
pub const EXEC_ENV: &str = "io.buildpacks.exec-env";
/// The label of a run image that says whether its apps can be rebased.
pub const REBASABLE: &str = "io.buildpacks.rebasable";
/// The label of a base image with its distribution's name.
pub const BASE_DISTRO_NAME: &str = "io.buildpacks.base.distro.name";
/// The label of a base image with its distribution's version.
pub const BASE_DISTRO_VERSION: &str = "io.buildpacks.base.distro.version";
/// The label of a base image with its own ID.
pub const BASE_ID: &str = "io.buildpacks.base.id";

/// The label `io.buildpacks.lifecycle.metadata`, also `[metadata]` of `analyzed.toml` (requirement E30).
///
/// `App` is what is made of `app`; a rebase, which must keep all of it, takes any JSON (B94).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "App: Deserialize<'de> + Default"))]
pub struct LifecycleMetadata<App = Vec<LayerSha>> {
    /// The app's layers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub app: App,
    /// The SBOM layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<LayerSha>,
    /// The buildpacks and their layers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub buildpacks: Vec<BuildpackLayers>,
    /// The layer with `metadata.toml`.
    #[serde(default)]
    pub config: LayerSha,
    /// The layer with the launcher.
    #[serde(default)]
    pub launcher: LayerSha,
    /// The layer with the process types.
    #[serde(default, rename = "process-types")]
    pub process_types: LayerSha,
    /// The run image.
    #[serde(default, rename = "runImage", alias = "run-image")]
    pub run_image: RunImageMetadata,
    /// The run image in its older place.
    #[serde(default)]
    pub stack: StackMetadata,
}

/// A layer by its diffID; empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSha {
    /// The diffID.
    #[serde(default)]
    pub sha: String,
}

/// A buildpack and the layers it left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildpackLayers {
    /// The buildpack's ID.
    #[serde(default)]
    pub key: String,
    /// The buildpack's version.
    #[serde(default)]
    pub version: String,
    /// The layers by name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: BTreeMap<String, LayerMetadata>,
    /// What the buildpack remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
}

/// What a buildpack remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// The buildpack's own; JSON in labels, TOML in `store.toml`.
    #[serde(default)]
    pub metadata: Json,
}

/// A layer of a buildpack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerMetadata {
    /// The diffID.
    #[serde(default)]
    pub sha: String,
    /// The buildpack's own, `null` when there is none; called `metadata` in `analyzed.toml`.
    #[serde(default, alias = "metadata")]
    pub data: Json,
    /// Whether later buildpacks see it.
    #[serde(default)]
    pub build: bool,
    /// Whether it is in the app image.
    #[serde(default)]
    pub launch: bool,
    /// Whether it is kept for the next build.
    #[serde(default)]
    pub cache: bool,
}

/// The run image an app stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunImageMetadata {
    /// The diffID of its last layer.
    #[serde(default, rename = "topLayer", alias = "top-layer")]
    pub top_layer: String,
    /// The reference it was read by.
    #[serde(default)]
    pub reference: String,
    /// Its name (Platform API 0.12).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Where else it can be had (Platform API 0.12).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
}

/// The run image in its older place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackMetadata {
    /// The run image.
    #[serde(default, rename = "runImage", alias = "run-image")]
    pub run_image: RunImage,
}

fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl LifecycleMetadata {
    /// Reads the label, `None` when it cannot be read; an empty one has nothing in it (requirement B29).
    pub fn from_label(label: &str) -> Option<Self> {
        if label.is_empty() {
            return Some(Self::default());
        }
        // An array does for a struct here, but not in Go.
        if label.trim_start().starts_with('[') {
            return None;
        }
        let read: Option<Self> = serde_json::from_str(label).ok()?;
        Some(read.unwrap_or_default())
    }

    /// Returns the value of the label.
    ///
    /// # Errors
    /// Never with text keys, which all types here have.
    pub fn to_label(&self) -> serde_json::Result<String> {
        gojson::to_string(self)
    }

    /// Returns what the previous build left of a buildpack.
    pub fn buildpack(&self, id: &str) -> Option<&BuildpackLayers> {
        self.buildpacks.iter().find(|b| b.key == id)
    }

    /// Returns `[metadata]` of `analyzed.toml`, with empty values where there is nothing (A14, J2).
    pub fn to_toml(&self) -> Table {
        let sha = |l: &LayerSha| Table::new().with("sha", l.sha.as_str());
        let list = |items: &[String]| (!items.is_empty()).then(|| Node::from(items));
        let run = &self.run_image;
        let stack = || {
            let image = &self.stack.run_image;
            let run_image =
                Table::new().with_text("image", &image.image).with_some("mirrors", list(&image.mirrors));
            Table::new().with("run-image", run_image)
        };
        Table::new()
            .with_tables("app", self.app.iter().map(sha))
            .with_some("sbom", self.sbom.as_ref().map(sha))
            .with_tables("buildpacks", self.buildpacks.iter().map(buildpack))
            .with("config", sha(&self.config))
            .with("launcher", sha(&self.launcher))
            .with("process-types", sha(&self.process_types))
            .with(
                "run-image",
                Table::new()
                    .with("top-layer", run.top_layer.as_str())
                    .with("reference", run.reference.as_str())
                    .with_text("image", &run.image)
                    .with_some("mirrors", list(&run.mirrors)),
            )
            .with_some("stack", (self.stack != StackMetadata::default()).then(stack))
    }
}

impl LayerMetadata {
    /// Returns the buildpack's own metadata as TOML, `None` when there is none.
    pub fn metadata(&self) -> Result<Option<Metadata>, value::NullInArray> {
        as_table(&self.data)
    }
}

impl Store {
    /// Returns the content as TOML, `None` when there is none.
    pub fn to_metadata(&self) -> Result<Option<Metadata>, value::NullInArray> {
        as_table(&self.metadata)
    }
}

fn as_table(json: &Json) -> Result<Option<Metadata>, value::NullInArray> {
    Ok(match value::from_json(json)? {
        Some(toml::Value::Table(table)) => Some(table),
        _ => None,
    })
}

fn json_node(json: &Json) -> Option<Node> {
    value::from_json(json).ok().flatten().map(|v| Node::from(&v))
}

fn buildpack(entry: &BuildpackLayers) -> Table {
    let layer = |l: &LayerMetadata| {
        Table::new()
            .with("sha", l.sha.as_str())
            .with("build", l.build)
            .with("launch", l.launch)
            .with("cache", l.cache)
            .with_some("metadata", json_node(&l.data))
    };
    let layers = entry.layers.iter().fold(Table::new(), |t, (name, l)| t.with(name, layer(l)));
    Table::new()
        .with("key", entry.key.as_str())
        .with("version", entry.version.as_str())
        .with("layers", layers)
        .with_some(
            "store",
            entry.store.as_ref().map(|s| Table::new().with_some("metadata", json_node(&s.metadata))),
        )
}

/// The launcher's own version, as the label names it; constants of the build (requirement E34).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LauncherMetadata {
    /// Its version.
    pub version: String,
    /// Its source.
    pub source: LauncherSource,
}

/// Where the launcher's source is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LauncherSource {
    /// In a git repository.
    pub git: GitSource,
}

/// A commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// The repository.
    pub repository: String,
    /// The commit.
    pub commit: String,
}

#[derive(Serialize)]
struct BuildLabel<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bom: Option<BomLabels<'a>>,
    /// `null` when the file has none, as Go writes a list that was never filled.
    buildpacks: Option<Vec<ModuleLabel<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<ModuleLabel<'a>>,
    launcher: &'a LauncherMetadata,
    processes: Option<Vec<ProcessLabel<'a>>>,
    #[serde(rename = "buildpack-default-process-type", skip_serializing_if = "str::is_empty")]
    default_process_type: &'a str,
}

#[derive(Serialize)]
struct ModuleLabel<'a> {
    id: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    homepage: &'a str,
}

#[derive(Serialize)]
struct ProcessLabel<'a> {
    #[serde(rename = "type")]
    process_type: &'a str,
    command: Json,
    args: Json,
    direct: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(rename = "buildpackID")]
    buildpack_id: &'a str,
    #[serde(rename = "working-dir", skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(rename = "exec-env", skip_serializing_if = "<[String]>::is_empty")]
    exec_env: &'a [String],
}

fn process(process: &Process, api: PlatformApi) -> ProcessLabel<'_> {
    let (command, args) = if api.has_command_list() {
        (Json::from(process.command.clone()), process.args.clone().map_or(Json::Null, Json::from))
    } else {
        let (first, rest) = process.split_command();
        (Json::from(first), Json::from(rest))
    };
    ProcessLabel {
        process_type: &process.process_type,
        command,
        args,
        direct: process.direct,
        default: process.default,
        buildpack_id: &process.buildpack_id,
        working_dir: &process.working_dir,
        exec_env: &process.exec_env.names,
    }
}

/// Returns the value of the label `io.buildpacks.build.metadata` (requirement E33).
///
/// # Errors
/// Never with text keys, which all types here have.
pub fn build_metadata(
    metadata: &BuildMetadata,
    launcher: &LauncherMetadata,
    api: PlatformApi,
) -> serde_json::Result<String> {
    let bom = (!api.has_legacy_sbom_file()).then(|| bom(metadata));
    gojson::to_string(&BuildLabel {
        bom,
        buildpacks: Some(modules(&metadata.buildpacks)).filter(|b| !b.is_empty()),
        extensions: modules(&metadata.extensions),
        launcher,
        processes: (!metadata.without_processes_key)
            .then(|| metadata.processes.iter().map(|p| process(p, api)).collect()),
        default_process_type: &metadata.default_process_type,
    })
}

fn modules(elements: &[GroupElement]) -> Vec<ModuleLabel<'_>> {
    elements
        .iter()
        .map(|e| ModuleLabel { id: e.id.as_str(), version: &e.version, homepage: &e.homepage })
        .collect()
}

/// The bill of materials; `null` when there is none.
#[derive(Serialize)]
struct BomLabels<'a>(Option<Vec<BomLabel<'a>>>);

/// An entry of the bill of materials, with Go's key order.
#[derive(Serialize)]
struct BomLabel<'a> {
    name: &'a str,
    metadata: Option<Json>,
    buildpack: BomBuildpackLabel<'a>,
}

#[derive(Serialize)]
struct BomBuildpackLabel<'a> {
    id: &'a str,
    version: &'a str,
}

fn bom(metadata: &BuildMetadata) -> BomLabels<'_> {
    let mut all = Vec::new();
    for BomEntry { name, metadata, buildpack } in &metadata.bom {
        let buildpack = BomBuildpackLabel { id: buildpack.id.as_str(), version: &buildpack.version };
        let metadata = metadata.as_ref().map(value::table_to_json);
        all.push(BomLabel { name, metadata, buildpack });
    }
    BomLabels(Some(all).filter(|all| !all.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifecycle_label_has_gos_key_order() {
        let mut metadata = LifecycleMetadata::default();
        metadata.buildpacks.push(BuildpackLayers {
            key: "a".into(),
            version: "1".into(),
            ..BuildpackLayers::default()
        });
        assert_eq!(
            metadata.to_label().unwrap(),
            r#"{"app":[],"buildpacks":[{"key":"a","version":"1","layers":{}}],"config":{"sha":""},"launcher":{"sha":""},"process-types":{"sha":""},"runImage":{"topLayer":"","reference":""},"stack":{"runImage":{}}}"#
        );
    }

    #[test]
    fn nulls_are_read_as_nothing_and_garbage_as_no_label() {
        let read = LifecycleMetadata::from_label(r#"{"app":null,"buildpacks":null}"#).unwrap();
        assert_eq!(read, LifecycleMetadata::default());
        assert_eq!(LifecycleMetadata::from_label("{"), None);
    }

    #[test]
    fn the_toml_form_is_read_back() {
        let label = r#"{"app":[{"sha":"s"}],"buildpacks":[{"key":"a","version":"1","layers":{"l":{"sha":"d","data":{"n":3},"build":false,"launch":true,"cache":false}},"store":{"metadata":{"k":"v"}}}],"config":{"sha":"c"},"launcher":{"sha":""},"process-types":{"sha":""},"runImage":{"topLayer":"t","reference":"r","image":"i","mirrors":["m"]},"stack":{"runImage":{"image":"i"}}}"#;
        let metadata = LifecycleMetadata::from_label(label).unwrap();
        assert_eq!(metadata.to_label().unwrap(), label);
        let text = metadata.to_toml().write();
        assert_eq!(toml::from_str::<LifecycleMetadata>(&text).unwrap(), metadata, "{text}");
    }

    #[test]
    fn lists_that_the_file_does_not_have_are_null() {
        let label = |text: &str| {
            let metadata: BuildMetadata = toml::from_str(text).unwrap();
            build_metadata(&metadata, &LauncherMetadata::default(), PlatformApi::LATEST).unwrap()
        };
        assert!(
            label("").starts_with(r#"{"buildpacks":null,"#) && label("").ends_with(r#""processes":null}"#)
        );
        assert!(label("processes = []").ends_with(r#""processes":[]}"#));
    }

    #[test]
    fn absent_arguments_are_null_in_the_build_label() {
        let metadata: BuildMetadata =
            toml::from_str("[[processes]]\ntype = 'w'\ncommand = ['a']\nbuildpack-id = 'b'").unwrap();
        let label = build_metadata(&metadata, &LauncherMetadata::default(), PlatformApi::LATEST).unwrap();
        assert!(
            label.ends_with(
                r#""processes":[{"type":"w","command":["a"],"args":null,"direct":false,"buildpackID":"b"}]}"#
            ),
            "{label}"
        );
    }
}
