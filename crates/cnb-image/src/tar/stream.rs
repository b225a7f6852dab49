//! A layer's tar as a stream of chunks, made as it is asked for.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use cnb_fs::FsError;
use cnb_spec::digest::DiffId;
use sha2::{Digest as _, Sha256};

use super::BLOCK;
use super::header::padding;
use super::walk::{Body, Items};
use crate::source::LayerError;

/// How much of a tar makes one chunk, and one gzip member: 1 MiB.
///
/// The size is part of the format: another one gives other blob digests.
pub(crate) const CHUNK: usize = 1 << 20;

/// The tar of one layer.
pub(crate) struct TarStream<'a> {
    items: Items<'a>,
    /// Header or padding bytes that come before the body.
    head: Vec<u8>,
    body: Body,
    path: PathBuf,
    remaining: u64,
    padding: usize,
    ended: bool,
    hash: Sha256,
    size: u64,
}

impl<'a> TarStream<'a> {
    pub(crate) fn new(items: Items<'a>) -> Self {
        Self {
            items,
            head: Vec::new(),
            body: Body::None,
            path: PathBuf::new(),
            remaining: 0,
            padding: 0,
            ended: false,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// Fills `out`, which is empty, with the next chunk; returns whether the tar ends with it.
    pub(crate) fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, LayerError> {
        let more = loop {
            let room = CHUNK - out.len();
            if room == 0 && !self.head.is_empty() {
                // A header of several blocks goes on in the next chunk.
                break true;
            } else if !self.head.is_empty() {
                let count = room.min(self.head.len());
                out.extend(self.head.drain(..count));
            } else if self.remaining > 0 && room > 0 {
                self.read(out, room)?;
            } else if self.ended {
                break false;
            } else if room == 0 {
                break true;
            } else {
                self.advance()?;
            }
        };
        self.hash.update(&*out);
        self.size += out.len() as u64;
        Ok(!more)
    }

    /// Returns the digest and the size of the tar, once it has ended.
    pub(crate) fn finish(self) -> (DiffId, u64) {
        (DiffId::from_bytes(self.hash.finalize().into()), self.size)
    }

    fn advance(&mut self) -> Result<(), LayerError> {
        if let Body::File(file) = &mut self.body {
            // A file that grew has more than its header says.
            if read(file, &mut [0], &self.path)? != 0 {
                return Err(LayerError::Changed { path: std::mem::take(&mut self.path), how: "grew" });
            }
        }
        self.body = Body::None;
        self.head.resize(self.padding, 0);
        self.padding = 0;
        let Some(item) = self.items.next() else {
            self.head.resize(self.head.len() + 2 * BLOCK, 0);
            self.ended = true;
            return Ok(());
        };
        let item = item?;
        item.header().write(&mut self.head);
        self.remaining = item.size();
        self.padding = padding(self.remaining);
        self.body = item.body;
        self.path = item.path;
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Result<(), LayerError> {
        let want = usize::try_from(self.remaining).map_or(room, |r| r.min(room));
        let at = out.len();
        let got = match &mut self.body {
            Body::None => 0,
            Body::Bytes(bytes) => {
                let from = bytes.len() - usize::try_from(self.remaining).unwrap_or(bytes.len());
                out.extend_from_slice(&bytes[from..from + want]);
                want
            }
            Body::File(file) => {
                out.resize(at + want, 0);
                let got = read(file, &mut out[at..], &self.path)?;
                out.truncate(at + got);
                got
            }
        };
        if got == 0 {
            return Err(LayerError::Changed { path: std::mem::take(&mut self.path), how: "shrank" });
        }
        self.remaining -= got as u64;
        Ok(())
    }
}

fn read(file: &mut std::fs::File, buffer: &mut [u8], path: &std::path::Path) -> Result<usize, LayerError> {
    loop {
        match file.read(buffer) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            other => return Ok(other.map_err(FsError::on("read", path))?),
        }
    }
}
