//! TOML files whose errors name the file, the line and the reason.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::{FsError, GuestPath, Root};

/// The most bytes that a configuration file may have: 16 MiB.
///
/// A file beyond it was not written by a person or a buildpack in good faith, and reading it whole would
/// cost memory without bound.
pub const LIMIT: u64 = 16 << 20;

/// Why a TOML file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TomlFileError {
    /// The file could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The file is not UTF-8, not TOML, or not of the expected form.
    #[error("failed to parse `{}`: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what was wrong, as the parser says it.
        reason: String,
    },
}

impl TomlFileError {
    /// Returns whether the file is missing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Fs(e) if e.is_not_found())
    }
}

/// Parses `bytes`, which came from `path`.
pub fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, TomlFileError> {
    let bad = |reason: String| TomlFileError::Parse { path: path.to_path_buf(), reason };
    let text =
        std::str::from_utf8(bytes).map_err(|e| bad(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
    // A byte order mark is legal at the start of a TOML document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    toml::from_str(text).map_err(|e| {
        let line = e.span().map(|s| text[..s.start].matches('\n').count() + 1);
        let message = e.message().trim_end();
        bad(line.map_or_else(|| message.to_owned(), |n| format!("line {n}: {message}")))
    })
}

/// Reads and parses a file of the guest.
pub fn read<T: DeserializeOwned>(root: &Root, path: &GuestPath) -> Result<T, TomlFileError> {
    parse(path.as_guest(), &root.read(path, LIMIT)?)
}

/// Reads and parses a file of the guest, `None` when it is not there.
pub fn read_if_exists<T: DeserializeOwned>(
    root: &Root,
    path: &GuestPath,
) -> Result<Option<T>, TomlFileError> {
    match root.read_if_exists(path, LIMIT)? {
        Some(bytes) => parse(path.as_guest(), &bytes).map(Some),
        None => Ok(None),
    }
}

/// Reads and parses a file of the host.
pub fn read_host<T: DeserializeOwned>(path: &Path) -> Result<T, TomlFileError> {
    let bytes = read_host_bytes(path, LIMIT)?;
    parse(path, &bytes)
}

/// Reads a host file of at most `limit` bytes.
pub fn read_host_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(FsError::on("read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FsError::on("read", path))?;
    if bytes.len() as u64 > limit {
        let source = std::io::Error::other(format!("it is larger than {limit} bytes"));
        return Err(FsError { action: "read", path: path.to_path_buf(), source });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct File {
        #[expect(dead_code, reason = "only whether it parses matters")]
        n: u32,
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let found = parse::<File>(Path::new("/a/b.toml"), bytes).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn errors_name_file_line_and_reason() {
        check(b"x = 1\nn = 'a'", "failed to parse `/a/b.toml`: line 2: invalid type: string \"a\"");
        check(b"n = \xff", "failed to parse `/a/b.toml`: not UTF-8 at byte 4");
        check(b"n = [", "failed to parse `/a/b.toml`: line 1: ");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        parse::<File>(Path::new("/f"), b"\xef\xbb\xbfn = 1").unwrap();
    }
}
