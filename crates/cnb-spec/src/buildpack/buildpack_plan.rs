//! The Buildpack Plan: what a buildpack is asked to provide.
//!
//! Written by the builder, read by `bin/build` and `bin/generate`.
//! Buildpack Interface Specification, "Buildpack Plan (TOML)"; requirement A57.

use serde::Deserialize;

use super::build_plan::Require;
use crate::gotoml::Table;

/// The entries that a buildpack is to provide.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct BuildpackPlan {
    /// The entries, in order.
    #[serde(default)]
    pub entries: Vec<Require>,
}

impl BuildpackPlan {
    /// Returns the file's text; empty for an empty plan.
    pub fn to_toml(&self) -> String {
        Table::new().with_tables("entries", self.entries.iter().map(Require::to_toml)).write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_plan_is_an_empty_file() {
        assert_eq!(BuildpackPlan::default().to_toml(), "");
    }
}
