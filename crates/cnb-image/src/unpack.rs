//! Unpacks a layer into a folder of its own, as overlayfs wants it: each layer once, stacked when mounted.
//!
//! Whiteouts become character devices 0:0, opaque directories get the attribute `user.overlay.opaque`. All
//! access is below a directory handle that no link leads out of; devices and FIFOs are left out, set-id
//! bits are dropped, and the folder appears under its name only when the diffID was right.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use cnb_fs::{FsError, HostPath, Owner, atomic};
use cnb_spec::digest::DiffId;
use fs_err as fs;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use crate::ImageError;
use crate::image::ImageLayer;

/// How much a layer may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of the tar.
    pub bytes: u64,
    /// The most entries.
    pub entries: u64,
}

impl Limits {
    /// Enough for any real layer: 64 GiB and eight million entries.
    pub const GENEROUS: Self = Self { bytes: 64 << 30, entries: 8 << 20 };
}

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The blob is missing, damaged, or of a kind that cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The tar could not be read.
    #[error("failed to read the layer `{diff_id}`")]
    Tar {
        /// The layer.
        diff_id: DiffId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry would lie outside the layer.
    #[error("the entry `{}` of the layer `{diff_id}` leads out of it", path.display())]
    Traversal {
        /// The layer.
        diff_id: DiffId,
        /// The name of the entry.
        path: PathBuf,
    },
    /// An entry could not be made.
    #[error("failed to unpack `{}` of the layer `{diff_id}`", path.display())]
    Entry {
        /// The layer.
        diff_id: DiffId,
        /// The name of the entry.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The layer is larger than it may be.
    #[error("the layer `{diff_id}` unpacks to more than {limit} {what}")]
    TooLarge {
        /// The layer.
        diff_id: DiffId,
        /// The limit.
        limit: u64,
        /// "bytes" or "entries".
        what: &'static str,
    },
    /// The tar has another digest than the config says.
    #[error("the layer `{expected}` has other content: its diffID is `{found}`")]
    DiffId {
        /// What the config says.
        expected: DiffId,
        /// What it is.
        found: DiffId,
    },
}

/// Unpacks `layer` to `dir`, which is left alone if it exists: it was unpacked before.
///
/// Everything belongs to the caller, or to `owner`, which only root can ask for. Two processes may unpack the
/// same layer at a time; the first to finish wins.
pub fn unpack(
    layer: &ImageLayer,
    dir: &HostPath,
    limits: Limits,
    owner: Option<Owner>,
) -> Result<(), UnpackError> {
    let target = dir.as_path();
    if target.is_dir() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(FsError::on("create the directory", parent))?;
    }
    let temporary = Temporary(atomic::beside(target));
    fs::create_dir(&temporary.0).map_err(FsError::on("create the directory", &temporary.0))?;
    let root =
        rustix::fs::open(&temporary.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(FsError::on("open", &temporary.0))?;
    let mut unpacker =
        Unpacker { diff_id: layer.diff_id, root, owner, dirs: Vec::new(), root_mode: 0o755, last: None };
    unpacker.run(layer.open_tar()?, limits)?;
    match rustix::fs::rename(&temporary.0, target) {
        // Another process may have been faster, with the same content.
        Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
        Err(e) => Err(FsError::on("rename", &temporary.0)(e).into()),
    }
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename the name is gone already.
        let _ = atomic::remove_tree(&self.0);
    }
}

struct Unpacker {
    diff_id: DiffId,
    root: OwnedFd,
    owner: Option<Owner>,
    /// Directories whose mode is set at the end, when all is in them.
    dirs: Vec<(PathBuf, u32)>,
    root_mode: u32,
    /// The directory of the last entry: the next one is mostly in the same.
    last: Option<(PathBuf, OwnedFd)>,
}

/// Counts and hashes what passes, and stops at a limit.
struct Metered<R> {
    inner: R,
    hash: Sha256,
    left: u64,
    over: bool,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        let Some(left) = self.left.checked_sub(count as u64) else {
            self.over = true;
            return Err(io::Error::other("the limit is reached"));
        };
        self.left = left;
        Ok(count)
    }
}

impl Unpacker {
    fn run(&mut self, tar: Box<dyn Read + Send>, limits: Limits) -> Result<(), UnpackError> {
        let mut metered = Metered { inner: tar, hash: Sha256::new(), left: limits.bytes, over: false };
        let result = self.entries(&mut metered, limits);
        let diff_id = self.diff_id;
        if metered.over {
            return Err(UnpackError::TooLarge { diff_id, limit: limits.bytes, what: "bytes" });
        }
        result?;
        // What follows the end of the tar belongs to its digest.
        io::copy(&mut metered, &mut io::sink()).map_err(|source| UnpackError::Tar { diff_id, source })?;
        let found = DiffId::from_bytes(metered.hash.finalize().into());
        if found != diff_id {
            return Err(UnpackError::DiffId { expected: diff_id, found });
        }
        self.finish()
    }

    fn entries(
        &mut self,
        reader: &mut Metered<Box<dyn Read + Send>>,
        limits: Limits,
    ) -> Result<(), UnpackError> {
        let diff_id = self.diff_id;
        let bad = |source| UnpackError::Tar { diff_id, source };
        let mut archive = tar::Archive::new(reader);
        for (number, entry) in (1..).zip(archive.entries().map_err(bad)?) {
            if number > limits.entries {
                return Err(UnpackError::TooLarge { diff_id, limit: limits.entries, what: "entries" });
            }
            let mut entry = entry.map_err(bad)?;
            let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
            let path = self.inside(&name)?;
            self.entry(&mut entry, &path).map_err(|source| UnpackError::Entry {
                diff_id,
                path: name,
                source,
            })?;
        }
        Ok(())
    }

    /// Returns the name without leading slashes and dots.
    fn inside(&self, name: &Path) -> Result<PathBuf, UnpackError> {
        let mut path = PathBuf::new();
        for part in name.components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(UnpackError::Traversal { diff_id: self.diff_id, path: name.to_path_buf() });
                }
            }
        }
        Ok(path)
    }

    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        let mode = entry.header().mode()?;
        let Some(name) = path.file_name() else {
            self.root_mode = mode & 0o1777;
            return Ok(());
        };
        let above = path.parent().unwrap_or(Path::new(""));
        // What an entry replaces is below its directory, so the directory of the last one is still there.
        let parent = match self.last.take().filter(|(at, _)| at == above) {
            Some((_, dir)) => dir,
            None => self.parent(path)?,
        };
        let result = self.make(entry, path, name, mode, &parent);
        self.last = Some((above.to_path_buf(), parent));
        result
    }

    fn make(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
        name: &OsStr,
        mode: u32,
        parent: &OwnedFd,
    ) -> io::Result<()> {
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return whiteout(parent, hidden);
        }
        match entry.header().entry_type() {
            EntryType::Directory => {
                match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                    Ok(()) => {}
                    Err(Errno::EXIST) if is_dir(parent, name)? => {}
                    Err(Errno::EXIST) => {
                        cnb_fs::root::remove_at(parent, name)?;
                        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
                    }
                    Err(e) => return Err(e.into()),
                }
                self.give(parent, name)?;
                self.dirs.push((path.to_path_buf(), mode & 0o1777));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = || rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
                let file = match open() {
                    Err(Errno::EXIST) => {
                        cnb_fs::root::remove_at(parent, name)?;
                        open()
                    }
                    other => other,
                };
                let mut file = File::from(file?);
                io::copy(entry, &mut file)?;
                file.flush()?;
                // Ownership first: giving a file away may take bits from it.
                self.give(parent, name)?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
            }
            EntryType::Symlink => {
                let target =
                    entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
                cnb_fs::root::remove_at(parent, name)?;
                rustix::fs::symlinkat(target.as_ref(), parent, name)?;
                self.give(parent, name)?;
            }
            EntryType::Link => {
                let target =
                    entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
                let target = PathBuf::from(OsStr::from_bytes(&target));
                let target = self
                    .inside(&target)
                    .map_err(|_| io::Error::other("its target leads out of the layer"))?;
                let target_name =
                    target.file_name().ok_or_else(|| io::Error::other("its target is no file"))?;
                let target_dir = self.open_dir(target.parent().unwrap_or(Path::new("")))?;
                if (target_name, target.parent()) != (name, path.parent()) {
                    cnb_fs::root::remove_at(parent, name)?;
                    rustix::fs::linkat(&target_dir, target_name, parent, name, AtFlags::empty())?;
                }
            }
            // Devices and FIFOs have no use in a sandbox, and devices cannot be made without privileges.
            _ => {}
        }
        Ok(())
    }

    /// Opens the folder of `path`, making what is missing of it.
    fn parent(&mut self, path: &Path) -> io::Result<OwnedFd> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match self.open_dir(parent) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        let mut at = PathBuf::new();
        for part in parent {
            let dir = self.open_dir(&at)?;
            at.push(part);
            match rustix::fs::mkdirat(&dir, part, Mode::RWXU) {
                Ok(()) => {
                    self.give(&dir, part)?;
                    self.dirs.push((at.clone(), 0o755));
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.open_dir(parent)?)
    }

    fn open_dir(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            &self.root,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            within,
        )
    }

    fn give(&self, dir: impl AsFd, name: &OsStr) -> io::Result<()> {
        if let Some(Owner { uid, gid }) = self.owner {
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), UnpackError> {
        let diff_id = self.diff_id;
        self.dirs.push((PathBuf::new(), self.root_mode));
        // The innermost first, so that no directory is closed before what is in it; a stable sort lets the
        // last entry of a name count. A path that has become something else since keeps its mode.
        let mut dirs = std::mem::take(&mut self.dirs);
        dirs.sort_by_key(|(path, _)| std::cmp::Reverse(path.components().count()));
        for (path, mode) in dirs {
            self.set_mode(&path, mode).map_err(|source| UnpackError::Entry { diff_id, path, source })?;
        }
        let path = PathBuf::from("/");
        self.give(&self.root, OsStr::new(".")).map_err(|source| UnpackError::Entry { diff_id, path, source })
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let dir = match self.open_dir(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        Ok(rustix::fs::chmodat(&dir, ".", Mode::from_raw_mode(mode), AtFlags::empty())?)
    }
}

fn is_dir(dir: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn whiteout(parent: &OwnedFd, hidden: &[u8]) -> io::Result<()> {
    match hidden {
        b".wh..opq" => {
            let dir = rustix::fs::openat(
                parent,
                ".",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            rustix::fs::fsetxattr(&dir, "user.overlay.opaque", b"y", XattrFlags::empty())?;
        }
        // Other names of the kind are for the use of engines.
        _ if hidden.starts_with(b".wh.") => {}
        b"" | b"." | b".." => return Err(io::Error::other("a whiteout of nothing")),
        name => {
            let name = OsStr::from_bytes(name);
            cnb_fs::root::remove_at(parent, name)?;
            rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)?;
        }
    }
    Ok(())
}
