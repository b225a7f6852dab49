//! Files and directories that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::FsError;

/// Writes `bytes` to `path` so that readers see the old content or the new, never a part.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    replace(path, bytes, |temporary| File::create_new(temporary))
}

/// Writes a secret to `path` as [`write()`] does: nobody but the owner can read it, not even for a moment.
///
/// Who owned the file before owns it afterwards, where we may decide that.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    replace(path, bytes, |temporary| {
        let file = File::options().write(true).create_new(true).mode(0o600).open(temporary)?;
        if let Ok(old) = fs::metadata(path) {
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        Ok(file)
    })
}

fn replace(path: &Path, bytes: &[u8], create: impl FnOnce(&Path) -> io::Result<File>) -> Result<(), FsError> {
    let temporary = beside(path);
    let result = (|| {
        let mut file = create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    result.map_err(|source| {
        // The error that matters is the first one; a left-over name is swept with its folder.
        let _ = fs::remove_file(&temporary);
        FsError::on("write", path)(source)
    })
}

/// Deletes what writers of `path` that were killed left beside it; nobody may be writing it at the moment.
///
/// What cannot be deleted stays: it is in nobody's way.
pub fn sweep(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beginning = format!(".{name}.");
    let left_by_a_writer = |found: &Path| {
        let name = found.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&beginning) && found.extension().is_some_and(|ending| ending == "tmp")
    };
    let entries = path.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    for found in entries.map(|entry| entry.path()).filter(|found| left_by_a_writer(found)) {
        let _ = fs::remove_file(found);
    }
}

/// Returns a fresh name beside `path`, hidden and unique to this process.
pub fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{count}.tmp", std::process::id()))
}

/// Deletes `path` and all below it, directories without permissions included; a missing one is no error.
pub fn remove_tree(path: &Path) -> Result<(), FsError> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    match rustix::fs::open(parent, flags, rustix::fs::Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(FsError::on("delete", path)(e)),
        Ok(dir) => crate::root::remove_at(&dir, name).map_err(FsError::on("delete", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_write_replaces_the_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(crate::toml_file::read_host_bytes(&path, 10).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_killed_writers_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        write(&path, b"one").unwrap();
        for other in [beside(&path), dir.path().join(".other.json.1-0.tmp"), dir.path().join(".index.json")] {
            write(&other, b"half").unwrap();
        }
        sweep(&path);
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".index.json", ".other.json.1-0.tmp", "index.json"]);
    }

    #[test]
    fn a_secret_is_its_owners_alone_whatever_the_file_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(crate::toml_file::read_host_bytes(&path, 10).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file() {
        let error = write(Path::new("/nowhere/at/all"), b"").unwrap_err();
        assert_eq!(error.to_string(), "failed to write `/nowhere/at/all`");
    }
}
