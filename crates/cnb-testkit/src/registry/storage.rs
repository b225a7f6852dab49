//! Where blobs are kept, and how they are read back.

use std::fmt;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::digest;

/// The longest blob that [`Storage::Discard`] keeps, in bytes: configs can be read back.
const KEPT: usize = 1024 * 1024;

/// Where blobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory.
    Memory,
    /// In a temporary directory.
    Directory,
    /// Nowhere: of blobs over 1 MiB only digest and length are known, so that uploads of any length need no memory.
    Discard,
}

/// Opens a blob at an offset.
pub(crate) type Open = dyn Fn(u64) -> Box<dyn Read + Send> + Send + Sync;

/// A blob.
#[derive(Clone)]
pub(crate) enum Blob {
    Memory(Arc<Vec<u8>>),
    File(PathBuf, u64),
    Discarded(u64),
    Made(Arc<Open>, u64),
}

impl Blob {
    /// The length in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) | Self::Discarded(length) | Self::Made(_, length) => *length,
        }
    }

    /// Reads it from `offset` on.
    pub(crate) fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Memory(bytes) => {
                let mut reader = Cursor::new(Shared(Arc::clone(bytes)));
                reader.set_position(offset);
                Ok(Box::new(reader))
            }
            Self::File(path, _) => {
                let mut file = fs_err::File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(file))
            }
            Self::Discarded(_) => Err(io::Error::other("the registry discarded the blob")),
            Self::Made(open, _) => Ok(open(offset)),
        }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.length())
    }
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A blob that comes in.
#[derive(Debug)]
pub(crate) struct Draft {
    sink: Sink,
    hasher: Sha256,
    length: u64,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(fs_err::File),
    Discard(Vec<u8>),
}

impl Draft {
    /// Begins a blob; `dir` is where [`Storage::Directory`] keeps it, `number` is different each time.
    pub(crate) fn new(storage: Storage, dir: Option<&Path>, number: u64) -> io::Result<Self> {
        let sink = match (storage, dir) {
            (Storage::Directory, Some(dir)) => {
                Sink::File(fs_err::File::create(dir.join(number.to_string()))?)
            }
            (Storage::Discard, _) => Sink::Discard(Vec::new()),
            _ => Sink::Memory(Vec::new()),
        };
        Ok(Self { sink, hasher: Sha256::new(), length: 0 })
    }

    /// How many bytes have come in.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds all that `reader` gives; what came before an error is kept.
    pub(crate) fn append(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let piece = &buffer[..read];
            match &mut self.sink {
                Sink::Memory(bytes) => bytes.extend_from_slice(piece),
                Sink::File(file) => file.write_all(piece)?,
                Sink::Discard(bytes) if bytes.len() + read <= KEPT => bytes.extend_from_slice(piece),
                // Longer than what is kept, which finishing finds out by comparing lengths.
                Sink::Discard(bytes) => bytes.clear(),
            }
            self.hasher.update(piece);
            self.length += read as u64;
        }
    }

    /// Ends the blob; returns its digest too.
    pub(crate) fn finish(self) -> (String, Blob) {
        let blob = match self.sink {
            Sink::Memory(bytes) => Blob::Memory(Arc::new(bytes)),
            Sink::File(file) => Blob::File(file.path().to_owned(), self.length),
            Sink::Discard(bytes) if bytes.len() as u64 == self.length => Blob::Memory(Arc::new(bytes)),
            Sink::Discard(_) => Blob::Discarded(self.length),
        };
        (digest::named(self.hasher), blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(storage: Storage, length: usize, comes_back: bool) {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
        let mut draft = Draft::new(storage, Some(dir.path()), 1).unwrap();
        draft.append(&mut &bytes[..2]).unwrap();
        draft.append(&mut &bytes[2..]).unwrap();
        let (name, blob) = draft.finish();
        assert_eq!(name, digest::digest(&bytes));
        assert_eq!(blob.length(), length as u64);
        let mut back = Vec::new();
        let read = blob.open(3).and_then(|mut reader| reader.read_to_end(&mut back));
        assert_eq!(read.is_ok(), comes_back);
        assert!(!comes_back || back == bytes[3..]);
    }

    #[test]
    fn every_kind_of_storage_knows_digest_and_length_and_all_but_one_the_bytes() {
        check(Storage::Memory, 3_000_000, true);
        check(Storage::Directory, 3_000_000, true);
        check(Storage::Discard, 1000, true);
        check(Storage::Discard, 3_000_000, false);
    }
}
