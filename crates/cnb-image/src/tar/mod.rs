//! Layer tars, byte for byte as Go's `archive/tar` writes them.

mod header;
pub(crate) mod rewrite;
pub(crate) mod stream;
pub(crate) mod walk;

pub(crate) use header::{Header, HeaderKind, pad};

/// The size of a tar block.
pub(crate) const BLOCK: usize = 512;

/// The modification time of every entry: 1980-01-01T00:00:01Z (requirement E4).
pub const MTIME: u64 = 315_532_801;
