//! `store.toml`: what a buildpack remembers between builds.
//!
//! Written by `bin/build` and by the restorer, read by the exporter.
//! Buildpack Interface Specification, "`store.toml` (TOML)"; requirement A50.

use serde::Deserialize;

use crate::gotoml::Table;
use crate::value::Metadata;

/// The contents of `store.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct StoreToml {
    /// The buildpack's own.
    pub metadata: Option<Metadata>,
}

impl StoreToml {
    /// Returns the file's text.
    pub fn to_toml(&self) -> String {
        Table::new().with_some("metadata", self.metadata.as_ref().map(Table::from)).write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let store: StoreToml = toml::from_str("[metadata]\nk = 'v'").unwrap();
        assert_eq!(toml::from_str::<StoreToml>(&store.to_toml()).unwrap(), store);
    }
}
