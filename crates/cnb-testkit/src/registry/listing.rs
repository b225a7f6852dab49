//! Lists of tags and of referrers.

use serde_json::{Value, json};

use super::Core;
use super::serve::error;
use crate::http::{Request, Response};

impl Core {
    /// The tags in order, page by page.
    pub(crate) fn list_tags(&self, name: &str, request: &Request) -> Response {
        let state = self.state();
        let Some(repository) = state.repositories.get(name) else {
            return error(404, "NAME_UNKNOWN", name);
        };
        let wanted = request.query("n").and_then(|n| n.parse().ok()).unwrap_or(self.options.page);
        let last = request.query("last");
        let mut rest = repository.tags.keys().filter(|tag| last.as_ref().is_none_or(|last| *tag > last));
        let tags: Vec<&String> = rest.by_ref().take(wanted.min(self.options.page)).collect();
        let answer = Response::json(200, &json!({"name": name, "tags": tags}));
        match (rest.next(), tags.last()) {
            (Some(_), Some(last)) => {
                let next = self.location(&format!("/v2/{name}/tags/list?n={wanted}&last={last}"));
                answer.with("Link", format!("<{next}>; rel=\"next\""))
            }
            _ => answer,
        }
    }

    /// The manifests whose subject is `digest`, as an index.
    pub(crate) fn list_referrers(&self, name: &str, digest: &str, request: &Request) -> Response {
        if !self.options.referrers {
            return error(404, "NOT_FOUND", digest);
        }
        let wanted = request.query("artifactType");
        let state = self.state();
        let manifests = state.repositories.get(name).into_iter().flat_map(|r| &r.manifests);
        let referrers: Vec<Value> = manifests
            .filter_map(|(own, manifest)| {
                let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
                if document["subject"]["digest"] != *digest {
                    return None;
                }
                let kind = [&document["artifactType"], &document["config"]["mediaType"]];
                let mut descriptor = json!({
                    "mediaType": manifest.media_type,
                    "digest": own,
                    "size": manifest.bytes.len(),
                    "artifactType": kind.into_iter().find(|k| k.is_string()),
                });
                if document["annotations"].is_object() {
                    descriptor["annotations"] = document["annotations"].clone();
                }
                Some(descriptor)
            })
            .filter(|descriptor| wanted.as_ref().is_none_or(|wanted| descriptor["artifactType"] == **wanted))
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": referrers});
        let answer = Response::json(200, &index).with("Content-Type", media_type);
        if wanted.is_some() { answer.with("OCI-Filters-Applied", "artifactType") } else { answer }
    }
}
