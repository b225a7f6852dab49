//! System calls that failed, in the words of the Go program, whose messages scripts look for.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A system call that failed on a path: `chdir /workspace: no such file or directory`.
#[derive(Debug, thiserror::Error)]
#[error("{call} {}: {reason}", path.display())]
pub(crate) struct SystemError {
    call: &'static str,
    path: PathBuf,
    reason: String,
}

impl SystemError {
    pub(crate) fn new(call: &'static str, path: &Path, error: &io::Error) -> Self {
        Self { call, path: path.to_path_buf(), reason: reason(error) }
    }
}

/// Returns why, without the number: `no such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Returns an absolute path without `..`, by its names alone, as it shall stand in `PATH`.
pub(crate) fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut cleaned, part| {
        if part == Component::ParentDir {
            cleaned.pop();
        } else {
            cleaned.push(part);
        }
        cleaned
    })
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SystemError> {
    let mut bytes = Vec::new();
    let mut file = std::fs::File::open(path).map_err(|e| SystemError::new("open", path, &e))?;
    io::Read::read_to_end(&mut file, &mut bytes).map_err(|e| SystemError::new("read", path, &e))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_names() {
        for (path, expected) in [("/a/../b/./c//", "/b/c"), ("/../a", "/a"), ("/", "/")] {
            assert_eq!(clean(Path::new(path)).to_str(), Some(expected));
        }
    }

    #[test]
    fn failures_read_as_in_the_go_program() {
        let error = read(Path::new("/nowhere/file")).unwrap_err();
        assert_eq!(error.to_string(), "open /nowhere/file: no such file or directory");
        let error = read(Path::new("/")).unwrap_err();
        assert_eq!(error.to_string(), "read /: is a directory");
    }
}
