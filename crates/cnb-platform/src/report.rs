//! What a build made.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Written;

/// The outcome of a build; `cnb build --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The image's name as typed.
    pub image: String,
    /// Every name under which it is stored, canonical.
    pub tags: Vec<String>,
    /// The digest of its manifest.
    pub digest: String,
    /// The digest of its config.
    pub image_id: String,
    /// The size of the manifest in bytes.
    pub manifest_size: u64,
    /// The size of all layers as stored, in bytes.
    pub size: u64,
    /// The run image it stands on.
    pub run_image: String,
    /// The buildpacks that took part: `id@version`.
    pub buildpacks: Vec<String>,
    /// The processes it can start.
    pub processes: Vec<ReportProcess>,
    /// The layers, lowest first.
    pub layers: Vec<ReportLayer>,
    /// Where else it was written.
    pub outputs: Vec<Written>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// How long each phase took, in milliseconds.
    pub milliseconds: BTreeMap<&'static str, u64>,
}

/// A process of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportProcess {
    /// Its type.
    #[serde(rename = "type")]
    pub process_type: String,
    /// Its command line.
    pub command: Vec<String>,
    /// Whether the image starts it by default.
    pub default: bool,
}

/// A layer of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportLayer {
    /// As the specification names it, `run image` for those of the run image.
    pub name: String,
    /// The digest of its content.
    pub diff_id: String,
    /// The digest of its blob.
    pub digest: String,
    /// The size of its blob in bytes.
    pub size: u64,
    /// Whether it was there before.
    pub reused: bool,
}
