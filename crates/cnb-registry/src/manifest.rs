//! Manifests and indexes: reading them as they are, verified, and putting them.

use bytes::Bytes;
use cnb_image::blob_store::{DOCUMENT_LIMIT, digest_of};
use cnb_image::media::{self, DOCKER_INDEX, DOCKER_MANIFEST, Document, Family};
use cnb_spec::digest::Digest;
use cnb_spec::image_ref::{ImageRef, Selector};
use cnb_spec::oci::Descriptor;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LINK};
use serde::Deserialize;

use crate::answer::{Head, Reply};
use crate::auth::{Access, scope};
use crate::error::Fault;
use crate::transport::{Call, Payload, Place, Transport};

/// The header with the digest of what was asked for.
const DOCKER_CONTENT_DIGEST: &str = "Docker-Content-Digest";

/// The most pages of a list that are read.
const PAGES: usize = 10_000;

/// Returns all that a manifest may be.
fn accepted() -> String {
    [Family::Oci.manifest(), media::index(), DOCKER_MANIFEST.to_owned(), DOCKER_INDEX.to_owned()].join(", ")
}

/// What is behind a name.
pub(crate) fn path(name: &ImageRef) -> String {
    match name.selector() {
        Selector::Tag(tag) => format!("{}/manifests/{tag}", name.path()),
        Selector::Digest(digest) => format!("{}/manifests/{digest}", name.path()),
    }
}

impl Transport {
    /// Reads a manifest or index. Its digest is computed, and must be the one asked for and the one said.
    pub(crate) async fn document(&self, place: &Place) -> Result<(Descriptor, Bytes), Fault> {
        let reply = self.ask(place, &manifest_call(place, Method::GET), DOCUMENT_LIMIT).await?.success()?;
        let digest = digest_of(&reply.body);
        let said = said_digest(&reply)?;
        for expected in [place.name.digest().copied(), said].into_iter().flatten() {
            if expected != digest {
                return Err(Fault::invalid(format!(
                    "the registry sent a manifest with the digest `{digest}` instead of `{expected}`"
                )));
            }
        }
        let media_type = media_type(&reply)?;
        Ok((Descriptor::new(media_type, reply.body.len() as u64, digest), reply.body))
    }

    /// Asks for a manifest without reading it; `None` when there is none, or when the registry does not say
    /// enough and it has to be read.
    pub(crate) async fn head(&self, place: &Place) -> Result<Headed, Fault> {
        let reply = self.ask(place, &manifest_call(place, Method::HEAD), 0).await?;
        if reply.status == 404 {
            return Ok(Headed::Missing);
        }
        // A registry that knows no HEAD for manifests is no reason to fail.
        if reply.status == 405 {
            return Ok(Headed::Unsaid);
        }
        let reply = reply.success()?;
        let size = reply.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        let said = said_digest(&reply)?;
        if let (Some(asked), Some(said)) = (place.name.digest(), said)
            && *asked != said
        {
            let text = format!("the registry has a manifest with the digest `{said}` instead of `{asked}`");
            return Err(Fault::invalid(text));
        }
        let (Some(size), Some(digest)) = (size, place.name.digest().copied().or(said)) else {
            return Ok(Headed::Unsaid);
        };
        let media_type = content_type(&reply).unwrap_or_default();
        if media::document(&media_type).is_none() {
            return Ok(Headed::Unsaid);
        }
        Ok(Headed::There(Box::new(Descriptor::new(media_type, size, digest))))
    }

    /// Puts a manifest or index: the step that makes an image visible.
    pub(crate) async fn put_document(
        &self,
        place: &Place,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, Fault> {
        let digest = digest_of(&bytes);
        if let Some(asked) = place.name.digest().filter(|asked| **asked != digest) {
            return Err(Fault::invalid(format!("the manifest has the digest `{digest}`, not `{asked}`")));
        }
        let call = Call { payload: Payload::Bytes(bytes), ..manifest_call(place, Method::PUT) }
            .header(CONTENT_TYPE, media_type);
        let reply = self.ask(place, &call, DOCUMENT_LIMIT).await?.success()?;
        match said_digest(&reply)? {
            Some(said) if said != digest => Err(Fault::invalid(format!(
                "the registry took the manifest `{digest}`, but says that it has the digest `{said}`"
            ))),
            _ => Ok(Put { digest, knows_subjects: reply.headers.contains_key("OCI-Subject") }),
        }
    }

    pub(crate) async fn delete(&self, place: &Place) -> Result<(), Fault> {
        let call = manifest_call(place, Method::DELETE);
        self.ask(place, &call, DOCUMENT_LIMIT).await?.success()?;
        Ok(())
    }

    /// Lists all tags, page by page.
    pub(crate) async fn tags(&self, place: &Place) -> Result<Vec<String>, Fault> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let path = format!("{}/tags/list", place.name.path());
        self.pages(place, &path, &mut |reply| {
            let page: Page = parse(reply, "tag list")?;
            all.extend(page.tags.unwrap_or_default());
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Reads a list that the registry gives in pages; each names the next one, on the same host.
    pub(crate) async fn pages(
        &self,
        place: &Place,
        path: &str,
        take: &mut (dyn FnMut(&Reply) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        let mut url = place.endpoint.url(path);
        for _ in 0..PAGES {
            let call = Call::new(Method::GET, url.clone()).scope(scope(place.name.path(), Access::Pull));
            let reply = self.ask(place, &call, DOCUMENT_LIMIT).await?.success()?;
            take(&reply)?;
            let Some(next) = reply.header(LINK.as_str()).and_then(next_link) else { return Ok(()) };
            let next = url.join(next).map_err(|_| Fault::invalid("the next page of the list is no URL"))?;
            if !place.endpoint.is_at(&next) {
                return Err(Fault::invalid("the next page of the list is on another host"));
            }
            if next == url {
                return Err(Fault::invalid("the list leads back to the same page"));
            }
            url = next;
        }
        Err(Fault::invalid(format!("the list has more than {PAGES} pages")))
    }
}

/// What putting a manifest gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) digest: Digest,
    /// Whether the registry keeps in mind what refers to what.
    pub(crate) knows_subjects: bool,
}

/// What a question without reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Headed {
    There(Box<Descriptor>),
    Missing,
    /// The manifest has to be read to know.
    Unsaid,
}

fn manifest_call(place: &Place, method: Method) -> Call {
    let access = match method {
        Method::PUT => Access::Push,
        Method::DELETE => Access::Delete,
        _ => Access::Pull,
    };
    let call =
        Call::new(method, place.endpoint.url(&path(&place.name))).scope(scope(place.name.path(), access));
    if access == Access::Pull { call.header(ACCEPT, &accepted()) } else { call }
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(reply: &Reply, what: &str) -> Result<T, Fault> {
    serde_json::from_slice(&reply.body)
        .map_err(|e| Fault::invalid(format!("the {what} is malformed")).caused_by(e))
}

fn said_digest(reply: &Reply) -> Result<Option<Digest>, Fault> {
    let Some(text) = reply.header(DOCKER_CONTENT_DIGEST).filter(|t| t.starts_with("sha256:")) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| Fault::invalid(format!("the registry names a malformed digest `{text}`")))
}

fn content_type(reply: &Reply) -> Option<String> {
    let text = reply.header(CONTENT_TYPE.as_str())?;
    Some(text.split(';').next().unwrap_or(text).trim().to_owned())
}

/// Returns the media type of a manifest: what its header says, or, if that is something general, its content.
fn media_type(reply: &Reply) -> Result<String, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek {
        #[serde(default)]
        media_type: Option<String>,
        #[serde(default)]
        schema_version: u32,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        layers: Option<serde::de::IgnoredAny>,
    }
    let peek: Peek = parse(reply, "manifest")?;
    if peek.manifests.is_some() && peek.layers.is_some() {
        return Err(Fault::invalid("the manifest is both an image's and an index"));
    }
    let said = content_type(reply).filter(|t| media::document(t).is_some());
    let of_content = peek.media_type.filter(|t| media::document(t).is_some());
    let by_shape = || match (peek.schema_version, peek.manifests.is_some(), peek.layers.is_some()) {
        (2, true, _) => Some(media::index()),
        (2, _, true) => Some(Family::Oci.manifest()),
        _ => None,
    };
    let found = said.or(of_content).or_else(by_shape).ok_or_else(|| {
        let text = content_type(reply).unwrap_or_default();
        Fault::invalid(format!("the media type `{text}` of the manifest is not supported"))
    })?;
    let is_index = media::document(&found) == Some(Document::Index);
    if (is_index && peek.layers.is_some()) || (!is_index && peek.manifests.is_some()) {
        return Err(Fault::invalid(format!("the manifest is not the `{found}` that its media type says")));
    }
    Ok(found)
}

/// Returns the target of `<target>; rel="next"`.
fn next_link(header: &str) -> Option<&str> {
    // Targets may have commas, so links are told apart by their brackets.
    header.split('<').skip(1).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters.split([';', ',']).any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_page_is_followed() {
        assert_eq!(
            next_link("</v2/a/tags/list?n=2&last=b>; rel=\"next\""),
            Some("/v2/a/tags/list?n=2&last=b")
        );
        assert_eq!(next_link("</first>; rel=\"first\", </next>; title=x; rel=next"), Some("/next"));
        assert_eq!(next_link("</a,b>; rel=\"next\", </c>; rel=x"), Some("/a,b"));
        assert_eq!(next_link("</first>; rel=\"first\""), None);
        assert_eq!(next_link("nonsense"), None);
    }

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: Result<&str, &str>) {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        let reply = Reply {
            status: reqwest::StatusCode::OK,
            headers,
            url: reqwest::Url::parse("http://h/").unwrap(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let found = media_type(&reply).map_err(|f| f.message);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_manifest_is_what_its_type_and_its_content_agree_on() {
        let (oci, index) = (Family::Oci.manifest(), media::index());
        let layers = r#"{"schemaVersion":2,"layers":[]}"#;
        let manifests = r#"{"schemaVersion":2,"manifests":[]}"#;
        check(&oci, layers, Ok(&oci));
        check(&format!("{DOCKER_MANIFEST}; charset=utf-8"), layers, Ok(DOCKER_MANIFEST));
        check("text/plain", layers, Ok(&oci));
        check("application/json", manifests, Ok(&index));
        check("text/plain", &format!(r#"{{"mediaType":"{DOCKER_INDEX}"}}"#), Ok(DOCKER_INDEX));
        let both = r#"{"layers":[],"manifests":[]}"#;
        check(&oci, both, Err("the manifest is both an image's and an index"));
        let lie = format!("the manifest is not the `{oci}` that its media type says");
        check(&oci, manifests, Err(&lie));
        let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let refused = format!("the media type `{old}` of the manifest is not supported");
        check(old, r#"{"schemaVersion":1}"#, Err(&refused));
    }
}
