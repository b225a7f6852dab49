//! Digests, computed by other code than the product's.

use sha2::{Digest, Sha256};

/// Returns the digest of `bytes` as `sha256:…`.
pub fn digest(bytes: &[u8]) -> String {
    named(Sha256::new_with_prefix(bytes))
}

/// Returns the digest of all that a hasher has seen.
pub(crate) fn named(hasher: Sha256) -> String {
    let hex: Vec<String> = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{}", hex.concat())
}
