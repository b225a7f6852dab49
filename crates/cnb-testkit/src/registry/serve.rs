//! From a request to its answer.

use std::io;

use serde_json::json;

use super::Core;
use super::route::Route;
use crate::http::{Body, Reply, Request, Response};

impl Core {
    /// Answers a request.
    pub(crate) fn serve(&self, request: &Request, body: &mut Body<'_>) -> io::Result<Reply> {
        if self.is_struck_at(request)
            && let Some(what) = self.faults.strike(request)
        {
            return self.sabotage(what, request, body);
        }
        Ok(self.answer(request, body)?.whole())
    }

    /// Returns whether faults are about this request: whether it has what it needs to come in.
    fn is_struck_at(&self, request: &Request) -> bool {
        match Route::parse(request.path()) {
            None | Some(Route::Ping) => true,
            Some(route) => self.refusal(request, &route).is_none(),
        }
    }

    /// Answers a request at another address, where nobody says who they are.
    pub(crate) fn serve_content(&self, request: &Request, _: &mut Body<'_>) -> io::Result<Reply> {
        let answer = match Route::parse(request.path()) {
            Some(Route::Blob { name, digest }) if matches!(request.method.as_str(), "GET" | "HEAD") => {
                self.get_blob(&name, &digest, request)?
            }
            _ => error(405, "UNSUPPORTED", request.path()),
        };
        Ok(answer.whole())
    }

    pub(crate) fn answer(&self, request: &Request, body: &mut Body<'_>) -> io::Result<Response> {
        if let (Some(tokens), "/token") = (&self.tokens, request.path()) {
            return tokens.answer(request, body);
        }
        let Some(route) = Route::parse(request.path()) else {
            return Ok(error(404, "NAME_INVALID", request.path()));
        };
        if let Some(refusal) = self.refusal(request, &route) {
            return Ok(refusal);
        }
        let method = request.method.as_str();
        let answer = match (&route, method) {
            (Route::Ping, "GET" | "HEAD") => Response::json(200, &json!({})),
            (Route::Tags { name }, "GET") => self.list_tags(name, request),
            (Route::Referrers { name, digest }, "GET") => self.list_referrers(name, digest, request),
            (Route::Manifest { name, reference }, "GET" | "HEAD") => {
                self.get_manifest(name, reference, request)
            }
            (Route::Manifest { name, reference }, "PUT") => {
                self.put_manifest(name, reference, request, body)?
            }
            (Route::Blob { name, digest }, "GET" | "HEAD") => self.get_blob(name, digest, request)?,
            (Route::Uploads { name }, "POST") => self.open_upload(name, request, body)?,
            (Route::Upload { name, id }, "GET" | "HEAD") => self.upload_status(name, id),
            (Route::Upload { name, id }, "PATCH") => self.append_upload(name, id, request, body)?,
            (Route::Upload { name, id }, "PUT") => self.finish_upload(name, id, request, body)?,
            (Route::Upload { name, id }, "DELETE") => self.cancel_upload(name, id),
            (Route::Manifest { name, reference }, "DELETE") if self.options.deletes => {
                self.delete_manifest(name, reference)
            }
            (Route::Blob { name, digest }, "DELETE") if self.options.deletes => {
                self.delete_blob(name, digest)
            }
            _ => error(405, "UNSUPPORTED", method),
        };
        Ok(answer.with("Docker-Distribution-Api-Version", "registry/2.0"))
    }

    /// Returns a location as this registry writes them.
    pub(crate) fn location(&self, path: &str) -> String {
        if self.options.absolute_locations {
            format!("http://{}{path}", self.address)
        } else {
            path.to_owned()
        }
    }
}

/// An answer with an error of the specification.
pub(crate) fn error(status: u16, code: &str, detail: &str) -> Response {
    let message = code.to_ascii_lowercase().replace('_', " ");
    Response::json(status, &json!({"errors": [{"code": code, "message": message, "detail": detail}]}))
}
