//! Rewrites the tar of a layer that others made: the same entries, with the fixed time and no user names.
//!
//! What the exporter does with layers of image extensions (requirement E21): owners, modes, link targets and
//! PAX records such as extended attributes stay.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use cnb_fs::FsError;
use cnb_spec::digest::DiffId;
use sha2::{Digest as _, Sha256};

use super::stream::CHUNK;
use super::{BLOCK, Header, HeaderKind, pad};
use crate::blob_store::{BlobStore, BlobWriter};
use crate::compress::Packer;
use crate::image::ImageLayer;
use crate::layer::Made;
use crate::source::LayerError;

/// PAX records that say what the header itself can say; they are made anew where they are needed.
const OF_HEADER: &[&str] = &["path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime"];

/// Makes a layer in `store` with the entries of `layer`.
pub fn normalized(layer: &ImageLayer, store: &BlobStore) -> Result<Made, LayerError> {
    let place = layer.blob.place();
    let on_read = |e: io::Error| LayerError::from(FsError::on("read", &place)(e));
    let mut archive = tar::Archive::new(layer.open_tar()?);
    let mut out = Sink::new(store)?;
    for entry in archive.entries().map_err(on_read)? {
        let mut entry = entry.map_err(on_read)?;
        let mut head = Vec::new();
        let size = write_header(&mut entry, &mut head).map_err(on_read)?;
        out.write_all(&head).map_err(on_read)?;
        io::copy(&mut entry, &mut out).map_err(on_read)?;
        let mut zeros = Vec::new();
        pad(&mut zeros, size);
        out.write_all(&zeros).map_err(on_read)?;
    }
    out.write_all(&[0; 2 * BLOCK]).map_err(on_read)?;
    out.finish()
}

/// Writes the header of `entry` anew and returns the size of its content.
fn write_header(entry: &mut tar::Entry<'_, impl Read>, out: &mut Vec<u8>) -> io::Result<u64> {
    let path = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
    let mut records: Vec<(String, Vec<u8>)> = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for record in extensions {
            let record = record?;
            let key = record.key().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            records.push((key.to_owned(), record.value_bytes().to_vec()));
        }
    }
    let number = |key: &str| {
        let value = records.iter().rev().find(|(k, _)| k == key)?;
        std::str::from_utf8(&value.1).ok()?.parse::<u64>().ok()
    };
    let id = |own: u64, key: &str| {
        u32::try_from(number(key).unwrap_or(own)).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    };
    let size = entry.size();
    let header = entry.header();
    // Other writers leave these fields empty where they mean nothing.
    let device = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or_default();
    let (major, minor) = (device(header.device_major()), device(header.device_minor()));
    let kind = match header.entry_type() {
        tar::EntryType::Directory => HeaderKind::Dir,
        tar::EntryType::Symlink => HeaderKind::Link { target },
        tar::EntryType::Link => HeaderKind::HardLink { target },
        tar::EntryType::Fifo => HeaderKind::Fifo,
        tar::EntryType::Char => HeaderKind::CharDevice { major, minor },
        tar::EntryType::Block => HeaderKind::BlockDevice { major, minor },
        _ => HeaderKind::File { size },
    };
    let (uid, gid) = (id(header.uid()?, "uid")?, id(header.gid()?, "gid")?);
    let header = Header { path: &path, mode: header.mode()?, uid, gid, kind };
    if records.is_empty() {
        header.write(out);
    } else {
        records.retain(|(key, _)| !OF_HEADER.contains(&key.as_str()));
        header.write_pax(out, &records);
    }
    Ok(size)
}

/// Hashes a tar, packs it in chunks, and writes it to a blob.
struct Sink<'s> {
    store: &'s BlobStore,
    blob: BlobWriter,
    packer: Packer,
    chunk: Vec<u8>,
    packed: Vec<u8>,
    hash: Sha256,
    size: u64,
}

impl<'s> Sink<'s> {
    fn new(store: &'s BlobStore) -> Result<Self, LayerError> {
        Ok(Self {
            store,
            blob: store.writer()?,
            packer: Packer::new(),
            chunk: Vec::with_capacity(CHUNK),
            packed: Vec::new(),
            hash: Sha256::new(),
            size: 0,
        })
    }

    fn pack(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.hash.update(&self.chunk);
            self.size += self.chunk.len() as u64;
            self.packer.pack(&self.chunk, &mut self.packed)?;
            self.chunk.clear();
            self.blob.write_all(&self.packed)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Made, LayerError> {
        self.pack().map_err(FsError::on("write a blob in", self.store.dir().as_path()))?;
        let diff_id = DiffId::from_bytes(self.hash.finalize().into());
        let blob = self.blob.commit()?;
        self.store.remember(&diff_id, blob)?;
        Ok(Made { diff_id, tar_size: self.size, blob })
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.pack()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
