//! The registry as a test sees it: what is put there beforehand, and what is there afterwards.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::Registry;
use super::state::Manifest;
use super::storage::Blob;
use crate::digest::digest;
use crate::layout::{Image, Made, Source, make_index};

impl Registry {
    /// Keeps a blob in a repository; returns its digest.
    pub fn put_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.core.state().keep(name, digest.clone(), Blob::Memory(Arc::new(bytes.to_vec())));
        digest
    }

    /// Keeps a blob that is made as it is read, from any offset on.
    pub fn put_stream(
        &self,
        name: &str,
        digest: &str,
        length: u64,
        open: impl Fn(u64) -> Box<dyn Read + Send> + Send + Sync + 'static,
    ) {
        self.core.state().keep(name, digest.to_owned(), Blob::Made(Arc::new(open), length));
    }

    /// Keeps a manifest or index in a repository, under a tag where there is one; returns its digest. Nothing is
    /// checked.
    pub fn put_manifest(&self, name: &str, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.to_vec() };
        let mut state = self.core.state();
        let repository = state.repositories.entry(name.to_owned()).or_default();
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.clone());
        }
        digest
    }

    /// Keeps an image under `tag`; returns its digest. Big layers are made as they are read.
    pub fn put_image(&self, name: &str, tag: &str, image: &Image) -> io::Result<String> {
        Ok(self.put_made(name, tag, image.make()?))
    }

    /// Keeps images of several platforms under `tag`; returns the digest of their index.
    pub fn put_index(&self, name: &str, tag: &str, images: &[Image]) -> io::Result<String> {
        Ok(self.put_made(name, tag, make_index(images)?))
    }

    fn put_made(&self, name: &str, tag: &str, made: Made) -> String {
        for (digest, source) in made.blobs {
            match source {
                Source::Bytes(bytes) => {
                    self.put_blob(name, &bytes);
                }
                Source::Big(big) => {
                    let size = big.size();
                    self.put_stream(name, &digest, size, move |offset| Box::new(big.open(offset)));
                }
            }
        }
        let (last, mut digest) = (made.manifests.len().saturating_sub(1), String::new());
        for (number, (descriptor, bytes)) in made.manifests.iter().enumerate() {
            let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
            digest = self.put_manifest(name, Some(tag).filter(|_| number == last), media_type, bytes);
        }
        digest
    }

    /// Keeps all that an OCI layout holds in a repository, its first image or index under `tag`; returns the
    /// digest of that.
    pub fn put_layout(&self, name: &str, tag: &str, layout: &Path) -> io::Result<String> {
        let index: Value = serde_json::from_slice(&fs_err::read(layout.join("index.json"))?)?;
        self.put_from_layout(name, Some(tag), layout, &index["manifests"][0])
    }

    fn put_from_layout(
        &self,
        name: &str,
        tag: Option<&str>,
        layout: &Path,
        descriptor: &Value,
    ) -> io::Result<String> {
        let path = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            layout.join("blobs").join(digest.replace(':', "/"))
        };
        let bytes = fs_err::read(path(descriptor))?;
        let document: Value = serde_json::from_slice(&bytes)?;
        for child in document["manifests"].as_array().into_iter().flatten() {
            self.put_from_layout(name, None, layout, child)?;
        }
        for blob in document["layers"].as_array().into_iter().flatten().chain(document.get("config")) {
            let length = fs_err::metadata(path(blob))?.len();
            let digest = blob["digest"].as_str().unwrap_or_default().to_owned();
            self.core.state().keep(name, digest, Blob::File(path(blob), length));
        }
        let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
        Ok(self.put_manifest(name, tag, media_type, &bytes))
    }

    /// What is published: digests by `name:tag`.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let state = self.core.state();
        let tags = state.repositories.iter().flat_map(|(name, repository)| {
            repository.tags.iter().map(move |(tag, digest)| (format!("{name}:{tag}"), digest.clone()))
        });
        tags.collect()
    }

    /// A manifest or index as it was put, by tag or digest.
    pub fn manifest(&self, name: &str, reference: &str) -> Option<Vec<u8>> {
        Some(self.core.state().manifest(name, reference)?.1.bytes)
    }

    /// The digests of a repository's blobs, in order.
    pub fn blobs(&self, name: &str) -> Vec<String> {
        self.core.state().repositories.get(name).into_iter().flat_map(|r| r.blobs.clone()).collect()
    }

    /// The bytes of a blob of any repository; `None` where there is none or its bytes were discarded.
    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        let blob = self.core.state().blobs.get(digest).cloned()?;
        let mut bytes = Vec::new();
        blob.open(0).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// How many uploads were opened and neither finished nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.core.state().uploads.len()
    }

    /// Checks that nothing is half published: all that a manifest or tag names is there.
    ///
    /// # Panics
    /// Where something is not, with a list of it.
    #[track_caller]
    pub fn assert_whole(&self) {
        let state = self.core.state();
        let mut faults = Vec::new();
        for (name, repository) in &state.repositories {
            for (tag, digest) in
                repository.tags.iter().filter(|(_, d)| !repository.manifests.contains_key(*d))
            {
                faults.push(format!("`{name}:{tag}` is {digest}, which is not there"));
            }
            for (digest, manifest) in &repository.manifests {
                match serde_json::from_slice(&manifest.bytes) {
                    Ok(document) => faults.extend(
                        state
                            .missing(name, &document)
                            .iter()
                            .map(|missing| format!("`{name}@{digest}` names {missing}, which is not there")),
                    ),
                    Err(e) => faults.push(format!("`{name}@{digest}` is not JSON: {e}")),
                }
            }
        }
        drop(state);
        assert!(faults.is_empty(), "half published:\n{}", faults.join("\n"));
    }
}
