//! Trees of files: walk them in one order, name their content by a hash, copy, move and remove them.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Failure;

/// What a path in a tree is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A directory: its permissions.
    Dir(u32),
    /// A file: its permissions, and the hash of its content.
    File(u32, [u8; 32]),
    /// A symbolic link and what it points at.
    Link(PathBuf),
}

/// The bits of a mode that are permissions.
const PERMISSIONS: u32 = 0o7777;

/// The files of a tree by their path within it.
pub type Snapshot = BTreeMap<PathBuf, Node>;

/// Lists a tree with the hash of each file; `skip` leaves out a path (within the tree) and what is below it.
///
/// Sockets, pipes and devices are left out: they are not content.
pub fn snapshot(root: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<Snapshot, Failure> {
    let mut found = Snapshot::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs_err::read_dir(root.join(&dir))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if skip(&path) {
                continue;
            }
            let kind = entry.file_type()?;
            let node = if kind.is_dir() {
                todo.push(path.clone());
                Node::Dir(entry.metadata()?.mode() & PERMISSIONS)
            } else if kind.is_symlink() {
                Node::Link(fs_err::read_link(entry.path())?)
            } else if kind.is_file() {
                Node::File(entry.metadata()?.mode() & PERMISSIONS, hash_file(&entry.path())?)
            } else {
                continue;
            };
            found.insert(path, node);
        }
    }
    Ok(found)
}

/// Hashes the content of a file.
pub fn hash_file(path: &Path) -> Result<[u8; 32], Failure> {
    let mut file = fs_err::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&buffer[..n]);
    }
}

/// Writes bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, b| {
        // Writing to a text cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// A hash over several named things, each told from its neighbours.
#[derive(Clone, Debug)]
pub struct Key(Sha256);

impl Default for Key {
    fn default() -> Self {
        Self(Sha256::new())
    }
}

impl Key {
    /// Adds a named thing.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(name.as_bytes());
        self.add(value.as_ref());
        self
    }

    /// Adds a tree. Of permissions only counts who may execute a file: the rest depends on the umask of
    /// whoever copied the app.
    #[must_use]
    pub fn with_snapshot(mut self, name: &str, snapshot: &Snapshot) -> Self {
        self.add(name.as_bytes());
        self.add(&(snapshot.len() as u64).to_le_bytes());
        for (path, node) in snapshot {
            self.add(path.as_os_str().as_bytes());
            match node {
                Node::Dir(_) => self.add(b"d"),
                Node::File(mode, hash) => {
                    self.add(if mode & 0o111 == 0 { b"f" } else { b"x" });
                    self.add(hash);
                }
                Node::Link(to) => {
                    self.add(b"l");
                    self.add(to.as_os_str().as_bytes());
                }
            }
        }
        self
    }

    /// Returns the hash in hexadecimal digits.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// Removes a file, link or tree; it may be missing.
pub fn remove(path: &Path) -> Result<(), Failure> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if !meta.is_dir() {
        return Ok(fs_err::remove_file(path)?);
    }
    if std::fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    // Some tools leave directories that not even their owner can write.
    make_writable(path)?;
    Ok(fs_err::remove_dir_all(path)?)
}

fn make_writable(dir: &Path) -> Result<(), Failure> {
    fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Copies a file, link or tree; modes are kept, an existing file is replaced.
pub fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let meta = fs_err::symlink_metadata(from)?;
    if meta.is_dir() {
        if !to.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            remove(to)?;
        }
        fs_err::create_dir_all(to)?;
        for entry in fs_err::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs_err::set_permissions(to, meta.permissions())?;
    } else if meta.is_symlink() {
        remove(to)?;
        fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
    } else if meta.is_file() {
        remove(to)?;
        fs_err::copy(from, to)?;
    }
    Ok(())
}

/// Moves a tree, also between file systems; `to` must not exist.
pub fn move_to(from: &Path, to: &Path) -> Result<(), Failure> {
    if std::fs::rename(from, to).is_ok() {
        return Ok(());
    }
    copy(from, to)?;
    remove(from)
}

/// Replaces whatever is at `link` by a symbolic link to `target`.
pub fn link(target: &Path, link: &Path) -> Result<(), Failure> {
    remove(link)?;
    Ok(fs_err::os::unix::fs::symlink(target, link)?)
}

#[cfg(test)]
mod tests {
    use super::{Key, Path, copy, link, move_to, remove, snapshot};
    use std::os::unix::fs::PermissionsExt;

    fn all(_: &Path) -> bool {
        false
    }

    #[test]
    fn a_copy_has_the_same_snapshot_and_a_change_another() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
        fs_err::create_dir_all(a.join("d/e")).unwrap();
        fs_err::write(a.join("d/f"), "1").unwrap();
        link(Path::new("d/f"), &a.join("l")).unwrap();
        copy(&a, &b).unwrap();
        move_to(&b, &c).unwrap();
        let key = |p: &Path| Key::default().with_snapshot("t", &snapshot(p, &all).unwrap()).finish();
        assert_eq!(key(&a), key(&c));
        fs_err::set_permissions(a.join("d/f"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(key(&a), key(&c));
    }

    #[test]
    fn a_read_only_tree_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let ro = dir.path().join("ro/inner");
        fs_err::create_dir_all(&ro).unwrap();
        fs_err::write(ro.join("f"), "").unwrap();
        fs_err::set_permissions(&ro, std::fs::Permissions::from_mode(0o555)).unwrap();
        remove(&dir.path().join("ro")).unwrap();
        remove(&dir.path().join("ro")).unwrap();
        assert!(!dir.path().join("ro").exists());
    }
}
