//! `config/metadata.toml`: what the buildpacks said of the app image.
//!
//! Written by the builder, read by the exporter and, inside the image, by the launcher.
//! Platform Interface Specification, "`metadata.toml` (TOML)"; requirements A33 to A42.

use serde::Deserialize;

use super::group_toml::GroupElement;
use crate::api::PlatformApi;
use crate::gotoml::{Node, Table};
use crate::id::ModuleId;
use crate::process::{Label, Process, Slice};
use crate::value::Metadata;

/// The contents of `metadata.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "File")]
pub struct BuildMetadata {
    /// The type of the default process, as the last buildpack to name one said.
    pub default_process_type: String,
    /// The bill of materials, before Platform API 0.9.
    pub bom: Vec<BomEntry>,
    /// The buildpacks of the group.
    pub buildpacks: Vec<GroupElement>,
    /// The extensions of the group.
    pub extensions: Vec<GroupElement>,
    /// Labels for the app image.
    pub labels: Vec<Label>,
    /// The processes, sorted by type.
    pub processes: Vec<Process>,
    /// Whether the file does not even say that there are no processes; the builder always does.
    pub without_processes_key: bool,
    /// The slices of the app directory.
    pub slices: Vec<Slice>,
}

/// The keys of the file.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "buildpack-default-process-type")]
    default_process_type: String,
    #[serde(default)]
    bom: Vec<BomEntry>,
    #[serde(default)]
    buildpacks: Vec<GroupElement>,
    #[serde(default)]
    extensions: Vec<GroupElement>,
    #[serde(default)]
    labels: Vec<Label>,
    processes: Option<Vec<Process>>,
    #[serde(default)]
    slices: Vec<Slice>,
}

impl From<File> for BuildMetadata {
    fn from(file: File) -> Self {
        Self {
            default_process_type: file.default_process_type,
            bom: file.bom,
            buildpacks: file.buildpacks,
            extensions: file.extensions,
            labels: file.labels,
            without_processes_key: file.processes.is_none(),
            processes: file.processes.unwrap_or_default(),
            slices: file.slices,
        }
    }
}

/// An entry of a legacy bill of materials (requirements A31, A69).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BomEntry {
    /// The dependency.
    #[serde(default)]
    pub name: String,
    /// What the buildpack tells about it.
    pub metadata: Option<Metadata>,
    /// The buildpack that tells.
    pub buildpack: BomBuildpack,
}

/// The buildpack that gave a bill of materials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BomBuildpack {
    /// Its ID.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
}

impl BomEntry {
    /// Returns the table in a TOML file.
    pub fn to_toml(&self) -> Table {
        Table::new()
            .with("name", self.name.as_str())
            .with_some("metadata", self.metadata.as_ref().map(Table::from))
            .with(
                "buildpack",
                Table::new()
                    .with("id", self.buildpack.id.as_str())
                    .with("version", self.buildpack.version.as_str()),
            )
    }
}

impl BuildMetadata {
    /// Returns the file's text for `api` (requirements A33 to A39).
    pub fn to_toml(&self, api: PlatformApi) -> String {
        let mut table = Table::new();
        if self.processes.is_empty() {
            table = table.with("processes", Node::List(Vec::new()));
        }
        table = table.with_text("buildpack-default-process-type", &self.default_process_type);
        if !api.has_legacy_sbom_file() {
            table = table.with_tables("bom", self.bom.iter().map(BomEntry::to_toml));
        }
        table
            .with_tables("buildpacks", self.buildpacks.iter().map(module))
            .with_tables("extensions", self.extensions.iter().map(module))
            .with_tables(
                "labels",
                self.labels
                    .iter()
                    .map(|l| Table::new().with("key", l.key.as_str()).with("value", l.value.as_str())),
            )
            .with_tables("processes", self.processes.iter().map(|p| p.to_toml(api.has_command_list())))
            .with_tables(
                "slices",
                self.slices
                    .iter()
                    .map(|s| Table::new().with_some("paths", s.paths.as_deref().map(Node::from))),
            )
            .write()
    }
}

fn module(element: &GroupElement) -> Table {
    Table::new()
        .with("id", element.id.as_str())
        .with("version", element.version.as_str())
        .with("api", element.api.as_str())
        .with_text("homepage", &element.homepage)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requirement E46.
    const VECTOR: &str = r#"buildpack-default-process-type = "web"

[[buildpacks]]
  id = "a/b"
  version = "1.0.0"
  api = "0.10"
  homepage = "https://h?a=1&b=2"

[[labels]]
  key = "k"
  value = "v<>&\"\\"

[[processes]]
  type = "web"
  command = ["bash", "-c", "a \u0026\u0026 b"]
  args = ["x && <y>", "tab\t"]
  direct = true
  buildpack-id = "a/b"

[[processes]]
  type = "worker"
  command = ["w"]
  direct = true
  buildpack-id = "a/b"
  working-dir = "/w"
  exec-env = ["test"]

[[slices]]
  paths = ["static/*"]
"#;

    #[test]
    fn the_golden_vector_is_read_and_written_to_the_byte() {
        let metadata: BuildMetadata = toml::from_str(VECTOR).unwrap();
        assert_eq!(metadata.to_toml(PlatformApi::LATEST), VECTOR);
    }

    #[test]
    fn without_processes_an_empty_list_is_written() {
        assert_eq!(BuildMetadata::default().to_toml(PlatformApi::LATEST), "processes = []\n");
    }

    #[test]
    fn before_0_10_the_rest_of_the_command_goes_in_front_of_the_arguments() {
        let metadata: BuildMetadata =
            toml::from_str("[[processes]]\ntype = 't'\ncommand = ['a', 'b']\nargs = ['c']").unwrap();
        let text = metadata.to_toml("0.9".parse().unwrap());
        assert!(text.contains("command = \"a\"\n  args = [\"b\", \"c\"]"), "{text}");
    }
}
