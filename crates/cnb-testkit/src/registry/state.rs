//! What the registry holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::Core;
use super::storage::{Blob, Draft};

/// Everything that changes.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) blobs: BTreeMap<String, Blob>,
    pub(crate) uploads: BTreeMap<String, Arc<Mutex<Upload>>>,
    pub(crate) uploads_opened: u64,
}

/// One repository: it sees its own blobs only.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: BTreeSet<String>,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A manifest or index as it was put.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// An upload that goes on.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) draft: Draft,
}

impl Core {
    // A test that failed while it held the lock has its own message.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The manifest that a tag or digest stands for, with its digest.
    pub(crate) fn manifest(&self, name: &str, reference: &str) -> Option<(String, Manifest)> {
        let repository = self.repositories.get(name)?;
        let digest = if reference.contains(':') { reference } else { repository.tags.get(reference)? };
        Some((digest.to_owned(), repository.manifests.get(digest)?.clone()))
    }

    /// The blob, where the repository has it.
    pub(crate) fn blob(&self, name: &str, digest: &str) -> Option<Blob> {
        self.repositories.get(name)?.blobs.get(digest)?;
        self.blobs.get(digest).cloned()
    }

    /// Keeps a blob in a repository.
    pub(crate) fn keep(&mut self, name: &str, digest: String, blob: Blob) {
        self.repositories.entry(name.to_owned()).or_default().blobs.insert(digest.clone());
        self.blobs.entry(digest).or_insert(blob);
    }

    /// What a manifest names and its repository lacks.
    pub(crate) fn missing(&self, name: &str, manifest: &Value) -> Vec<String> {
        let repository = self.repositories.get(name);
        let has_blob = |digest: &str| repository.is_some_and(|r| r.blobs.contains(digest));
        let has_manifest = |digest: &str| repository.is_some_and(|r| r.manifests.contains_key(digest));
        let children = manifest["manifests"].as_array().into_iter().flatten();
        let layers = manifest["layers"].as_array().into_iter().flatten();
        // Layers with addresses of their own need not be in the registry.
        let blobs = layers.filter(|layer| layer["urls"].is_null()).chain(manifest.get("config"));
        let blobs = blobs.filter_map(|b| b["digest"].as_str()).filter(|d| !has_blob(d));
        let children = children.filter_map(|c| c["digest"].as_str()).filter(|d| !has_manifest(d));
        blobs.chain(children).map(str::to_owned).collect()
    }
}
