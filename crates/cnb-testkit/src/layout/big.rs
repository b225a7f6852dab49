//! Layers of any length, made as they are read.

use std::io::{self, Read};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::digest;

/// The length of what repeats: further than gzip, and zstd at its usual levels, look back.
const BLOCK: u64 = 4 * 1024 * 1024;

/// What the file of a big layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros, which compress to nothing.
    Zeros,
    /// Bytes that look random, and do not compress; the same for the same seed.
    Random(u64),
}

/// A layer with one file, as an uncompressed tar. It takes no memory and no disk, whatever its length.
#[derive(Clone, Debug)]
pub struct BigLayer {
    head: Vec<u8>,
    length: u64,
    block: Option<Arc<Vec<u8>>>,
}

impl BigLayer {
    /// Returns a layer whose only file is `path`, with `length` bytes.
    pub fn new(path: &str, length: u64, fill: Fill) -> io::Result<Self> {
        let mut header = tar::Header::new_gnu();
        header.set_path(path)?;
        header.set_size(length);
        header.set_mode(0o644);
        header.set_mtime(1);
        header.set_cksum();
        let block = match fill {
            Fill::Zeros => None,
            Fill::Random(seed) => Some(Arc::new(random(seed))),
        };
        Ok(Self { head: header.as_bytes().to_vec(), length, block })
    }

    /// The length of the tar in bytes.
    pub fn size(&self) -> u64 {
        self.head.len() as u64 + self.length.next_multiple_of(512) + 1024
    }

    /// Returns its digest, which reads all of it: a second for about a gigabyte.
    pub fn digest(&self) -> io::Result<String> {
        let mut hasher = Sha256::new();
        let mut reader = self.open(0);
        let mut buffer = vec![0; 1024 * 1024];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(digest::named(hasher)),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    /// Reads it from `offset` on.
    pub fn open(&self, offset: u64) -> impl Read + Send + use<> {
        Reader { layer: self.clone(), at: offset }
    }
}

struct Reader {
    layer: BigLayer,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let head = self.layer.head.len() as u64;
        let file = head + self.layer.length;
        let most = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX).min(buffer.len());
        let read = if self.at < head {
            let read = most(self.at, head);
            let start = usize::try_from(self.at).unwrap_or(0);
            buffer[..read].copy_from_slice(&self.layer.head[start..start + read]);
            read
        } else if self.at < file {
            let at = self.at - head;
            let read = most(self.at, file.min(self.at + BLOCK - at % BLOCK));
            match &self.layer.block {
                None => buffer[..read].fill(0),
                Some(block) => fill(&mut buffer[..read], block, at),
            }
            read
        } else {
            let read = most(self.at.min(self.layer.size()), self.layer.size());
            buffer[..read].fill(0);
            read
        };
        self.at += read as u64;
        Ok(read)
    }
}

/// Fills `buffer` from the block, which begins with its own number: no two of them are equal.
fn fill(buffer: &mut [u8], block: &[u8], at: u64) {
    let start = usize::try_from(at % BLOCK).unwrap_or(0);
    buffer.copy_from_slice(&block[start..start + buffer.len()]);
    let number = (at / BLOCK).to_le_bytes();
    for (byte, number) in buffer.iter_mut().zip(number.iter().skip(start)) {
        *byte ^= number;
    }
}

/// Returns a block from the generator `SplitMix64`.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = (0..BLOCK / 8).flat_map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31).to_le_bytes()
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(layer: &BigLayer, offset: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        layer.open(offset).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_big_layer_is_a_tar_with_one_file_and_the_same_from_every_offset() {
        let layer = BigLayer::new("data/big", 3 * BLOCK + 700, Fill::Random(7)).unwrap();
        let whole = bytes(&layer, 0);
        assert_eq!(whole.len() as u64, layer.size());
        assert_eq!(layer.digest().unwrap(), digest::digest(&whole));
        let mut archive = tar::Archive::new(whole.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("data/big"));
        let mut file = Vec::new();
        entry.read_to_end(&mut file).unwrap();
        assert_eq!(file.len() as u64, 3 * BLOCK + 700);
        assert_ne!(file[..1000], file[usize::try_from(BLOCK).unwrap()..][..1000]);
        assert!(entries.next().is_none());
        for offset in [
            1,
            511,
            512,
            515,
            600,
            512 + BLOCK,
            515 + BLOCK,
            layer.size() - 1,
            layer.size(),
            layer.size() + 5,
        ] {
            let from = usize::try_from(offset).unwrap().min(whole.len());
            assert_eq!(bytes(&layer, offset), whole[from..], "{offset}");
        }
    }

    #[test]
    fn the_seed_makes_the_difference() {
        let made = |fill| BigLayer::new("a", 10_000, fill).unwrap().digest().unwrap();
        assert_eq!(made(Fill::Random(1)), made(Fill::Random(1)));
        assert_ne!(made(Fill::Random(1)), made(Fill::Random(2)));
        assert_ne!(made(Fill::Random(1)), made(Fill::Zeros));
    }
}
