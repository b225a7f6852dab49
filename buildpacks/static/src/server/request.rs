//! The head of a request: how it is read and what it asks for.

use std::io;
use std::time::{Duration, Instant};

use super::answer::Status;

/// The most bytes that the head of a request may have.
const LIMIT: usize = 16 << 10;

/// Why no request could be read.
#[derive(Debug)]
pub enum ReadError {
    /// The connection failed or ended in the middle.
    Io(io::Error),
    /// The client is told so, and the connection ends.
    Status(Status),
}

/// Reads up to the empty line; `None` when the client is done. What follows stays in `pending`.
///
/// `patience` is for the first byte, `limit` for the whole head.
pub fn read_head(
    pending: &mut Vec<u8>,
    mut read: impl FnMut(&mut [u8], Duration) -> io::Result<usize>,
    patience: Duration,
    limit: Duration,
) -> Result<Option<Vec<u8>>, ReadError> {
    let mut deadline = Instant::now() + if pending.is_empty() { patience } else { limit };
    let mut buffer = [0; 4 << 10];
    loop {
        if let Some(end) = find_end(pending) {
            let rest = pending.split_off(end);
            return Ok(Some(std::mem::replace(pending, rest)));
        }
        if pending.len() > LIMIT {
            return Err(ReadError::Status(Status::HeadTooLarge));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let late = || {
            if pending.is_empty() { Ok(None) } else { Err(ReadError::Status(Status::RequestTimeout)) }
        };
        if left.is_zero() {
            return late();
        }
        let n = match read(&mut buffer, left) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return late();
            }
            Err(e) => return Err(ReadError::Io(e)),
        };
        if n == 0 {
            return Ok(None);
        }
        if pending.is_empty() {
            deadline = Instant::now() + limit;
        }
        pending.extend_from_slice(&buffer[..n]);
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|p| p + 4);
    let lf = bytes.windows(2).position(|w| w == b"\n\n").map(|p| p + 2);
    match (crlf, lf) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET` or `HEAD`.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// The query with its `?`, or nothing.
    pub query: &'a str,
    /// Whether the connection stays for another request.
    pub keep_alive: bool,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a str>,
    /// `Range`.
    pub range: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads the head of a request.
    pub fn parse(head: &'a [u8]) -> Result<Self, Status> {
        let text = std::str::from_utf8(head).map_err(|_| Status::BadRequest)?;
        let mut lines = text.split('\n').map(|l| l.trim_end_matches('\r'));
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Status::BadRequest);
        };
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(Status::BadRequest);
        }
        if !matches!(method, "GET" | "HEAD") {
            return Err(Status::MethodNotAllowed);
        }
        // A proxy may send the whole address.
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        };
        if !target.starts_with('/') {
            return Err(Status::BadRequest);
        }
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let mut request = Self {
            method,
            path,
            query,
            keep_alive: version == "HTTP/1.1",
            if_none_match: None,
            if_modified_since: None,
            range: None,
            if_range: None,
        };
        for line in lines.take_while(|l| !l.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(Status::BadRequest)?;
            request.header(name, value.trim());
        }
        Ok(request)
    }

    fn header(&mut self, name: &str, value: &'a str) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("connection") {
            let says = |word: &str| value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word));
            self.keep_alive = !says("close") && (self.keep_alive || says("keep-alive"));
        } else if is("content-length") && value != "0" || is("transfer-encoding") {
            // A body means nothing here; without reading it the next request cannot be found.
            self.keep_alive = false;
        } else if is("if-none-match") {
            self.if_none_match = Some(value);
        } else if is("if-modified-since") {
            self.if_modified_since = Some(value);
        } else if is("range") {
            self.range = Some(value);
        } else if is("if-range") {
            self.if_range = Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ReadError, Request, Status, read_head};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn requests_that_come_together_are_read_one_by_one() {
        let mut source: &[u8] = b"GET / HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        let mut pending = Vec::new();
        let mut next = || read_head(&mut pending, |b, _| std::io::Read::read(&mut source, b), SECOND, SECOND);
        assert_eq!(next().unwrap().unwrap(), b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(next().unwrap().unwrap(), b"GET /b HTTP/1.1\r\n\r\n");
        assert!(next().unwrap().is_none());
    }

    #[test]
    fn a_head_that_is_too_large_is_refused() {
        let outcome = read_head(&mut Vec::new(), |b, _| Ok(b.len()), SECOND, SECOND);
        assert!(matches!(outcome, Err(ReadError::Status(Status::HeadTooLarge))));
    }

    #[track_caller]
    fn check(head: &str, expected: Result<(&str, bool), Status>) {
        let found = Request::parse(head.as_bytes()).map(|r| (r.path, r.keep_alive));
        assert_eq!(found, expected, "{head:?}");
    }

    #[test]
    fn the_head_says_what_is_wanted() {
        check("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", Ok(("/a", true)));
        check("GET http://x/a HTTP/1.1\r\n\r\n", Ok(("/a", true)));
        check("HEAD / HTTP/1.0\r\n\r\n", Ok(("/", false)));
        check("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", Ok(("/", false)));
        check("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", Ok(("/", false)));
        check("POST / HTTP/1.1\r\n\r\n", Err(Status::MethodNotAllowed));
        check("GET a HTTP/1.1\r\n\r\n", Err(Status::BadRequest));
        check("GET /\r\n\r\n", Err(Status::BadRequest));
        check("GET / HTTP/1.1\r\nnonsense\r\n\r\n", Err(Status::BadRequest));
    }
}
