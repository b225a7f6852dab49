//! What a cache of the lifecycle says of itself: which layers of which buildpacks it holds.
//!
//! A file in a cache directory, a label of a cache image; written by the exporter, read by the restorer.
//! Not in the specification, but shared with the Go lifecycle; requirements A70 to A72.

use serde::{Deserialize, Serialize};

use super::labels::{BuildpackLayers, LayerSha};
use crate::gojson;

/// The name of the file in a cache directory, and of the label of a cache image.
pub const CACHE_METADATA: &str = "io.buildpacks.lifecycle.cache.metadata";

/// What a cache says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheMetadata {
    /// The layer with the SBOM files of cached layers.
    #[serde(default)]
    pub sbom: LayerSha,
    /// The buildpacks and their cached layers; `null` without buildpacks, as Go writes a list that was never
    /// filled.
    #[serde(default)]
    pub buildpacks: Option<Vec<BuildpackLayers>>,
}

impl CacheMetadata {
    /// Reads the file or label; what cannot be read is as an empty cache (requirement B54).
    pub fn parse(bytes: &[u8]) -> Self {
        // Go reads one value and does not look at what follows.
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Self>();
        values.next().and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the buildpacks.
    pub fn buildpacks(&self) -> &[BuildpackLayers] {
        self.buildpacks.as_deref().unwrap_or_default()
    }

    /// Returns what the cache holds of a buildpack.
    pub fn buildpack(&self, id: &str) -> Option<&BuildpackLayers> {
        self.buildpacks().iter().find(|b| b.key == id)
    }

    /// Returns the JSON of the label; the file has a line end behind it.
    ///
    /// # Errors
    /// Never with text keys, which all types here have.
    pub fn to_json(&self) -> serde_json::Result<String> {
        gojson::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_that_of_the_go_lifecycle() {
        assert_eq!(CacheMetadata::default().to_json().unwrap(), r#"{"sbom":{"sha":""},"buildpacks":null}"#);
        let text = r#"{"sbom":{"sha":"s"},"buildpacks":[{"key":"a/b","version":"1","layers":{"l":{"sha":"x","data":{"n":1},"build":false,"launch":true,"cache":true}}}]}"#;
        let metadata = CacheMetadata::parse(text.as_bytes());
        assert_eq!(metadata.buildpack("a/b").unwrap().layers["l"].sha, "x");
        assert_eq!(metadata.to_json().unwrap(), text);
        assert_eq!(CacheMetadata::parse(format!("{text}\n").as_bytes()), metadata);
    }

    #[test]
    fn what_cannot_be_read_is_an_empty_cache() {
        for bad in ["", "{", "garbage", "[]", r#"{"buildpacks":7}"#, r#"{"sbom":[]}"#] {
            assert_eq!(CacheMetadata::parse(bad.as_bytes()), CacheMetadata::default(), "{bad}");
        }
    }
}
