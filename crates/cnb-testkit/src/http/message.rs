//! Requests and responses as values.

use std::io::{self, BufRead, Read};
use std::net::TcpStream;

use serde_json::Value;

use super::base64;
use super::delivery::Delivery;

/// The longest line of a head; longer ones are refused.
const LONGEST_LINE: u64 = 64 * 1024;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, as sent.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The headers in their order, with names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// Reads a head; `None` where the client has closed the connection.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(None);
        }
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(_)) = (words.next(), words.next(), words.next()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no request: `{line}`")));
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        Ok(Some(Self { method, target, headers: read_headers(reader)? }))
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first parameter of the query with that name, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries(name).into_iter().next()
    }

    /// All parameters of the query with that name, decoded.
    pub fn queries(&self, name: &str) -> Vec<String> {
        parameters(self.target.split_once('?').map_or("", |(_, query)| query), name)
    }

    /// The first header with that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// User and password of basic authentication.
    pub fn basic(&self) -> Option<(String, String)> {
        self.basic_in("authorization")
    }

    /// User and password of basic authentication, as the header `name` has them.
    pub(crate) fn basic_in(&self, name: &str) -> Option<(String, String)> {
        let coded = self.header(name)?.strip_prefix("Basic ")?;
        let plain = String::from_utf8(base64::decode(coded)?).ok()?;
        let (user, password) = plain.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The token of bearer authentication.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

/// The parameters called `name` of a query or of a form.
pub(crate) fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| percent_decode(value)).collect()
}

/// Decodes `%xx` and `+`.
pub fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        let decoded = hex.filter(|_| *first == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        bytes.push(decoded.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Reads a line without its end; empty at the end of the stream too.
pub(crate) fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(LONGEST_LINE).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads headers up to the empty line.
pub(crate) fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { return Ok(headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The body of a response.
pub enum Content {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A stream, and its length where that is known; otherwise it is sent in chunks.
    Stream(Box<dyn Read + Send>, Option<u64>),
    /// After the head, client and this connection talk to each other: the answer to `CONNECT`.
    Tunnel(TcpStream),
}

impl Content {
    /// The length in bytes, where it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stream(_, length) => *length,
            Self::Tunnel(_) => None,
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({:?} bytes)", self.length())
    }
}

/// A response. `Content-Length` is added; everything else is in `headers`.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body; for an answer to `HEAD`, what `GET` would answer.
    pub content: Content,
}

impl Response {
    /// Returns a response without a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Bytes(Vec::new()) }
    }

    /// Returns a response with a JSON document.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status).with("Content-Type", "application/json").body(body.to_string().into_bytes())
    }

    /// Sets a header, in place of one that has the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, bytes: Vec<u8>) -> Self {
        Self { content: Content::Bytes(bytes), ..self }
    }

    /// The header with that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Sends it as it should be sent.
    pub fn whole(self) -> Reply {
        Reply { response: self, delivery: Delivery::Whole }
    }
}

/// A response, and how it reaches the client.
#[derive(Debug)]
pub struct Reply {
    /// What is said.
    pub response: Response,
    /// How much of it arrives.
    pub delivery: Delivery,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_with_its_query_and_its_credentials() {
        let text = "GET /v2/a/tags/list?n=2&last=a%2Fb+c HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYTpzcw==\r\n\r\nrest";
        let mut reader = text.as_bytes();
        let request = Request::read(&mut reader).unwrap().unwrap();
        assert_eq!(reader, b"rest");
        assert_eq!(request.path(), "/v2/a/tags/list");
        assert_eq!(request.query("last").as_deref(), Some("a/b c"));
        assert_eq!(request.query("from"), None);
        assert_eq!(request.basic(), Some(("user".to_owned(), "pa:ss".to_owned())));
        assert_eq!(Request::read(&mut &b""[..]).unwrap(), None);
        assert!(Request::read(&mut &b"nonsense\r\n"[..]).is_err());
    }

    #[test]
    fn percent_signs_that_encode_nothing_stay() {
        assert_eq!(percent_decode("a%2fb%zz%"), "a/b%zz%");
    }
}
