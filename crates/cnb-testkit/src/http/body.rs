//! The body of a request, and how a connection breaks while it comes in.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::message::{Request, read_headers, read_line};

/// A connection that the server can end while a thread uses it.
#[derive(Clone, Debug)]
pub(crate) struct Wire(pub(crate) Arc<TcpStream>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The client gets "connection reset".
    Reset,
    /// Nothing more happens until the client gives up.
    Stall,
    /// The connection is closed in order, without another word.
    Close,
}

/// What of the body is still to come.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Bytes(u64),
    /// So many bytes of this chunk, then other chunks.
    Chunk(u64),
    None,
}

/// The body of a request, read from the connection.
#[derive(Debug)]
pub struct Body<'c> {
    reader: &'c mut BufReader<Wire>,
    rest: Rest,
    first_chunk: bool,
    client_waits: bool,
    cut: Option<(u64, Break)>,
    broken: Option<Break>,
    received: u64,
}

impl<'c> Body<'c> {
    pub(crate) fn new(request: &Request, reader: &'c mut BufReader<Wire>) -> Self {
        let chunked =
            request.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
        let length = request.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        let rest = match (chunked, length) {
            (true, _) => Rest::Chunk(0),
            (false, 0) => Rest::None,
            (false, length) => Rest::Bytes(length),
        };
        let client_waits = request.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"));
        Self { reader, rest, first_chunk: true, client_waits, cut: None, broken: None, received: 0 }
    }

    /// Breaks the connection once `after` bytes of the body were read, even if there are no more.
    pub fn cut(&mut self, after: u64, how: Break) {
        self.cut = Some((after, how));
    }

    /// Returns how many bytes were read.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Reads all of it; `limit` is the most that may come, in bytes.
    pub fn bytes(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the body is too long"));
        }
        Ok(bytes)
    }

    /// Returns how the connection broke, where it did.
    pub(crate) fn broken(&self) -> Option<Break> {
        self.broken
    }

    /// Reads what nobody wanted, so that the next request can be found; returns whether it can.
    pub(crate) fn drain(&mut self) -> io::Result<bool> {
        if self.client_waits {
            // It will see the answer and not send the body.
            return Ok(false);
        }
        let mut nowhere = vec![0; 64 * 1024];
        while self.read(&mut nowhere)? > 0 {}
        Ok(true)
    }

    /// Reads the line before the next chunk; returns the length of the chunk.
    fn next_chunk(&mut self) -> io::Result<u64> {
        if !std::mem::take(&mut self.first_chunk) {
            read_line(self.reader)?;
        }
        let line = read_line(self.reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(size, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("no size of a chunk: `{line}`")))
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.cut.map_or(u64::MAX, |(after, _)| after - self.received);
        if allowed == 0 {
            self.broken = self.cut.map(|(_, how)| how);
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut by the test"));
        }
        if std::mem::take(&mut self.client_waits) {
            self.reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Rest::Chunk(0) = self.rest {
            self.rest = match self.next_chunk()? {
                0 => {
                    read_headers(self.reader)?;
                    Rest::None
                }
                length => Rest::Chunk(length),
            };
        }
        let (Rest::Bytes(rest) | Rest::Chunk(rest)) = &mut self.rest else { return Ok(0) };
        if *rest == 0 {
            return Ok(0);
        }
        let most = usize::try_from(allowed.min(*rest)).unwrap_or(usize::MAX).min(buffer.len());
        // A large buffer is filled from the socket directly.
        let read = if self.reader.buffer().is_empty() && most > 8192 {
            self.reader.get_mut().read(&mut buffer[..most])?
        } else {
            let available = self.reader.fill_buf()?;
            let read = available.len().min(most);
            buffer[..read].copy_from_slice(&available[..read]);
            self.reader.consume(read);
            read
        };
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended early"));
        }
        *rest -= read as u64;
        self.received += read as u64;
        Ok(read)
    }
}
