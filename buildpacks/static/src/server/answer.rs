//! What the server sends: status, headers, body.

use std::fmt::Write;
use std::fs::File;

/// A status that this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 206
    PartialContent,
    /// 301
    MovedPermanently,
    /// 304
    NotModified,
    /// 400
    BadRequest,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 416
    RangeNotSatisfiable,
    /// 431
    HeadTooLarge,
    /// 500
    ServerError,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::PartialContent => "206 Partial Content",
            Self::MovedPermanently => "301 Moved Permanently",
            Self::NotModified => "304 Not Modified",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::ServerError => "500 Internal Server Error",
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// None, and no length either.
    Nothing,
    /// A short text.
    Text(String),
    /// A part of a file.
    File {
        /// The file.
        file: File,
        /// The first byte.
        start: u64,
        /// How many bytes.
        length: u64,
    },
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: Status,
    /// Its headers but for length and connection.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Body,
}

impl Answer {
    /// Makes an answer that says its status in a line of text.
    pub fn plain(status: Status) -> Self {
        let mut headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
        if status == Status::MethodNotAllowed {
            headers.push(("Allow", "GET, HEAD".to_owned()));
        }
        Self { status, headers, body: Body::Text(format!("{}\n", status.line())) }
    }

    /// Makes an answer that sends the client elsewhere on this server.
    pub fn moved(to: String) -> Self {
        let mut answer = Self::plain(Status::MovedPermanently);
        answer.headers.push(("Location", to));
        answer
    }

    /// Writes status line and headers.
    pub fn head(&self, keep: bool) -> String {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status.line());
        // Writing to a text cannot fail.
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match &self.body {
            Body::Nothing => {}
            Body::Text(text) => {
                let _ = write!(head, "Content-Length: {}\r\n", text.len());
            }
            Body::File { length, .. } => {
                let _ = write!(head, "Content-Length: {length}\r\n");
            }
        }
        let connection = if keep { "keep-alive" } else { "close" };
        let _ = write!(head, "X-Content-Type-Options: nosniff\r\nConnection: {connection}\r\n\r\n");
        head
    }
}
