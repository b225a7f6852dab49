//! Uploads: opened, mounted, continued, asked about, finished.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Core;
use super::serve::error;
use super::state::Upload;
use super::storage::Draft;
use crate::http::{Body, Request, Response};

impl Core {
    /// `POST`: mounts a blob, takes one, or opens an upload.
    pub(crate) fn open_upload(
        &self,
        name: &str,
        request: &Request,
        body: &mut Body<'_>,
    ) -> io::Result<Response> {
        if let Some(response) = self.mount(name, request) {
            return Ok(response);
        }
        let mut state = self.state();
        state.uploads_opened += 1;
        let number = state.uploads_opened;
        drop(state);
        let mut draft =
            Draft::new(self.options.storage, self.dir.as_ref().map(tempfile::TempDir::path), number)?;
        if let Some(expected) = request.query("digest").filter(|_| self.options.single_post) {
            draft.append(body)?;
            return Ok(self.commit(name, &expected, draft));
        }
        let id = format!("upload-{number}");
        let upload = Arc::new(Mutex::new(Upload { name: name.to_owned(), draft }));
        self.state().uploads.insert(id.clone(), upload);
        let mut response = self.progress(202, name, &id, 0);
        if let Some(least) = self.options.chunk_min {
            response = response.with("OCI-Chunk-Min-Length", least.to_string());
        }
        Ok(response)
    }

    fn mount(&self, name: &str, request: &Request) -> Option<Response> {
        let digest = request.query("mount").filter(|_| self.options.mounts)?;
        let from = request.query("from")?;
        let mut state = self.state();
        let blob = state.blob(&from, &digest)?;
        state.keep(name, digest.clone(), blob);
        Some(self.created(name, &digest))
    }

    /// `GET`: how far an upload is.
    pub(crate) fn upload_status(&self, name: &str, id: &str) -> Response {
        match self.find(name, id) {
            None => error(404, "BLOB_UPLOAD_UNKNOWN", id),
            Some(upload) => {
                let length = upload.lock().unwrap_or_else(PoisonError::into_inner).draft.length();
                self.progress(204, name, id, length)
            }
        }
    }

    /// `PATCH`: another chunk, or all of it as one stream.
    pub(crate) fn append_upload(
        &self,
        name: &str,
        id: &str,
        request: &Request,
        body: &mut Body<'_>,
    ) -> io::Result<Response> {
        let Some(upload) = self.find(name, id) else {
            return Ok(error(404, "BLOB_UPLOAD_UNKNOWN", id));
        };
        let mut upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
        let at = upload.draft.length();
        if let Some(refusal) = self.misplaced(name, id, request, at) {
            return Ok(refusal);
        }
        upload.draft.append(body)?;
        Ok(self.progress(202, name, id, upload.draft.length()))
    }

    /// `PUT`: the last chunk, maybe empty, and the digest.
    pub(crate) fn finish_upload(
        &self,
        name: &str,
        id: &str,
        request: &Request,
        body: &mut Body<'_>,
    ) -> io::Result<Response> {
        let Some(expected) = request.query("digest") else {
            return Ok(error(400, "DIGEST_INVALID", "there is none"));
        };
        let Some(shared) = self.find(name, id) else {
            return Ok(error(404, "BLOB_UPLOAD_UNKNOWN", id));
        };
        let mut upload = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let at = upload.draft.length();
        if let Some(refusal) = self.misplaced(name, id, request, at) {
            return Ok(refusal);
        }
        upload.draft.append(body)?;
        self.state().uploads.remove(id);
        let draft = std::mem::replace(&mut upload.draft, Draft::new(super::Storage::Memory, None, 0)?);
        Ok(self.commit(name, &expected, draft))
    }

    /// `DELETE`: the upload is given up.
    pub(crate) fn cancel_upload(&self, name: &str, id: &str) -> Response {
        if self.find(name, id).is_none() {
            return error(404, "BLOB_UPLOAD_UNKNOWN", id);
        }
        self.state().uploads.remove(id);
        Response::new(204)
    }

    fn find(&self, name: &str, id: &str) -> Option<Arc<Mutex<Upload>>> {
        let upload = self.state().uploads.get(id).cloned()?;
        let ours = upload.lock().unwrap_or_else(PoisonError::into_inner).name == name;
        ours.then_some(upload)
    }

    /// Refuses bytes for another place than `at`, or sent to an older location.
    fn misplaced(&self, name: &str, id: &str, request: &Request, at: u64) -> Option<Response> {
        let start = request.header("content-range").map(|range| {
            let range = range.strip_prefix("bytes ").unwrap_or(range);
            range.split('-').next().unwrap_or_default().parse::<u64>()
        });
        let state = request.query("state").map(|state| state.parse::<u64>());
        let right = start.is_none_or(|s| s == Ok(at)) && state == Some(Ok(at));
        (!right).then(|| self.progress(416, name, id, at))
    }

    fn commit(&self, name: &str, expected: &str, draft: Draft) -> Response {
        let (digest, blob) = draft.finish();
        if digest != expected {
            return error(400, "DIGEST_INVALID", &format!("{expected} was expected, {digest} came"));
        }
        self.state().keep(name, digest.clone(), blob);
        self.created(name, &digest)
    }

    fn created(&self, name: &str, digest: &str) -> Response {
        Response::new(201)
            .with("Location", self.location(&format!("/v2/{name}/blobs/{digest}")))
            .with("Docker-Content-Digest", digest)
    }

    fn progress(&self, status: u16, name: &str, id: &str, length: u64) -> Response {
        Response::new(status)
            .with("Location", self.location(&format!("/v2/{name}/blobs/uploads/{id}?state={length}")))
            .with("Range", format!("0-{}", length.saturating_sub(1)))
            .with("Docker-Upload-UUID", id)
    }
}
