//! Checks an image against its own digests: everything that does not agree, at once.

use std::io::{self, Read};

use cnb_spec::digest::{DiffId, Digest};
use sha2::{Digest as _, Sha256};

use crate::blob_store::digest_of;
use crate::compress::unpacked;
use crate::image::{Image, ImageLayer};

/// Something about an image that does not agree with its documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The config has another digest or size than the manifest says.
    #[error(
        "the config is {found} with {found_size} bytes, the manifest says {expected} with {expected_size}"
    )]
    Config {
        /// What the manifest says.
        expected: Digest,
        /// What the manifest says.
        expected_size: u64,
        /// What it is.
        found: Digest,
        /// What it is.
        found_size: u64,
    },
    /// A blob has another size than the manifest says.
    #[error("layer {number}: the blob `{digest}` has {found} bytes, the manifest says {expected}")]
    Size {
        /// Which layer, counted from 1.
        number: usize,
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A blob has another digest than the manifest says.
    #[error("layer {number}: the blob `{expected}` has the digest `{found}`")]
    Digest {
        /// Which layer, counted from 1.
        number: usize,
        /// What the manifest says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A layer has another diffID than the config says.
    #[error("layer {number}: the config says diffID `{expected}`, it is `{found}`")]
    DiffId {
        /// Which layer, counted from 1.
        number: usize,
        /// What the config says.
        expected: DiffId,
        /// What it is.
        found: DiffId,
    },
    /// A layer cannot be read at all.
    #[error("layer {number}: the blob `{digest}` cannot be read: {reason}")]
    Unreadable {
        /// Which layer, counted from 1.
        number: usize,
        /// The blob.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// The history does not have one entry for each layer.
    #[error("the history tells of {history} layers, the image has {layers}")]
    History {
        /// Entries of the history with a layer.
        history: usize,
        /// Layers.
        layers: usize,
    },
}

/// Reads all of `image` and returns everything that does not agree.
pub fn validate(image: &Image) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let expected = &image.manifest().config;
    let (digest, size) = (digest_of(image.config_bytes()), image.config_bytes().len() as u64);
    if (digest, size) != (expected.digest, expected.size) {
        found.push(Mismatch::Config {
            expected: expected.digest,
            expected_size: expected.size,
            found: digest,
            found_size: size,
        });
    }
    let history = image.config().history.iter().filter(|h| !h.empty_layer).count();
    let layers = image.layers().len();
    if !image.config().history.is_empty() && history != layers {
        found.push(Mismatch::History { history, layers });
    }
    for (number, layer) in (1..).zip(image.layers()) {
        if let Err(reason) = check_layer(number, layer, &mut found) {
            let digest = layer.descriptor.digest;
            found.push(Mismatch::Unreadable { number, digest, reason });
        }
    }
    found
}

fn check_layer(number: usize, layer: &ImageLayer, found: &mut Vec<Mismatch>) -> Result<(), String> {
    let compression = layer.compression().map_err(|e| e.to_string())?;
    let mut blob = layer.blob.open(&layer.descriptor).map_err(|e| e.to_string())?;
    let (digest, size) = hash(&mut blob).map_err(|e| e.to_string())?;
    let (expected, expected_size) = (layer.descriptor.digest, layer.descriptor.size);
    if size != expected_size {
        found.push(Mismatch::Size { number, digest: expected, expected: expected_size, found: size });
    }
    let digest = Digest::from_bytes(digest);
    if digest != expected {
        found.push(Mismatch::Digest { number, expected, found: digest });
    }
    let blob = layer.blob.open(&layer.descriptor).map_err(|e| e.to_string())?;
    let mut tar = unpacked(blob, compression).map_err(|e| e.to_string())?;
    let (diff_id, _) = hash(&mut tar).map_err(|e| e.to_string())?;
    let diff_id = DiffId::from_bytes(diff_id);
    if diff_id != layer.diff_id {
        found.push(Mismatch::DiffId { number, expected: layer.diff_id, found: diff_id });
    }
    Ok(())
}

fn hash(reader: &mut dyn Read) -> io::Result<([u8; 32], u64)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((hash.finalize().into(), size)),
            Ok(count) => {
                hash.update(&buffer[..count]);
                size += count as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
