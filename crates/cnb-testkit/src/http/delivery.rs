//! How much of a response reaches the client, and how fast.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use super::body::Break;
use super::message::{Content, Response};

/// How a response reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As it should.
    Whole,
    /// Not at all.
    Never(Break),
    /// The head, `bytes` of the body, then the connection breaks.
    Part {
        /// How many bytes of the body arrive.
        bytes: u64,
        /// What happens then.
        how: Break,
    },
    /// All of it, head included, `bytes` at a time.
    Trickle {
        /// How many bytes arrive at a time.
        bytes: usize,
        /// The time between them.
        every: Duration,
    },
    /// As it should, with `Connection: close`.
    ThenClose,
    /// As it should; then the connection is closed although the head did not say so.
    ThenSilentClose,
}

/// Sends a response; returns how the connection breaks then, `None` where it can go on.
pub(crate) fn deliver(
    stream: &mut impl Write,
    response: Response,
    head_only: bool,
    delivery: Delivery,
) -> io::Result<Option<Break>> {
    let mut end = response.header("connection").map(|_| Break::Close);
    match delivery {
        Delivery::Never(how) => return Ok(Some(how)),
        Delivery::Trickle { bytes, every } => {
            send(&mut Trickle { stream, bytes, every }, response, head_only, u64::MAX)?;
        }
        Delivery::Part { bytes, how } => {
            send(stream, response, head_only, bytes)?;
            end = Some(how);
        }
        Delivery::Whole => send(stream, response, head_only, u64::MAX)?,
        Delivery::ThenClose => {
            send(stream, response.with("Connection", "close"), head_only, u64::MAX)?;
            end = Some(Break::Close);
        }
        Delivery::ThenSilentClose => {
            send(stream, response, head_only, u64::MAX)?;
            end = Some(Break::Close);
        }
    }
    Ok(end)
}

/// Sends head and body, `most` bytes of it.
fn send(stream: &mut impl Write, response: Response, head_only: bool, most: u64) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let length = response.content.length();
    let without_body = response.status == 204 || response.status == 304;
    match length {
        _ if without_body => {}
        Some(length) => {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        None if matches!(response.content, Content::Tunnel(_)) => {}
        None => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    // One packet for head and small bodies: clients see no pause between the two.
    let mut head = head.into_bytes();
    if head_only || without_body {
        return stream.write_all(&head);
    }
    match response.content {
        Content::Bytes(bytes) => {
            head.extend_from_slice(&bytes[..usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len())]);
            stream.write_all(&head)
        }
        // The server does the rest.
        Content::Tunnel(_) => stream.write_all(&head),
        Content::Stream(content, Some(_)) => {
            stream.write_all(&head)?;
            pump(content.take(most), |piece| stream.write_all(piece))
        }
        Content::Stream(content, None) => {
            stream.write_all(&head)?;
            pump(content.take(most), |piece| {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                stream.write_all(piece)?;
                stream.write_all(b"\r\n")
            })?;
            if most == u64::MAX { stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
        }
    }
}

fn pump(mut from: impl Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to(&buffer[..read])?,
        }
    }
}

/// Writes a few bytes at a time.
struct Trickle<'s, W> {
    stream: &'s mut W,
    bytes: usize,
    every: Duration,
}

impl<W: Write> Write for Trickle<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        thread::sleep(self.every);
        self.stream.write(&bytes[..bytes.len().min(self.bytes)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
