//! Manifests, indexes and the descriptors in them.
//!
//! OCI image specification, "OCI Image Manifest" and "OCI Image Index", and their Docker twins; key order
//! by requirement E37.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::or_null;
use crate::digest::Digest;

/// What a blob is, how large it is, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the blob.
    #[serde(default, deserialize_with = "or_null")]
    pub media_type: String,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The digest of the blob.
    pub digest: Digest,
    /// The blob itself in base64, for tiny ones.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// Other places of the blob.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free key-value pairs.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What the image behind the descriptor runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact the manifest behind the descriptor is.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
}

impl Descriptor {
    /// Returns a descriptor with the three mandatory properties.
    pub fn new(media_type: impl Into<String>, size: u64, digest: Digest) -> Self {
        Self {
            media_type: media_type.into(),
            size,
            digest,
            data: String::new(),
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: String::new(),
        }
    }
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The CPU architecture.
    #[serde(deserialize_with = "or_null")]
    pub architecture: String,
    /// The operating system.
    #[serde(deserialize_with = "or_null")]
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version", deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features of the operating system that are needed.
    #[serde(rename = "os.features", deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the CPU architecture.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Reserved.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// The manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of the manifest; OCI manifests may leave it out.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "or_null")]
    pub layers: Vec<Descriptor>,
    /// Free key-value pairs.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What kind of artifact this is.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
}

/// A list of manifests: one image for several platforms, or what a layout holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type of the index; OCI indexes may leave it out.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The manifests.
    #[serde(default, deserialize_with = "or_null")]
    pub manifests: Vec<Descriptor>,
    /// Free key-value pairs.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The manifest that this index says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What kind of artifact this is.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
}
