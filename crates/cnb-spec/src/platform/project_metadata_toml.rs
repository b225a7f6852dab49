//! `project-metadata.toml`: where the app's source came from.
//!
//! Written by the platform, read by the exporter, kept in the label `io.buildpacks.project.metadata`.
//! Platform Interface Specification, "`project-metadata.toml` (TOML)"; requirements A29, E35.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::value::{Metadata, table_to_json};

/// The contents of `project-metadata.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ProjectMetadata {
    /// The source.
    pub source: Option<ProjectSource>,
}

/// The source of an app.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ProjectSource {
    /// What kind of source: `git`, `project`.
    #[serde(default, rename = "type")]
    pub source_type: String,
    /// Which version of it.
    pub version: Option<Metadata>,
    /// What else is known.
    pub metadata: Option<Metadata>,
}

#[derive(Serialize)]
struct Label<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<LabelSource<'a>>,
}

#[derive(Serialize)]
struct LabelSource<'a> {
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    source_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
}

impl ProjectMetadata {
    /// Returns the value of the label.
    pub fn to_label(&self) -> String {
        let label = Label {
            source: self.source.as_ref().map(|s| LabelSource {
                source_type: &s.source_type,
                version: s.version.as_ref().filter(|t| !t.is_empty()).map(table_to_json),
                metadata: s.metadata.as_ref().filter(|t| !t.is_empty()).map(table_to_json),
            }),
        };
        // Nothing in the label can fail to be JSON; an empty label is what an empty file gives.
        crate::gojson::to_string(&label).unwrap_or_else(|_| "{}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_leaves_out_what_is_not_there() {
        assert_eq!(ProjectMetadata::default().to_label(), "{}");
        let metadata: ProjectMetadata =
            toml::from_str("[source]\ntype = 'git'\n[source.version]\ncommit = 'a<b'").unwrap();
        assert_eq!(metadata.to_label(), r#"{"source":{"type":"git","version":{"commit":"a\u003cb"}}}"#);
    }
}
