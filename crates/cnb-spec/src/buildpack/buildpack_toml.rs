//! `buildpack.toml`: what a buildpack is.
//!
//! Written by its author, read by detector, builder and packagers.
//! Buildpack Interface Specification, "`buildpack.toml` (TOML)"; requirements A58 to A63.

use serde::Deserialize;

use crate::exec_env::ExecEnvs;
use crate::id::ModuleId;
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

    /// Returns what the specification forbids of it, in words for its author. A lifecycle takes such a buildpack (Δ22).
    pub fn violations(&self) -> Vec<String> {
        let BuildpackInfo { id, version, .. } = &self.buildpack;
        let conforms = id.parse().is_ok_and(|id: ModuleId| id.is_conforming());
        let mixins_of_any = self.stacks.iter().any(|stack| stack.id == "*" && !stack.mixins.is_empty());
        let rules = [
            (conforms, format!("the ID `{id}` has other characters than letters, digits, `.`, `/` and `-`")),
            (is_version(version), format!("the version `{version}` is not three numbers, such as 1.2.3")),
            (!self.is_composite() || self.stacks.is_empty(), "an order leaves no room for stacks".to_owned()),
            (!mixins_of_any, "the stack `*` has no mixins".to_owned()),
        ];
        rules.into_iter().filter(|(kept, _)| !kept).map(|(_, words)| words).collect()
    }
}

/// Returns whether `text` is `X.Y.Z`, each a number without leading zeros (requirement A59).
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    text.split('.').count() == 3 && text.split('.').all(is_number)
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

    #[test]
    fn what_the_specification_forbids_is_found() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            let descriptor: BuildpackDescriptor = toml::from_str(text).unwrap();
            assert_eq!(descriptor.violations(), expected);
        }
        check("[buildpack]\nid = 'a.b/c-1'\nversion = '0.10.2'\n[[stacks]]\nid = '*'", &[]);
        check(
            "[buildpack]\nid = 'a_b'\nversion = '1.2'\n[[stacks]]\nid = '*'\nmixins = ['x']",
            &[
                "the ID `a_b` has other characters than letters, digits, `.`, `/` and `-`",
                "the version `1.2` is not three numbers, such as 1.2.3",
                "the stack `*` has no mixins",
            ],
        );
        check(
            "stacks = [{ id = 'x' }]\n[buildpack]\nid = 'a'\nversion = '1.0.0'\n[[order]]\ngroup = []",
            &["an order leaves no room for stacks"],
        );
        for version in ["01.0.0", "1.0.0.0", "1.0.0-rc", "1..0", ""] {
            assert!(!is_version(version), "{version}");
        }
    }
}
