//! `extension.toml`: what an image extension is.
//!
//! Written by its author, read by the detector and packagers.
//! Image Extension Specification, "`extension.toml` (TOML)"; requirement A64.

use serde::Deserialize;

use super::buildpack_toml::BuildpackInfo;
use crate::target::ModuleTarget;
use crate::value::Metadata;

/// The contents of `extension.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ExtensionDescriptor {
    /// The Buildpack API as written.
    #[serde(default)]
    pub api: String,
    /// Who it is; the same keys as a buildpack's.
    #[serde(default)]
    pub extension: BuildpackInfo,
    /// What it can extend.
    #[serde(default)]
    pub targets: Vec<ModuleTarget>,
    /// The author's own.
    #[serde(default)]
    pub metadata: Metadata,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_its_own_name() {
        let descriptor: ExtensionDescriptor =
            toml::from_str("api = '0.12'\n[extension]\nid = 'e'\nversion = '1'").unwrap();
        assert_eq!(descriptor.extension.id, "e");
    }
}
