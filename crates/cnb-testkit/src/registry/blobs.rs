//! Blobs: whole, in parts, deleted.

use std::io::{self, Read};

use super::Core;
use super::serve::error;
use crate::http::{Content, Request, Response};

impl Core {
    /// `GET` and `HEAD` of a blob.
    pub(crate) fn get_blob(&self, name: &str, digest: &str, request: &Request) -> io::Result<Response> {
        let Some(blob) = self.state().blob(name, digest) else {
            return Ok(error(404, "BLOB_UNKNOWN", digest));
        };
        let length = blob.length();
        let range = request.header("range").filter(|_| self.options.ranges);
        let (status, start, end) = match range.map(|range| parse_range(range, length)) {
            None => (200, 0, length),
            Some(Some((start, end))) => (206, start, end),
            Some(None) => {
                let answer = error(416, "RANGE_INVALID", digest);
                return Ok(answer.with("Content-Range", format!("bytes */{length}")));
            }
        };
        let mut response = Response::new(status)
            .with("Content-Type", "application/octet-stream")
            .with("Docker-Content-Digest", digest);
        if self.options.ranges {
            response = response.with("Accept-Ranges", "bytes");
        }
        if status == 206 {
            response = response.with("Content-Range", format!("bytes {start}-{}/{length}", end - 1));
        }
        let reader: Box<dyn Read + Send> =
            if request.method == "HEAD" { Box::new(io::empty()) } else { blob.open(start)? };
        let content = Content::Stream(Box::new(reader.take(end - start)), Some(end - start));
        Ok(Response { content, ..response })
    }

    /// `DELETE` of a blob.
    pub(crate) fn delete_blob(&self, name: &str, digest: &str) -> Response {
        let mut state = self.state();
        let removed = state.repositories.get_mut(name).is_some_and(|r| r.blobs.remove(digest));
        if removed { Response::new(202) } else { error(404, "BLOB_UNKNOWN", digest) }
    }
}

/// Returns start and end of a range of bytes; `None` where it cannot be satisfied.
fn parse_range(range: &str, length: u64) -> Option<(u64, u64)> {
    let (start, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start.parse::<u64>().ok(), last.parse::<u64>().ok()) {
        (Some(start), Some(last)) => (start, last.saturating_add(1).min(length)),
        (Some(start), None) if last.is_empty() => (start, length),
        (None, Some(suffix)) if start.is_empty() => (length.saturating_sub(suffix), length),
        _ => return None,
    };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_of_the_blob() {
        for (range, expected) in [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=2-100", Some((2, 10))),
            ("bytes=3-", Some((3, 10))),
            ("bytes=-4", Some((6, 10))),
            ("bytes=10-", None),
            ("bytes=a-b", None),
            ("items=0-1", None),
        ] {
            assert_eq!(parse_range(range, 10), expected, "{range}");
        }
    }
}
