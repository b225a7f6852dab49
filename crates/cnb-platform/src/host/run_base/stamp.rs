//! What a plan was made from, so that a later build can tell in a moment that it still holds.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cnb_fs::FsError;
use serde::{Deserialize, Serialize};

/// Everything that was looked at on the host, and the fingerprint of what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    list: u32,
    fingerprint: String,
    seen: Vec<Seen>,
}

/// One path, and how it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    path: PathBuf,
    state: Option<State>,
}

/// How a file is, without its contents; missing files have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: (i64, i64),
    pub(super) ino: u64,
}

impl State {
    /// Takes what counts; directories change in ways that do not count, unless they were listed.
    pub(super) fn of(metadata: &Metadata, listed: bool) -> Self {
        let full = listed || !metadata.is_dir();
        Self {
            mode: metadata.mode(),
            size: if full { metadata.size() } else { 0 },
            mtime: if full { (metadata.mtime(), metadata.mtime_nsec()) } else { (0, 0) },
            ino: if full { metadata.ino() } else { 0 },
        }
    }
}

impl Stamp {
    pub(super) fn new(fingerprint: String, seen: impl IntoIterator<Item = (PathBuf, Option<State>)>) -> Self {
        let seen = seen.into_iter().map(|(path, state)| Seen { path, state }).collect();
        Self { list: super::list::VERSION, fingerprint, seen }
    }

    /// Returns the name of the plan's result: the same for the same files on the host.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns whether a plan made now would be the same: nothing that was looked at has changed.
    pub fn holds(&self) -> bool {
        self.list == super::list::VERSION
            && self.seen.iter().all(|seen| {
                let now = fs_err::symlink_metadata(&seen.path).ok();
                match (now, seen.state) {
                    (None, None) => true,
                    (Some(now), Some(then)) => {
                        // A directory that was not listed has no time in its stamp.
                        let listed = !now.is_dir() || then.ino != 0;
                        State::of(&now, listed) == then
                    }
                    _ => false,
                }
            })
    }

    /// Reads a stamp that was kept; `None` when there is none that can be read.
    pub fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(file).ok()?).ok()
    }

    /// Keeps the stamp.
    pub fn write(&self, file: &Path) -> Result<(), FsError> {
        let bytes = serde_json::to_vec(self).map_err(FsError::on("write", file))?;
        cnb_fs::atomic::write(file, &bytes)
    }
}
