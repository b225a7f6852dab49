//! How faults are carried out.

use std::io::{self, Read};
use std::time::SystemTime;

use super::Core;
use super::access::{unauthorized, wanted};
use super::fault::{RetryAfter, What};
use super::route::Route;
use super::serve::error;
use crate::digest::digest;
use crate::http::{Body, Break, Content, Delivery, Reply, Request, Response, http_date};

impl Core {
    /// Answers a request as the fault wants it.
    pub(crate) fn sabotage(&self, what: What, request: &Request, body: &mut Body<'_>) -> io::Result<Reply> {
        match what {
            What::Status { status, retry_after, body } => Ok(refusal(status, retry_after, body).whole()),
            What::RequestBreaks { after, how } => {
                body.cut(after, how);
                Ok(self.answer(request, body)?.whole())
            }
            What::RedirectTo(place) => Ok(redirect(&place.replace("{target}", &request.target)).whole()),
            What::RedirectLoop => Ok(redirect(&self.location(&request.target)).whole()),
            What::ExpiredToken => Ok(self.expired(request).whole()),
            What::RefuseMount => {
                let target = request.path().to_owned();
                Ok(self.answer(&Request { target, ..request.clone() }, body)?.whole())
            }
            What::NoRange => {
                let mut request = request.clone();
                request.headers.retain(|(name, _)| name != "range");
                Ok(self.answer(&request, body)?.whole())
            }
            What::LostUpload => {
                if let Some(Route::Upload { name, id }) = Route::parse(request.path()) {
                    self.cancel_upload(&name, &id);
                }
                Ok(error(404, "BLOB_UPLOAD_UNKNOWN", "lost by the test").whole())
            }
            what => Ok(spoil(what, self.answer(request, body)?)),
        }
    }

    fn expired(&self, request: &Request) -> Response {
        let Some(tokens) = &self.tokens else { return unauthorized("Basic realm=\"testkit\"") };
        tokens.revoke();
        let wanted = Route::parse(request.path()).map(|route| wanted(request, &route)).unwrap_or_default();
        unauthorized(&format!("{},error=\"invalid_token\"", self.challenge(&wanted)))
    }
}

/// Spoils an answer that was right, or the way in which it is delivered.
fn spoil(what: What, response: Response) -> Reply {
    let delivery = match what {
        What::ResponseBreaks { after, how } => Delivery::Part { bytes: after, how },
        What::SlowLoris { bytes, every } => Delivery::Trickle { bytes, every },
        What::CloseBeforeAnswer => Delivery::Never(Break::Close),
        What::ConnectionClose => Delivery::ThenClose,
        What::SilentClose => Delivery::ThenSilentClose,
        _ => Delivery::Whole,
    };
    let response = match what {
        What::WrongBytes => with_wrong_byte(response),
        What::WrongDigestHeader => response.with("Docker-Content-Digest", digest(b"something else")),
        What::TruncatedJson => halved(response),
        What::NotJson => Response::new(200)
            .with("Content-Type", "text/html")
            .body(b"<html><body>Please log in to the network.</body></html>".to_vec()),
        What::HugeBody(length) => {
            Response { content: Content::Stream(Box::new(io::repeat(b' ').take(length)), None), ..response }
        }
        What::BadRangeHeader(text) => {
            let name = if response.header("content-range").is_some() { "Content-Range" } else { "Range" };
            response.with(name, text)
        }
        _ => response,
    };
    Reply { response, delivery }
}

fn refusal(status: u16, retry_after: Option<RetryAfter>, body: String) -> Response {
    let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
    let response = Response::new(status).with("Content-Type", kind).body(body.into_bytes());
    match retry_after {
        None => response,
        Some(RetryAfter::Seconds(seconds)) => response.with("Retry-After", seconds.to_string()),
        Some(RetryAfter::Date(seconds)) => {
            let then = SystemTime::now() + std::time::Duration::from_secs(seconds);
            response.with("Retry-After", http_date(then))
        }
    }
}

fn redirect(place: &str) -> Response {
    Response::new(307).with("Location", place)
}

fn with_wrong_byte(response: Response) -> Response {
    let content = match response.content {
        Content::Bytes(mut bytes) => {
            if let Some(first) = bytes.first_mut() {
                *first ^= 1;
            }
            Content::Bytes(bytes)
        }
        tunnel @ Content::Tunnel(_) => tunnel,
        Content::Stream(mut stream, length) => {
            let mut first = Vec::new();
            // A stream that cannot be read spoils itself.
            let _ = stream.by_ref().take(1).read_to_end(&mut first);
            for byte in &mut first {
                *byte ^= 1;
            }
            Content::Stream(Box::new(io::Cursor::new(first).chain(stream)), length)
        }
    };
    Response { content, ..response }
}

fn halved(response: Response) -> Response {
    let content = match response.content {
        Content::Bytes(mut bytes) => {
            bytes.truncate(bytes.len() / 2);
            Content::Bytes(bytes)
        }
        tunnel @ Content::Tunnel(_) => tunnel,
        Content::Stream(stream, length) => {
            let half = length.unwrap_or(0) / 2;
            Content::Stream(Box::new(stream.take(half)), Some(half))
        }
    };
    Response { content, ..response }
}
