//! Just enough of an HTTP client for the registry of the sandbox.
//!
//! As HTTP/1.0: one request a connection, and the answer ends where the connection does.

use std::io::{Error, Read, Write};
use std::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Asks the server at `address`.
///
/// # Errors
/// If it cannot be reached, or answers something else than HTTP, or less than it promised.
pub(super) fn request(
    address: &str,
    method: &str,
    target: &str,
    header: Option<(&str, &str)>,
    body: &[u8],
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    let extra = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.0\r\nHost: {address}\r\n{extra}Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
        .ok_or_else(|| Error::other(format!("`{address}` gave no whole answer to {method} {target}")))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let body = answer[end + 4..].to_vec();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let response = Response { status, headers, body };
    let promised = response.header("content-length").and_then(|length| length.parse().ok());
    promised.is_none_or(|length: usize| length == response.body.len()).then_some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_only_if_it_is_whole() {
        let whole = b"HTTP/1.0 202 Accepted\r\nLocation: http://a/b?c\r\nContent-Length: 2\r\n\r\nhi";
        let response = parse(whole).unwrap();
        assert_eq!((response.status, response.body.as_slice()), (202, b"hi".as_slice()));
        assert_eq!(response.header("location"), Some("http://a/b?c"));
        assert!(parse(&whole[..whole.len() - 1]).is_none());
        assert!(parse(b"").is_none() && parse(b"hello\r\n\r\n").is_none());
    }
}
