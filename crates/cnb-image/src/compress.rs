//! gzip: written as independent members of one chunk each, read as any gzip.
//!
//! Level and implementation are pinned: libdeflate, level 1. Another choice gives other blob digests, so a
//! change here is a change of format (house rule 13). Members let all cores work on one layer, and the bytes
//! do not depend on how many there are.

use std::io::{self, BufReader, Read};

use libdeflater::{CompressionLvl, Compressor};

use crate::media::Compression;

/// Packs chunks, one gzip member each.
pub(crate) struct Packer(Compressor);

impl Packer {
    pub(crate) fn new() -> Self {
        // The crate's "fastest" is level 0, which does not compress at all; 1 is always valid.
        let level = CompressionLvl::new(1).expect("level 1 is one of libdeflate's twelve");
        Self(Compressor::new(level))
    }

    /// Replaces what `out` has with `chunk` as one gzip member.
    pub(crate) fn pack(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let bound = self.0.gzip_compress_bound(chunk.len());
        out.resize(bound, 0);
        let size = self.0.gzip_compress(chunk, out).map_err(|e| io::Error::other(e.to_string()))?;
        out.truncate(size);
        Ok(())
    }
}

/// Returns the uncompressed bytes of `blob`, decoded as they are read.
pub fn unpacked<'a>(
    blob: Box<dyn Read + Send + 'a>,
    compression: Compression,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => blob,
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, blob)))
        }
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(blob)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_one_after_another_read_as_one_stream() {
        let mut packer = Packer::new();
        let (mut blob, mut member) = (Vec::new(), Vec::new());
        for chunk in [b"one ".as_slice(), b"two ", b"three"] {
            packer.pack(chunk, &mut member).unwrap();
            assert_eq!(member[..4], [0x1f, 0x8b, 8, 0]);
            assert_eq!(member[4..8], [0; 4], "no time in the header");
            blob.extend_from_slice(&member);
        }
        let mut text = String::new();
        unpacked(Box::new(blob.as_slice()), Compression::Gzip).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two three");
    }
}
