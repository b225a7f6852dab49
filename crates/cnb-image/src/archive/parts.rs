//! What is where in a tar file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use cnb_fs::FsError;

use crate::ImageError;
use crate::blob_store::DOCUMENT_LIMIT;

/// How many links in a row are followed.
const LINKS: usize = 8;

/// The files and links of a tar, by their names without leading `/` and `./`.
#[derive(Debug)]
pub(super) struct Parts(BTreeMap<PathBuf, Found>);

#[derive(Debug)]
enum Found {
    File(Part),
    Link(PathBuf),
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Parts {
    /// Reads the headers of all entries; `path` is what errors name.
    pub(super) fn scan(file: &File, path: &Path) -> Result<Self, ImageError> {
        let on_error = |e: io::Error| ImageError::from(FsError::on("read", path)(e));
        let not_an_archive =
            |reason: &str| ImageError::NotAnArchive { file: path.to_path_buf(), reason: reason.to_owned() };
        let length = file.metadata().map_err(on_error)?.len();
        let mut magic = [0; 2];
        if length >= 2 && file.read_exact_at(&mut magic, 0).is_ok() && magic == [0x1f, 0x8b] {
            return Err(not_an_archive("it is compressed as a whole; unpack it with `gunzip` first"));
        }
        let mut from_start = file;
        from_start.rewind().map_err(on_error)?;
        let mut archive = tar::Archive::new(from_start);
        let mut parts = BTreeMap::new();
        for entry in archive.entries_with_seek().map_err(on_error)? {
            let entry = entry.map_err(on_error)?;
            let kind = entry.header().entry_type();
            let name = entry.path().map_err(on_error)?;
            let Some(name) = within(Path::new(""), &name) else { continue };
            if kind.is_file() {
                let part = Part { offset: entry.raw_file_position(), size: entry.size() };
                if part.offset.checked_add(part.size).is_none_or(|end| end > length) {
                    return Err(not_an_archive(&format!("it ends within `{}`", name.display())));
                }
                parts.insert(name, Found::File(part));
            } else if kind.is_symlink() || kind.is_hard_link() {
                let Some(target) = entry.link_name().map_err(on_error)? else { continue };
                let from = if kind.is_symlink() { name.parent() } else { None };
                if let Some(target) = within(from.unwrap_or(Path::new("")), &target) {
                    parts.insert(name, Found::Link(target));
                }
            }
        }
        Ok(Self(parts))
    }

    /// Returns where the file is; links are followed.
    pub(super) fn find(&self, name: &Path) -> Option<Part> {
        let mut name = within(Path::new(""), name)?;
        for _ in 0..LINKS {
            match self.0.get(&name)? {
                Found::File(part) => return Some(*part),
                Found::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

impl Part {
    /// Reads a document, which must not be larger than documents are.
    pub(super) fn document(
        self,
        what: &'static str,
        file: &File,
        path: &Path,
    ) -> Result<Vec<u8>, ImageError> {
        if self.size > DOCUMENT_LIMIT {
            let name = path.display().to_string();
            return Err(ImageError::TooLarge { what, name, size: self.size, limit: DOCUMENT_LIMIT });
        }
        let mut bytes = Vec::new();
        self.reader(file).read_to_end(&mut bytes).map_err(FsError::on("read", path))?;
        Ok(bytes)
    }

    /// Returns the bytes; other readers of the file are not disturbed.
    pub(super) fn reader<F: std::borrow::Borrow<File>>(self, file: F) -> PartReader<F> {
        PartReader { file, part: self }
    }
}

/// Reads a part of a file, whatever the position of the file itself.
#[derive(Debug)]
pub(super) struct PartReader<F> {
    file: F,
    part: Part,
}

impl<F: std::borrow::Borrow<File>> Read for PartReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.part.size).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.borrow().read_at(&mut buffer[..most], self.part.offset)?;
        self.part.offset += count as u64;
        self.part.size -= count as u64;
        Ok(count)
    }
}

/// Returns `path` as seen from the folder `from` of the tar, `None` when that leads out of it.
fn within(from: &Path, path: &Path) -> Option<PathBuf> {
    let mut found = if path.is_absolute() { PathBuf::new() } else { from.to_path_buf() };
    for component in path.components() {
        match component {
            Component::Normal(name) => found.push(name),
            Component::ParentDir => {
                if !found.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_archive() {
        for (from, path, found) in [
            ("", "./a/b", Some("a/b")),
            ("", "/a", Some("a")),
            ("a", "../b/layer.tar", Some("b/layer.tar")),
            ("a", "../../b", None),
            ("", "..", None),
        ] {
            assert_eq!(within(Path::new(from), Path::new(path)), found.map(PathBuf::from), "{from} {path}");
        }
    }
}
