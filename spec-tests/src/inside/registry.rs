//! A real registry inside the sandbox, and what is pushed to it before the first step.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fs_err as fs;
use serde::Deserialize;

use super::http::{self, Response};
use super::inputs;
use crate::room::REGISTRY;

/// How often the start is awaited, with pauses that grow from one to fifty milliseconds: for about ten seconds.
const TRIES: u64 = 220;

/// Manifests of both kinds.
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why the registry could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    #[error("docker-registry did not start")]
    DidNotStart,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("`{file}` is not part of an OCI layout")]
    Layout { file: String, source: serde_json::Error },
    #[error("the registry answered {status} to {method} `{target}`: {body}")]
    Refused { method: &'static str, target: String, status: u16, body: String },
}

/// A running registry, ended when dropped.
#[derive(Debug)]
pub(super) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already, or goes now; the sandbox ends with us anyway.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Server {
    /// Starts the registry and waits until it listens.
    pub(super) fn start() -> Result<Self, RegistryError> {
        let config = Path::new("/tmp/reg.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: \
             {{rootdirectory: /tmp/registry}}, delete: {{enabled: true}}}}\nhttp: {{addr: {REGISTRY}}}\n"
        );
        inputs::write(config, text.as_bytes(), 0o644)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn()?);
        for pause in 1..TRIES {
            if TcpStream::connect(REGISTRY).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(pause.min(50)));
        }
        Err(RegistryError::DidNotStart)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Pushes the first image of an OCI layout as it is, to the byte.
pub(super) fn push(layout: &Path, reference: &str) -> Result<(), RegistryError> {
    let (repository, tag) = split(reference);
    let index: Index = parse(&read(&layout.join("index.json"))?, "index.json")?;
    for manifest in index.manifests.iter().take(1) {
        let bytes = read(&blob(layout, &manifest.digest))?;
        let parts: Manifest = parse(&bytes, &manifest.digest)?;
        for part in parts.layers.iter().chain([&parts.config]) {
            let bytes = read(&blob(layout, &part.digest))?;
            let begun = ask("POST", &format!("/v2/{repository}/blobs/uploads/"), None, &[])?;
            let location = begun.header("location").unwrap_or_default();
            let target = location.strip_prefix(&format!("http://{REGISTRY}")).unwrap_or(location);
            let joint = if target.contains('?') { '&' } else { '?' };
            ask("PUT", &format!("{target}{joint}digest={}", part.digest), None, &bytes)?;
        }
        let kind = Some(("Content-Type", manifest.media_type.as_str()));
        ask("PUT", &format!("/v2/{repository}/manifests/{tag}"), kind, &bytes)?;
    }
    Ok(())
}

/// Returns the manifest of an image; `None` if there is no such image.
pub(super) fn manifest(reference: &str) -> Result<Option<Vec<u8>>, RegistryError> {
    let (repository, tag) = split(reference);
    let target = format!("/v2/{repository}/manifests/{tag}");
    match ask("GET", &target, Some(("Accept", MANIFESTS)), &[]) {
        Ok(response) => Ok(Some(response.body)),
        Err(RegistryError::Refused { status: 404, .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Returns a blob of the repository of an image.
pub(super) fn fetch(reference: &str, digest: &str) -> Result<Vec<u8>, RegistryError> {
    let (repository, _) = split(reference);
    Ok(ask("GET", &format!("/v2/{repository}/blobs/{digest}"), None, &[])?.body)
}

/// Takes a reference within the registry apart: the repository, and the tag or digest.
fn split(reference: &str) -> (&str, &str) {
    let parts = reference.split_once('@').or_else(|| reference.split_once(':'));
    parts.unwrap_or((reference, "latest"))
}

fn blob(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::copy(&mut fs::File::open(file)?, &mut bytes)?;
    Ok(bytes)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], file: &str) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|source| RegistryError::Layout { file: file.to_owned(), source })
}

fn ask(
    method: &'static str,
    target: &str,
    header: Option<(&str, &str)>,
    body: &[u8],
) -> Result<Response, RegistryError> {
    let response = http::request(REGISTRY, method, target, header, body)?;
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    Err(RegistryError::Refused {
        method,
        target: target.to_owned(),
        status: response.status,
        body: String::from_utf8_lossy(&response.body).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_tag_or_a_digest_or_mean_the_latest() {
        assert_eq!(split("app"), ("app", "latest"));
        assert_eq!(split("team/app:v1"), ("team/app", "v1"));
        assert_eq!(split("app@sha256:12"), ("app", "sha256:12"));
    }
}
