//! The platform: what a program that embeds this library calls.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::Serialize;

use crate::{Home, Remote};

/// A user's images and caches, and the means to make more.
#[derive(Debug)]
pub struct Platform {
    pub(crate) home: Home,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) remote: Remote,
}

/// An image of the local store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredImage {
    /// The name as typed when it was built.
    pub name: String,
    /// The canonical name.
    pub reference: String,
    /// The digest of the manifest.
    pub digest: String,
    /// The digest of the config.
    pub image_id: String,
    /// The size of all layers as stored, in bytes.
    pub size: u64,
    /// When it was created, RFC 3339.
    pub created: String,
}

/// What can be told of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Its name, digest and size.
    #[serde(flatten)]
    pub image: StoredImage,
    /// Where it was found: `store:NAME`, `registry:NAME` and so on.
    pub place: String,
    /// Operating system and architecture: `linux/amd64`.
    pub platform: String,
    /// The platforms of the index that led to it; empty when none did.
    pub platforms: Vec<String>,
    /// The run image's name and reference.
    pub run_image: String,
    /// Where else the run image can be had.
    pub run_image_mirrors: Vec<String>,
    /// Whether it says that it can be rebased; `None` for an image that no lifecycle built.
    pub rebasable: Option<bool>,
    /// The buildpacks: `id@version`.
    pub buildpacks: Vec<String>,
    /// The processes it can start.
    pub processes: Vec<crate::ReportProcess>,
    /// The layers, lowest first.
    pub layers: Vec<crate::ReportLayer>,
    /// All labels of the image's config.
    pub labels: BTreeMap<String, String>,
    /// The environment of the image's config.
    pub env: Vec<String>,
}

/// What a clean-up freed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// Files and folders deleted.
    pub removed: u64,
    /// Bytes freed.
    pub bytes: u64,
}

impl Platform {
    /// Takes the folders to use and the caller's environment; neither is read here.
    ///
    /// The environment is looked at for the tools on `PATH`, proxies and registry addresses; it is never
    /// passed on to a buildpack as it is.
    pub fn new(home: Home, env: BTreeMap<OsString, OsString>) -> Self {
        Self { home, env, remote: Remote::default() }
    }

    /// Says how registries are reached, beside what the environment says.
    #[must_use]
    pub fn with_remote(self, remote: Remote) -> Self {
        Self { remote, ..self }
    }
}
