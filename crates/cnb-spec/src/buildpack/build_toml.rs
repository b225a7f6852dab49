//! `build.toml`: what a buildpack could not provide.
//!
//! Written by `bin/build`, read by the builder.
//! Buildpack Interface Specification, "`build.toml` (TOML)"; requirements A48, A49.

use serde::Deserialize;

use super::launch_toml::BomItem;
use crate::gotoml::Table;

/// The contents of `build.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct BuildToml {
    /// Legacy bill of materials.
    #[serde(default)]
    pub bom: Vec<BomItem>,
    /// Plan entries that were not provided.
    #[serde(default)]
    pub unmet: Vec<Unmet>,
}

/// A plan entry that was not provided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Unmet {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

impl BuildToml {
    /// Returns the file's text, as the author's side writes it.
    pub fn to_toml(&self) -> String {
        Table::new()
            .with_tables("unmet", self.unmet.iter().map(|u| Table::new().with("name", u.name.as_str())))
            .write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmet_entries_are_written_and_read() {
        let build = BuildToml { unmet: vec![Unmet { name: "x".into() }], ..BuildToml::default() };
        assert_eq!(toml::from_str::<BuildToml>(&build.to_toml()).unwrap(), build);
    }
}
