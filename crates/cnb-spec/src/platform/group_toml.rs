//! `group.toml`: the buildpacks and extensions chosen by detection.
//!
//! Written by the detector, read by every later phase.
//! Platform Interface Specification, "`group.toml` (TOML)"; requirements A20, A21.

use serde::Deserialize;

use crate::gotoml::Table;
use crate::id::ModuleId;

/// The chosen group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// The buildpacks, in the order of their builds.
    #[serde(default)]
    pub group: Vec<GroupElement>,
    /// The extensions, in the order of their generation.
    #[serde(default, rename = "group-extensions")]
    pub group_extensions: Vec<GroupElement>,
}

/// A buildpack or an extension of the group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GroupElement {
    /// The ID.
    pub id: ModuleId,
    /// The version.
    #[serde(default)]
    pub version: String,
    /// The Buildpack API as the module wrote it; checked by each phase (requirement B45).
    #[serde(default)]
    pub api: String,
    /// Where to read about it; may be empty.
    #[serde(default)]
    pub homepage: String,
}

impl Group {
    /// Returns the file's text.
    pub fn to_toml(&self) -> String {
        Table::new()
            .with_tables("group", self.group.iter().map(element))
            .with_tables("group-extensions", self.group_extensions.iter().map(element))
            .write()
    }
}

fn element(element: &GroupElement) -> Table {
    Table::new()
        .with("id", element.id.as_str())
        .with("version", element.version.as_str())
        .with("api", element.api.as_str())
        .with_text("homepage", &element.homepage)
}

impl std::fmt::Display for GroupElement {
    /// `id@version`, as messages show it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "[[group]]\n  id = \"a/b\"\n  version = \"1\"\n  api = \"0.12\"\n\n[[group-extensions]]\n  id = \"e\"\n  version = \"2\"\n  api = \"0.9\"\n  homepage = \"https://e\"\n";
        let group: Group = toml::from_str(text).unwrap();
        assert_eq!(group.to_toml(), text);
    }
}
