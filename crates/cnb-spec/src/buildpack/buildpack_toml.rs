//! `buildpack.toml`: what a buildpack is.
//!
//! Written by its author, read by detector, builder and packagers.
//! Buildpack Interface Specification, "`buildpack.toml` (TOML)"; requirements A58 to A63.

use serde::Deserialize;

use crate::exec_env::ExecEnvs;
use crate::platform::order_toml::OrderGroup;
use crate::target::ModuleTarget;
use crate::value::Metadata;

/// Only the API of a descriptor: read before the rest, so that a newer file fails with the right reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DescriptorApi {
    /// The Buildpack API as written.
    #[serde(default)]
    pub api: String,
}

/// The contents of `buildpack.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct BuildpackDescriptor {
    /// The Buildpack API as written.
    #[serde(default)]
    pub api: String,
    /// Who it is.
    #[serde(default)]
    pub buildpack: BuildpackInfo,
    /// The groups of a composite buildpack; empty for a component.
    #[serde(default)]
    pub order: Vec<OrderGroup>,
    /// What it can build for.
    #[serde(default)]
    pub targets: Vec<ModuleTarget>,
    /// The same in its older form.
    #[serde(default)]
    pub stacks: Vec<Stack>,
    /// The author's own.
    #[serde(default)]
    pub metadata: Metadata,
}

/// The table `[buildpack]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BuildpackInfo {
    /// The ID as written.
    #[serde(default)]
    pub id: String,
    /// The name for people.
    #[serde(default)]
    pub name: String,
    /// The version.
    #[serde(default)]
    pub version: String,
    /// Where to read about it.
    #[serde(default)]
    pub homepage: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// Words to find it by.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Whether the user's environment variables are kept from it.
    #[serde(default, rename = "clear-env")]
    pub clear_env: bool,
    /// The media types of the SBOM files it writes.
    #[serde(default, rename = "sbom-formats")]
    pub sbom_formats: Vec<String>,
    /// Where it can run; everywhere when empty.
    #[serde(default, rename = "exec-env")]
    pub exec_env: ExecEnvs,
    /// Its licences.
    #[serde(default)]
    pub licenses: Vec<License>,
}

/// A licence of a buildpack or an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct License {
    /// The SPDX identifier.
    #[serde(default, rename = "type")]
    pub license_type: String,
    /// Where its text is.
    #[serde(default)]
    pub uri: String,
}

/// A stack that a buildpack supports; deprecated since Buildpack API 0.10.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Stack {
    /// Its ID, or `*`.
    #[serde(default)]
    pub id: String,
    /// The packages it must have.
    #[serde(default)]
    pub mixins: Vec<String>,
}

impl BuildpackDescriptor {
    /// Returns whether the buildpack only refers to others.
    pub fn is_composite(&self) -> bool {
        !self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_makes_a_composite() {
        let composite: BuildpackDescriptor =
            toml::from_str("[[order]]\n[[order.group]]\nid = 'a'\nversion = '1'").unwrap();
        assert!(composite.is_composite());
        let component: BuildpackDescriptor = toml::from_str(
            "api = '0.12'\n[buildpack]\nid = 'a'\nversion = '1'\n[[targets]]\nos = 'linux'\nvariant = 'v7'",
        )
        .unwrap();
        assert!(!component.is_composite());
        assert_eq!(component.targets[0].arch_variant, "v7");
    }
}
