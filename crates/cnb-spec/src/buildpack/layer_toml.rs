//! `<layer>.toml`: what a layer is for.
//!
//! Written by `bin/build` and by the restorer, read by builder, exporter and cache.
//! Buildpack Interface Specification, "Layer Content Metadata (TOML)"; requirements A51 to A53.

use serde::Deserialize;

use crate::gotoml::Table;
use crate::value::Metadata;

/// The contents of `<layer>.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct LayerContentMetadata {
    /// What the layer is for.
    #[serde(default)]
    pub types: LayerTypes,
    /// The buildpack's own.
    pub metadata: Option<Metadata>,
    /// Where types stood long ago: an error when there (requirement A51).
    launch: Option<toml::Value>,
    /// As `launch`.
    build: Option<toml::Value>,
    /// As `launch`.
    cache: Option<toml::Value>,
}

/// What a layer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LayerTypes {
    /// It becomes a layer of the app image.
    #[serde(default)]
    pub launch: bool,
    /// Later buildpacks see it.
    #[serde(default)]
    pub build: bool,
    /// It is kept for the next build.
    #[serde(default)]
    pub cache: bool,
}

impl LayerContentMetadata {
    /// Makes the metadata of a layer.
    pub fn new(types: LayerTypes, metadata: Option<Metadata>) -> Self {
        Self { types, metadata, ..Self::default() }
    }

    /// Returns whether a type stands at the top level instead of in `[types]`.
    pub fn has_misplaced_types(&self) -> bool {
        self.launch.is_some() || self.build.is_some() || self.cache.is_some()
    }

    /// Returns the file's text as the author's side writes it.
    pub fn to_toml(&self) -> String {
        Table::new()
            .with(
                "types",
                Table::new()
                    .with("launch", self.types.launch)
                    .with("build", self.types.build)
                    .with("cache", self.types.cache),
            )
            .with_some("metadata", self.metadata.as_ref().map(Table::from))
            .write()
    }
}

/// Returns the text that the restorer writes: metadata without types (requirement A53).
pub fn restored_toml(metadata: Option<&Metadata>) -> String {
    Table::new().with_some("metadata", metadata.map(Table::from)).write()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_false_unless_said() {
        let layer: LayerContentMetadata = toml::from_str("[types]\ncache = true").unwrap();
        assert_eq!(layer.types, LayerTypes { cache: true, ..LayerTypes::default() });
        assert!(!layer.has_misplaced_types());
        assert!(toml::from_str::<LayerContentMetadata>("launch = true").unwrap().has_misplaced_types());
    }

    #[test]
    fn what_is_written_is_read_back_and_restoring_drops_types() {
        let layer = LayerContentMetadata::new(
            LayerTypes { launch: true, ..LayerTypes::default() },
            Some(toml::from_str("k = 1").unwrap()),
        );
        assert_eq!(toml::from_str::<LayerContentMetadata>(&layer.to_toml()).unwrap(), layer);
        assert_eq!(restored_toml(layer.metadata.as_ref()), "[metadata]\n  k = 1\n");
        assert_eq!(restored_toml(None), "");
    }
}
