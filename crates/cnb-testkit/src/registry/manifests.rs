//! Manifests and indexes.

use std::io;

use serde_json::Value;

use super::Core;
use super::serve::error;
use super::state::Manifest;
use crate::digest::digest;
use crate::http::{Body, Request, Response};

/// The longest manifest, in bytes: what the specification asks a registry to take at least.
const LONGEST: u64 = 4 * 1024 * 1024;

impl Core {
    /// `GET` and `HEAD`, by tag or digest.
    pub(crate) fn get_manifest(&self, name: &str, reference: &str, request: &Request) -> Response {
        let found = self.state().manifest(name, reference);
        match found.filter(|(_, manifest)| accepts(request, &manifest.media_type)) {
            None => error(404, "MANIFEST_UNKNOWN", reference),
            Some((digest, Manifest { media_type, bytes })) => Response::new(200)
                .with("Content-Type", media_type)
                .with("Docker-Content-Digest", digest)
                .body(bytes),
        }
    }

    /// `PUT`, by tag or digest.
    pub(crate) fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        request: &Request,
        body: &mut Body<'_>,
    ) -> io::Result<Response> {
        let bytes = body.bytes(LONGEST)?;
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else {
            return Ok(error(400, "MANIFEST_INVALID", "it is not JSON"));
        };
        if document["mediaType"].as_str().is_some_and(|inside| inside != media_type) {
            return Ok(error(400, "MANIFEST_INVALID", "the media type within is another"));
        }
        let digest = digest(&bytes);
        if reference.contains(':') && reference != digest {
            return Ok(error(400, "DIGEST_INVALID", reference));
        }
        let mut state = self.state();
        let missing = state.missing(name, &document);
        if !missing.is_empty() {
            return Ok(error(400, "MANIFEST_BLOB_UNKNOWN", &missing.join(", ")));
        }
        let repository = state.repositories.entry(name.to_owned()).or_default();
        repository.manifests.insert(digest.clone(), Manifest { media_type, bytes });
        if !reference.contains(':') {
            repository.tags.insert(reference.to_owned(), digest.clone());
        }
        let mut response = Response::new(201)
            .with("Location", self.location(&format!("/v2/{name}/manifests/{digest}")))
            .with("Docker-Content-Digest", digest);
        if let (true, Some(subject)) = (self.options.referrers, document["subject"]["digest"].as_str()) {
            response = response.with("OCI-Subject", subject);
        }
        Ok(response)
    }

    /// `DELETE`: a tag, or a manifest with all its tags.
    pub(crate) fn delete_manifest(&self, name: &str, reference: &str) -> Response {
        let mut state = self.state();
        let Some(repository) = state.repositories.get_mut(name) else {
            return error(404, "NAME_UNKNOWN", name);
        };
        let there = if reference.contains(':') {
            repository.tags.retain(|_, digest| digest != reference);
            repository.manifests.remove(reference).is_some()
        } else {
            repository.tags.remove(reference).is_some()
        };
        if there { Response::new(202) } else { error(404, "MANIFEST_UNKNOWN", reference) }
    }
}

/// Returns whether the client takes that media type; one that does not say takes all.
fn accepts(request: &Request, media_type: &str) -> bool {
    let mut said = request.headers.iter().filter(|(name, _)| name == "accept").peekable();
    let is_free = said.peek().is_none();
    let mut types =
        said.flat_map(|(_, value)| value.split(',')).map(|t| t.split(';').next().unwrap_or(t).trim());
    is_free || types.any(|t| t == media_type || t == "*/*")
}
