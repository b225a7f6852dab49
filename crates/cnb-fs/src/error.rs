//! What went wrong, on which path.

use std::io;
use std::path::{Path, PathBuf};

/// A failed file operation: what was tried, on which path, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} `{}`", path.display())]
pub struct FsError {
    /// The operation, as a verb: "read", "rename".
    pub action: &'static str,
    /// The path as the caller named it.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl FsError {
    /// Returns a closure for `map_err` that adds the operation and the path.
    pub fn on<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_path_buf();
        move |source| Self { action, path, source: source.into() }
    }

    /// Returns whether the file or one of its parents does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }
}
