//! A root file system by its directory handle: the only way to open a [`GuestPath`].
//!
//! Every path is resolved with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, so whatever a buildpack leaves
//! behind (absolute links, `..`, links that change under our hands), nothing outside the root is reached.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::{FsError, GuestPath};

/// The permissions that what is made through a [`Root`] never has, as in a container: writing by others.
const UMASK: u32 = 0o022;

/// The numeric owner that files made through a [`Root`] are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id on the host.
    pub uid: u32,
    /// Group id on the host.
    pub gid: u32,
}

/// What a directory entry is, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Special,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is, links not followed.
    pub kind: Kind,
}

/// A root file system, held by a directory handle.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    owner: Option<Owner>,
}

impl Root {
    /// Opens the host's own root: the world of a lifecycle that runs inside a container.
    pub fn host() -> io::Result<Self> {
        let dir = fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir, owner: None })
    }

    /// Takes the handle of a root; what is created through it is given to `owner`.
    pub fn new(dir: OwnedFd, owner: Option<Owner>) -> Self {
        Self { dir, owner }
    }

    /// Returns the handle of the root directory.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns a second handle on the same root.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { dir: self.dir.try_clone()?, owner: self.owner })
    }

    /// Returns `path` as a root of its own: nothing that is reached through it lies above.
    pub fn below(&self, path: &GuestPath) -> Result<Self, FsError> {
        Ok(Self { dir: self.open(path, OFlags::PATH | OFlags::DIRECTORY)?, owner: self.owner })
    }

    /// Opens `path` with `flags`, resolving links within the root.
    pub fn open(&self, path: &GuestPath, flags: OFlags) -> Result<OwnedFd, FsError> {
        self.resolve(path, flags, Mode::empty()).map_err(FsError::on("open", path.as_guest()))
    }

    /// Opens `path` with `flags`, creating a file if there is none: with `mode`, less the bits 022.
    ///
    /// The umask of this process does not count: what is created may become part of an image.
    pub fn create(&self, path: &GuestPath, flags: OFlags, mode: u32) -> Result<OwnedFd, FsError> {
        let on_error = |e: Errno| FsError::on("write", path.as_guest())(e);
        let mode = Mode::from_raw_mode(mode & !UMASK);
        let file = match self.resolve(path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Ok(file) => {
                fs::fchmod(&file, mode).map_err(on_error)?;
                file
            }
            // A file that is there keeps its mode; a link leads to where it leads.
            Err(Errno::EXIST) => self.resolve(path, flags | OFlags::CREATE, mode).map_err(on_error)?,
            Err(e) => return Err(on_error(e)),
        };
        self.give(&file).map_err(FsError::on("give to the build user", path.as_guest()))?;
        Ok(file)
    }

    /// Makes a symbolic link to `target` at `path`, which must not be there.
    pub fn symlink(&self, target: &OsStr, path: &GuestPath) -> Result<(), FsError> {
        let on_error = |e: Errno| FsError::on("link", path.as_guest())(e);
        let (dir, name) = self.parent_of(path).map_err(on_error)?;
        fs::symlinkat(target, &dir, name).map_err(on_error)?;
        match self.owner {
            Some(owner) => chown_at(&dir, name, owner).map_err(on_error),
            None => Ok(()),
        }
    }

    /// Opens a regular file for reading; anything else is an error, and a FIFO does not block.
    pub fn open_file(&self, path: &GuestPath) -> Result<File, FsError> {
        let on_error = |e: Errno| FsError::on("read", path.as_guest())(e);
        let file = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty());
        let file = file.map_err(on_error)?;
        let stat = fs::fstat(&file).map_err(on_error)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            FileType::Directory => Err(on_error(Errno::ISDIR)),
            _ => Err(FsError::on("read", path.as_guest())(io::Error::other("not a regular file"))),
        }
    }

    /// Reads a regular file of at most `limit` bytes.
    pub fn read(&self, path: &GuestPath, limit: u64) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::new();
        let file = self.open_file(path)?;
        file.take(limit + 1).read_to_end(&mut bytes).map_err(FsError::on("read", path.as_guest()))?;
        if bytes.len() as u64 > limit {
            let source = io::Error::other(format!("it is larger than {limit} bytes"));
            return Err(FsError { action: "read", path: path.as_guest().to_path_buf(), source });
        }
        Ok(bytes)
    }

    /// Reads a regular file, `None` when it is not there.
    pub fn read_if_exists(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
        match self.read(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Creates or replaces a file with `bytes`, parents included; `mode` is taken less the bits 022.
    pub fn write(&self, path: &GuestPath, bytes: &[u8], mode: u32) -> Result<(), FsError> {
        if let Some(parent) = path.parent() {
            self.create_dir_all(&parent)?;
        }
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
        File::from(self.create(path, flags, mode)?)
            .write_all(bytes)
            .map_err(FsError::on("write", path.as_guest()))
    }

    /// Creates a directory and its parents; those that exist are left as they are.
    pub fn create_dir_all(&self, path: &GuestPath) -> Result<(), FsError> {
        let on_error = |e: Errno| FsError::on("create the directory", path.as_guest())(e);
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(on_error(e)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        self.create_dir_all(&parent)?;
        let parent =
            self.resolve(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).map_err(on_error)?;
        let mode = Mode::from_raw_mode(0o777 & !UMASK);
        match fs::mkdirat(&parent, name, mode) {
            Ok(()) => {
                // Not by name: a link that has taken its place must not lead anywhere.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = fs::openat(&parent, name, flags, Mode::empty()).map_err(on_error)?;
                fs::fchmod(folder, mode).map_err(on_error)?;
                if let Some(owner) = self.owner {
                    chown_at(&parent, name, owner).map_err(on_error)?;
                }
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(on_error(e)),
        }
    }

    /// Lists a directory sorted by name; a missing one is empty.
    pub fn list(&self, path: &GuestPath) -> Result<Vec<Entry>, FsError> {
        let on_error = |e: Errno| FsError::on("list", path.as_guest())(e);
        let dir = match self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(e) => return Err(on_error(e)),
        };
        let mut entries = Vec::new();
        for entry in Dir::read_from(&dir).map_err(on_error)? {
            let entry = entry.map_err(on_error)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let stat = fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(on_error)?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            let kind = match kind {
                FileType::Directory => Kind::Dir,
                FileType::RegularFile => Kind::File,
                FileType::Symlink => Kind::Link,
                _ => Kind::Special,
            };
            entries.push(Entry { name: name.to_os_string(), kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Returns what `path` is, following links within the root; `None` when it is not there.
    pub fn metadata(&self, path: &GuestPath) -> Result<Option<Stat>, FsError> {
        self.stat(path, OFlags::PATH)
    }

    /// Returns what `path` is, without following a final link; `None` when it is not there.
    pub fn symlink_metadata(&self, path: &GuestPath) -> Result<Option<Stat>, FsError> {
        self.stat(path, OFlags::PATH | OFlags::NOFOLLOW)
    }

    /// Returns whether `path` is a directory, following links within the root.
    pub fn is_dir(&self, path: &GuestPath) -> Result<bool, FsError> {
        Ok(self.metadata(path)?.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory))
    }

    /// Returns whether `path` leads to something, following links within the root.
    pub fn exists(&self, path: &GuestPath) -> Result<bool, FsError> {
        Ok(self.metadata(path)?.is_some())
    }

    /// Renames `from` to `to`, replacing a file or an empty directory.
    pub fn rename(&self, from: &GuestPath, to: &GuestPath) -> Result<(), FsError> {
        let on_error = |e: Errno| FsError::on("rename", from.as_guest())(e);
        let (from_dir, from_name) = self.parent_of(from).map_err(on_error)?;
        let (to_dir, to_name) = self.parent_of(to).map_err(on_error)?;
        fs::renameat(&from_dir, from_name, &to_dir, to_name).map_err(on_error)
    }

    /// Deletes `path` and all below it, never following a link; a missing path is no error.
    pub fn remove_tree(&self, path: &GuestPath) -> Result<(), FsError> {
        let on_error = |e: Errno| FsError::on("delete", path.as_guest())(e);
        match self.parent_of(path) {
            Ok((dir, name)) => remove_at(&dir, name).map_err(on_error),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(e) => Err(on_error(e)),
        }
    }

    /// Changes the permission bits of `path`.
    pub fn set_mode(&self, path: &GuestPath, mode: u32) -> Result<(), FsError> {
        let on_error = |e: Errno| FsError::on("change the mode of", path.as_guest())(e);
        let file = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty());
        fs::fchmod(file.map_err(on_error)?, Mode::from_raw_mode(mode)).map_err(on_error)
    }

    fn stat(&self, path: &GuestPath, flags: OFlags) -> Result<Option<Stat>, FsError> {
        match self.resolve(path, flags, Mode::empty()).and_then(fs::fstat) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(FsError::on("look at", path.as_guest())(e)),
        }
    }

    fn resolve(&self, path: &GuestPath, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            // EAGAIN is the kernel's answer when a rename raced with the look-up of `..`.
            match fs::openat2(&self.dir, path.as_guest(), flags | OFlags::CLOEXEC, mode, within) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn parent_of<'p>(&self, path: &'p GuestPath) -> rustix::io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().ok_or(Errno::INVAL)?;
        Ok((self.resolve(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?, name))
    }

    fn give(&self, file: impl AsFd) -> rustix::io::Result<()> {
        match self.owner {
            Some(o) => fs::fchown(file, Some(fs::Uid::from_raw(o.uid)), Some(fs::Gid::from_raw(o.gid))),
            None => Ok(()),
        }
    }
}

fn chown_at(dir: impl AsFd, name: &OsStr, owner: Owner) -> rustix::io::Result<()> {
    let (uid, gid) = (fs::Uid::from_raw(owner.uid), fs::Gid::from_raw(owner.gid));
    fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// How deep a tree is deleted in place; what lies deeper is moved up first.
const DEPTH: usize = 32;

/// Deletes `name` in `dir` and all below it, never following a link; a missing name is no error.
///
/// Directories without permissions (a build can leave those) are opened up first. Neither the stack nor the
/// number of open directories grows with the depth of the tree.
pub fn remove_at(dir: impl AsFd, name: &OsStr) -> rustix::io::Result<()> {
    let dir = dir.as_fd();
    let Some(top) = unlink_or_open(dir, name)? else { return Ok(()) };
    let mut moved = 0;
    loop {
        let before = moved;
        clear(top.as_fd(), top.as_fd(), 0, &mut moved)?;
        if moved == before {
            return fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Deletes everything in `dir`, which is `depth` below `top`; counts in `moved` what was moved to `top` instead.
fn clear(top: BorrowedFd<'_>, dir: BorrowedFd<'_>, depth: usize, moved: &mut u64) -> rustix::io::Result<()> {
    let names = Dir::read_from(dir)?
        .map(|e| e.map(|e| OsStr::from_bytes(e.file_name().to_bytes()).to_os_string()))
        .filter(|n| !matches!(n.as_deref().map(OsStr::as_bytes), Ok(b"." | b"..")))
        .collect::<Result<Vec<_>, _>>()?;
    for name in names {
        let Some(inner) = permitted(dir, || unlink_or_open(dir, &name))? else { continue };
        if depth < DEPTH {
            clear(top, inner.as_fd(), depth + 1, moved)?;
            permitted(dir, || fs::unlinkat(dir, &name, AtFlags::REMOVEDIR))?;
            continue;
        }
        // A directory that moves is written to: its parent changes.
        fs::fchmod(&inner, Mode::from_raw_mode(0o700))?;
        loop {
            *moved += 1;
            match permitted(dir, || fs::renameat(dir, &name, top, format!(".deep-{moved}"))) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                other => break other?,
            }
        }
    }
    Ok(())
}

/// Tries again with `dir` opened up where that is what was missing.
fn permitted<T>(dir: BorrowedFd<'_>, operation: impl Fn() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    match operation() {
        Err(Errno::ACCESS) => {
            fs::fchmod(dir, Mode::from_raw_mode(0o700))?;
            operation()
        }
        other => other,
    }
}

/// Deletes `name` unless it is a directory, which is opened.
fn unlink_or_open(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Option<OwnedFd>> {
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(dir, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            fs::chmodat(dir, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
            fs::openat(dir, name, flags, Mode::empty()).map(Some)
        }
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn world() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let handle = fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, Root::new(handle, None))
    }

    #[test]
    fn links_out_of_the_root_resolve_inside_it() {
        let (dir, root) = world();
        symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("relative")).unwrap();
        for name in ["/absolute", "/relative"] {
            assert!(root.read(&GuestPath::new(name), 10).unwrap_err().is_not_found());
        }
        root.write(&GuestPath::new("/etc/passwd"), b"inside", 0o644).unwrap();
        assert_eq!(root.read(&GuestPath::new("/absolute"), 10).unwrap(), b"inside");
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let (_dir, root) = world();
        root.write(&GuestPath::new("/f"), b"12345", 0o644).unwrap();
        assert_eq!(root.read(&GuestPath::new("/f"), 5).unwrap(), b"12345");
        let error = root.read(&GuestPath::new("/f"), 4).unwrap_err();
        assert_eq!(error.to_string(), "failed to read `/f`");
        assert_eq!(error.source.to_string(), "it is larger than 4 bytes");
    }

    #[test]
    fn a_fifo_is_refused_and_does_not_block() {
        let (dir, root) = world();
        fs::mknodat(fs::CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(
            root.read(&GuestPath::new("/fifo"), 1).unwrap_err().source.to_string(),
            "not a regular file"
        );
    }

    #[test]
    fn trees_without_permissions_are_deleted_and_links_in_them_are_not_followed() {
        let (dir, root) = world();
        std::fs::create_dir_all(dir.path().join("tree/locked/deep")).unwrap();
        std::fs::create_dir(dir.path().join("kept")).unwrap();
        std::fs::File::create(dir.path().join("kept/file")).unwrap();
        symlink("../kept", dir.path().join("tree/link")).unwrap();
        fs::chmod(dir.path().join("tree/locked"), Mode::empty()).unwrap();
        root.remove_tree(&GuestPath::new("/tree")).unwrap();
        assert!(!dir.path().join("tree").exists());
        assert!(dir.path().join("kept/file").exists());
        root.remove_tree(&GuestPath::new("/not/there")).unwrap();
    }

    #[test]
    fn a_tree_may_be_deeper_than_directories_can_be_open() {
        let (dir, root) = world();
        let mut at = fs::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for level in 0..3_000 {
            // A name that is taken is passed over, and a folder without permissions is opened up.
            if level % 1000 == 1 {
                fs::mkdirat(&at, ".deep-2", Mode::from_raw_mode(0o755)).unwrap();
            }
            let name = if level == 0 { "tree" } else { "d" };
            fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)).unwrap();
            let inner = fs::openat(&at, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
            if level % 1000 == 999 {
                fs::chmodat(&at, name, Mode::from_raw_mode(0o300), AtFlags::empty()).unwrap();
            }
            at = inner;
        }
        root.remove_tree(&GuestPath::new("/tree")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_listing_is_sorted_and_tells_kinds() {
        let (dir, root) = world();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        let found: Vec<_> =
            root.list(&GuestPath::new("/")).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
        assert_eq!(found, [("a".into(), Kind::Link), ("b".into(), Kind::Dir)]);
        assert_eq!(root.list(&GuestPath::new("/missing")).unwrap(), []);
    }
}
