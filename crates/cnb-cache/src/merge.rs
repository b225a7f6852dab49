//! What an overlay would show of a stack of levels, as a plain directory.
//!
//! Needed where there is no overlay, and to make one level of many. Whiteouts are character devices 0:0 and
//! opaque directories carry `user.overlay.opaque=y`: the forms that the kernel writes with `userxattr`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cnb_fs::FsError;
use rustix::fs::{AtFlags, CWD};

/// How files reach the new directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// As further names of the same files: only where neither side is ever written in place.
    Link,
    /// As files of their own.
    Copy,
}

/// Writes to `dest`, which must not exist, what the directories `levels`, top first, show together.
pub fn merge(levels: &[PathBuf], dest: &Path, transfer: Transfer) -> Result<(), FsError> {
    fs::create_dir(dest).map_err(FsError::on("create the directory", dest))?;
    merge_dir(levels, dest, transfer)
}

/// The same into a directory that exists; it keeps its own owner and mode.
pub fn merge_into(levels: &[PathBuf], dest: &Path, transfer: Transfer) -> Result<(), FsError> {
    merge_entries(levels, dest, transfer)
}

fn merge_dir(levels: &[PathBuf], dest: &Path, transfer: Transfer) -> Result<(), FsError> {
    merge_entries(levels, dest, transfer)?;
    if let Some(top) = levels.first() {
        like(top, dest)?;
    }
    Ok(())
}

fn merge_entries(levels: &[PathBuf], dest: &Path, transfer: Transfer) -> Result<(), FsError> {
    // For each name, where it occurs, top first.
    let mut names: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
    for level in levels {
        for entry in fs::read_dir(level).map_err(FsError::on("list", level))? {
            let entry = entry.map_err(FsError::on("list", level))?;
            names.entry(entry.file_name()).or_default().push(entry.path());
        }
    }
    for (name, places) in names {
        place(&places, &dest.join(name), transfer)?;
    }
    Ok(())
}

fn place(places: &[PathBuf], dest: &Path, transfer: Transfer) -> Result<(), FsError> {
    let Some(top) = places.first() else { return Ok(()) };
    let metadata = fs::symlink_metadata(top).map_err(FsError::on("look at", top))?;
    if is_whiteout(&metadata) {
        return Ok(());
    }
    if !metadata.is_dir() {
        return transfer_file(top, &metadata, dest, transfer);
    }
    let mut dirs = Vec::new();
    for path in places {
        let metadata = fs::symlink_metadata(path).map_err(FsError::on("look at", path))?;
        if !metadata.is_dir() {
            break;
        }
        dirs.push(path.clone());
        if is_opaque(path) {
            break;
        }
    }
    fs::create_dir(dest).map_err(FsError::on("create the directory", dest))?;
    merge_dir(&dirs, dest, transfer)
}

fn transfer_file(from: &Path, metadata: &fs::Metadata, to: &Path, transfer: Transfer) -> Result<(), FsError> {
    if transfer == Transfer::Link {
        // Without AT_SYMLINK_FOLLOW: a link stays a link.
        match rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            // Too many names of one file, or another file system: a copy does as well.
            Err(rustix::io::Errno::MLINK | rustix::io::Errno::XDEV | rustix::io::Errno::PERM) => {}
            Err(e) => return Err(FsError::on("link", from)(e)),
        }
    }
    let copied = (|| {
        if metadata.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
            std::os::unix::fs::lchown(to, Some(metadata.uid()), Some(metadata.gid()))
                .or_else(unless_forbidden)
        } else if metadata.is_file() {
            fs::copy(from, to)?;
            std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))
                .or_else(unless_forbidden)?;
            fs::set_permissions(to, metadata.permissions())?;
            fs::File::open(to)?.set_modified(metadata.modified()?).or_else(unless_forbidden)
        } else {
            // A FIFO or socket in a cache layer holds nothing worth keeping.
            Ok(())
        }
    })();
    copied.map_err(FsError::on("copy", from))
}

/// Gives `dest` the owner, mode and time of `from`.
fn like(from: &Path, dest: &Path) -> Result<(), FsError> {
    let adjust = || {
        let metadata = fs::symlink_metadata(from)?;
        std::os::unix::fs::chown(dest, Some(metadata.uid()), Some(metadata.gid()))
            .or_else(unless_forbidden)?;
        fs::set_permissions(dest, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        fs::File::open(dest).and_then(|d| d.set_modified(metadata.modified()?)).or_else(unless_forbidden)
    };
    adjust().map_err(FsError::on("adjust", dest))
}

/// An ordinary user cannot give files away, and need not: all are its own.
fn unless_forbidden(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) }
}

/// Returns whether the entry hides what lies below it.
pub(crate) fn is_whiteout(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(dir: &Path) -> bool {
    let mut value = [0u8; 4];
    matches!(rustix::fs::lgetxattr(dir, "user.overlay.opaque", &mut value[..]), Ok(1)) && value[0] == b'y'
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FileType, Mode, XattrFlags};

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn whiteout(path: &Path) {
        rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }

    #[test]
    fn upper_files_hide_lower_ones_and_whiteouts_and_opaque_directories_count() {
        for transfer in [Transfer::Link, Transfer::Copy] {
            let dir = tempfile::tempdir().unwrap();
            let (top, low, out) = (dir.path().join("top"), dir.path().join("low"), dir.path().join("out"));
            write(&low.join("a/kept"), "low");
            write(&low.join("a/replaced"), "low");
            write(&low.join("gone/x"), "low");
            write(&low.join("opaque/hidden"), "low");
            write(&top.join("a/replaced"), "top");
            write(&top.join("opaque/new"), "top");
            whiteout(&top.join("gone"));
            rustix::fs::setxattr(top.join("opaque"), "user.overlay.opaque", b"y", XattrFlags::empty())
                .unwrap();
            std::os::unix::fs::symlink("/nowhere", low.join("a/link")).unwrap();
            merge(&[top.clone(), low], &out, transfer).unwrap();
            let text = |name: &str| fs_err::read_to_string(out.join(name)).ok();
            assert_eq!(text("a/kept").as_deref(), Some("low"));
            assert_eq!(text("a/replaced").as_deref(), Some("top"));
            assert_eq!(text("opaque/new").as_deref(), Some("top"));
            assert!(!out.join("gone").exists() && !out.join("opaque/hidden").exists());
            assert_eq!(fs::read_link(out.join("a/link")).unwrap(), Path::new("/nowhere"));
        }
    }
}
