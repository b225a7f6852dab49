//! Keep cache layers between builds, transactionally.
//!
//! The layers directory of a build stays extracted on disk, as a stack of *levels*: directories that an
//! overlay mounts on top of each other as its read-only lower part. What a build changes lands in the
//! overlay's upper directory, and committing makes that directory the new top level by one rename and one
//! atomic write of the state file. A build that fails, is killed, or loses power changes nothing.
//!
//! `docs/cache-layout.md` describes what is on disk.
//!
//! The `lifecycle` binary, which starts in a fresh container each time, keeps caches in the two forms that
//! the Go lifecycle has as well: [`volume`], a directory of tars, and [`image`], an image.

pub mod image;
mod kept;
mod merge;
mod state;
pub mod volume;

pub use kept::{CacheError, Kept};
pub use merge::{Transfer, merge, merge_into};
pub use volume::{Unusable, Volume, VolumeError};
