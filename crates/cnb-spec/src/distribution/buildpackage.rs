//! `io.buildpacks.buildpackage.metadata`: the label of a packaged buildpack.
//!
//! Written by packagers, read by platforms.
//! Distribution Specification, "Buildpackage"; requirements F4, F5.

use serde::Deserialize;

use crate::buildpack::buildpack_toml::{BuildpackDescriptor, Stack};

/// The name of the label.
pub const LABEL: &str = "io.buildpacks.buildpackage.metadata";

/// The contents of the label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BuildpackageMetadata {
    /// The ID of the buildpack that the package is about.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The stacks that all buildpacks of the package support.
    #[serde(default)]
    pub stacks: Vec<Stack>,
}

impl BuildpackageMetadata {
    /// Returns what the specification forbids of it, in words for the packager; `packaged` are all buildpacks of the
    /// package.
    pub fn violations(&self, packaged: &[BuildpackDescriptor]) -> Vec<String> {
        let mut found = Vec::new();
        if self.stacks.is_empty() && packaged.iter().any(|buildpack| !buildpack.stacks.is_empty()) {
            found.push("no stack is listed".to_owned());
        }
        for (number, Stack { id, mixins }) in self.stacks.iter().enumerate() {
            if self.stacks[..number].iter().any(|before| before.id == *id) {
                found.push(format!("the stack `{id}` is listed twice"));
            }
            // Targets have taken the place of stacks: a buildpack without any says nothing about them.
            for buildpack in packaged.iter().filter(|b| !b.is_composite() && !b.stacks.is_empty()) {
                let name = &buildpack.buildpack.id;
                let Some(own) = buildpack.stacks.iter().find(|own| own.id == *id || own.id == "*") else {
                    found.push(format!("`{name}` does not support the stack `{id}`"));
                    continue;
                };
                let lacking = own.mixins.iter().filter(|mixin| !mixins.contains(mixin));
                found.extend(
                    lacking.map(|mixin| format!("`{name}` needs the mixin `{mixin}` of the stack `{id}`")),
                );
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, expected: &[&str]) {
        let packaged = [
            "[buildpack]\nid = 'all'\n[[order]]\ngroup = []",
            "[buildpack]\nid = 'any'\n[[stacks]]\nid = '*'",
            "[buildpack]\nid = 'old'\n[[stacks]]\nid = 'jammy'\nmixins = ['git']",
            "[buildpack]\nid = 'new'\n[[targets]]\nos = 'linux'",
        ]
        .map(|text| toml::from_str(text).unwrap());
        let label: BuildpackageMetadata = serde_json::from_str(label).unwrap();
        assert_eq!(label.violations(&packaged), expected);
    }

    #[test]
    fn the_stacks_of_a_package_are_those_of_all_its_buildpacks() {
        check(r#"{"id": "all", "version": "1"}"#, &["no stack is listed"]);
        check(r#"{"id": "all", "version": "1", "stacks": [{"id": "jammy", "mixins": ["git", "x"]}]}"#, &[]);
        check(
            r#"{"id": "all", "version": "1", "stacks": [{"id": "jammy"}, {"id": "noble"}, {"id": "noble"}]}"#,
            &[
                "`old` needs the mixin `git` of the stack `jammy`",
                "`old` does not support the stack `noble`",
                "the stack `noble` is listed twice",
                "`old` does not support the stack `noble`",
            ],
        );
    }
}
