//! Walks over files that buildpacks wrote, through directory handles and never through a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnb_fs::{FsError, GuestPath, Owner, Root};
use cnb_spec::fault;
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::{Header, HeaderKind};
use crate::source::{Content, Entry, EntryKind, LayerError, LayerSource, Ownership, ParentOwner};

/// How many directories are kept open at once; outer ones are opened again when the walk returns to them.
const OPEN: usize = 64;

/// An entry that is ready to be written.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) path: PathBuf,
    mode: u32,
    owner: Owner,
    kind: HeaderKind,
    pub(crate) body: Body,
}

impl Item {
    pub(crate) fn header(&self) -> Header<'_> {
        let Owner { uid, gid } = self.owner;
        Header { path: &self.path, mode: self.mode, uid, gid, kind: self.kind.clone() }
    }

    pub(crate) fn size(&self) -> u64 {
        if let HeaderKind::File { size } = self.kind { size } else { 0 }
    }
}

/// Where the content of an entry comes from.
#[derive(Debug)]
pub(crate) enum Body {
    None,
    Bytes(Arc<[u8]>),
    File(File),
}

pub(crate) type Items<'a> = Box<dyn Iterator<Item = Result<Item, LayerError>> + Send + 'a>;

/// Returns the entries of `source` in the order of the layer.
pub(crate) fn items<'a>(source: &'a LayerSource<'a>) -> Items<'a> {
    match source {
        LayerSource::Tree { root, path, owner } => {
            let walk = Walk { root, content: owner.content, start: Some(path.clone()), stack: Vec::new() };
            Box::new(parents(root, path, *owner).chain(walk))
        }
        LayerSource::Paths { paths, .. } if paths.is_empty() => Box::new(std::iter::empty()),
        LayerSource::Paths { root, top, paths, owner } => {
            let mut last: Option<(PathBuf, OwnedFd)> = None;
            let content = owner.content;
            let listed =
                paths.iter().filter_map(move |path| listed(root, path, content, &mut last).transpose());
            Box::new(parents(root, top, *owner).chain(listed))
        }
        LayerSource::Entries(entries) => Box::new(entries.iter().map(generated)),
    }
}

fn parents<'a>(
    root: &'a Root,
    path: &GuestPath,
    owner: Ownership,
) -> impl Iterator<Item = Result<Item, LayerError>> + Send + use<'a> {
    path.ancestors_below_root().into_iter().map(move |parent| {
        let stat = root.metadata(&parent)?.ok_or_else(|| gone(parent.as_guest()))?;
        let owner = match owner.parents {
            ParentOwner::OnDisk => Owner { uid: stat.st_uid, gid: stat.st_gid },
            ParentOwner::Fixed(owner) => owner,
        };
        let path = parent.as_guest().to_path_buf();
        Ok(Item { path, mode: stat.st_mode & 0o7777, owner, kind: HeaderKind::Dir, body: Body::None })
    })
}

fn gone(path: &Path) -> LayerError {
    FsError::on("read", path)(io::Error::from(io::ErrorKind::NotFound)).into()
}

fn generated(entry: &Entry) -> Result<Item, LayerError> {
    let (kind, body) = match &entry.kind {
        EntryKind::Dir => (HeaderKind::Dir, Body::None),
        EntryKind::Link(target) => {
            (HeaderKind::Link { target: super::header::bytes(target.as_os_str()) }, Body::None)
        }
        EntryKind::File(Content::Bytes(bytes)) => {
            (HeaderKind::File { size: bytes.len() as u64 }, Body::Bytes(Arc::clone(bytes)))
        }
        EntryKind::File(Content::Host(path)) => {
            let on_error = |e: io::Error| FsError::on("read", path.as_path())(e);
            let file = File::open(path.as_path()).map_err(on_error)?;
            let metadata = file.metadata().map_err(on_error)?;
            if !metadata.is_file() {
                return Err(on_error(io::Error::other("not a regular file")).into());
            }
            (HeaderKind::File { size: metadata.len() }, Body::File(file))
        }
    };
    Ok(Item { path: entry.path.clone(), mode: entry.mode, owner: entry.owner, kind, body })
}

fn listed(
    root: &Root,
    path: &GuestPath,
    owner: Owner,
    last: &mut Option<(PathBuf, OwnedFd)>,
) -> Result<Option<Item>, LayerError> {
    let guest = path.as_guest();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(gone(guest));
    };
    if last.as_ref().is_none_or(|(at, _)| at != parent.as_guest()) {
        *last = Some((parent.as_guest().to_path_buf(), root.open(&parent, passage())?));
    }
    let Some((_, dir)) = last else { return Err(gone(guest)) };
    let kind = stat_at(dir.as_fd(), name, guest).map(|s| FileType::from_raw_mode(s.st_mode))?;
    item_at(dir.as_fd(), name, guest.to_path_buf(), kind, owner)
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens a directory to go through, which may not be readable.
fn passage() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn stat_at(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<Stat, LayerError> {
    Ok(fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(FsError::on("look at", path))?)
}

/// Looks at `name` in `dir`, which is of `kind`; `None` for a socket, which no tar can hold (E2).
fn item_at(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: PathBuf,
    kind: FileType,
    owner: Owner,
) -> Result<Option<Item>, LayerError> {
    let bits = if fault::is("layer-mode-lost") { 0o755 } else { 0o7777 };
    let make = |path, mode: u32, kind, body| Ok(Some(Item { path, mode: mode & bits, owner, kind, body }));
    match kind {
        FileType::RegularFile => {
            let flags =
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = fs::openat(dir, name, flags, Mode::empty()).map_err(FsError::on("read", &path))?;
            let stat = fs::fstat(&file).map_err(FsError::on("look at", &path))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(LayerError::Changed { path, how: "became something else" });
            }
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            make(path, stat.st_mode, HeaderKind::File { size }, Body::File(File::from(file)))
        }
        FileType::Directory => {
            let stat = stat_at(dir, name, &path)?;
            make(path, stat.st_mode, HeaderKind::Dir, Body::None)
        }
        FileType::Symlink => {
            let target =
                fs::readlinkat(dir, name, Vec::new()).map_err(FsError::on("read the link", &path))?;
            make(path, 0o777, HeaderKind::Link { target: target.into_bytes() }, Body::None)
        }
        FileType::Fifo => {
            let stat = stat_at(dir, name, &path)?;
            make(path, stat.st_mode, HeaderKind::Fifo, Body::None)
        }
        FileType::CharacterDevice | FileType::BlockDevice => {
            let stat = stat_at(dir, name, &path)?;
            let (major, minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
            let kind = if kind == FileType::BlockDevice {
                HeaderKind::BlockDevice { major, minor }
            } else {
                HeaderKind::CharDevice { major, minor }
            };
            make(path, stat.st_mode, kind, Body::None)
        }
        _ => Ok(None),
    }
}

/// A depth-first walk in which a directory is followed at once by all below it (E12).
struct Walk<'a> {
    root: &'a Root,
    content: Owner,
    start: Option<GuestPath>,
    stack: Vec<Frame>,
}

struct Frame {
    path: PathBuf,
    dir: Option<OwnedFd>,
    /// Names yet to come, last first.
    names: Vec<(OsString, FileType)>,
}

impl Iterator for Walk<'_> {
    type Item = Result<Item, LayerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = match self.start.take() {
            Some(top) => self.enter(&top),
            None => self.step(),
        };
        if result.is_err() {
            self.stack.clear();
        }
        result.transpose()
    }
}

impl Walk<'_> {
    fn enter(&mut self, top: &GuestPath) -> Result<Option<Item>, LayerError> {
        let (Some(parent), Some(name)) = (top.parent(), top.file_name()) else {
            return Err(gone(top.as_guest()));
        };
        let dir = self.root.open(&parent, passage())?;
        let kind = FileType::from_raw_mode(stat_at(dir.as_fd(), name, top.as_guest())?.st_mode);
        if kind == FileType::Directory {
            self.push(dir.as_fd(), name, top.as_guest().to_path_buf())?;
        }
        item_at(dir.as_fd(), name, top.as_guest().to_path_buf(), kind, self.content)
    }

    fn step(&mut self) -> Result<Option<Item>, LayerError> {
        while let Some(frame) = self.stack.last_mut() {
            let Some((name, kind)) = frame.names.pop() else {
                self.stack.pop();
                continue;
            };
            let path = frame.path.join(&name);
            let dir = match frame.dir.take() {
                Some(dir) => dir,
                None => self.root.open(&GuestPath::new(&frame.path), directory())?,
            };
            let kind = match kind {
                FileType::Unknown => FileType::from_raw_mode(stat_at(dir.as_fd(), &name, &path)?.st_mode),
                known => known,
            };
            let item = item_at(dir.as_fd(), &name, path.clone(), kind, self.content)?;
            let at = self.stack.len() - 1;
            if kind == FileType::Directory {
                self.push(dir.as_fd(), &name, path)?;
                if let Some(outer) = self.stack.len().checked_sub(OPEN) {
                    self.stack[outer].dir = None;
                }
            }
            self.stack[at].dir = Some(dir);
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }

    fn push(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: PathBuf) -> Result<(), LayerError> {
        let dir = fs::openat(parent, name, directory(), Mode::empty()).map_err(FsError::on("list", &path))?;
        let names = names(&dir).map_err(FsError::on("list", &path))?;
        self.stack.push(Frame { path, dir: Some(dir), names });
        Ok(())
    }
}

/// Returns the names in `dir`, last first.
fn names(dir: &OwnedFd) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push((OsStr::from_bytes(name).to_os_string(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
    Ok(names)
}
