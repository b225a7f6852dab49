//! The walk over the source: sorted, by directory handles, never through a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, Owner};
use rustix::fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::rules::{Rules, Verdict};
use super::secrets::{self, Suspicion};
use super::{SourceConfig, SourceError, SourceEvent, SourceReport};

/// How many paths a warning names; the rest is counted.
const NAMED: usize = 5;

/// Copies what the rules let through from `source` to `dest`.
pub(super) fn copy(
    config: &SourceConfig<'_>,
    source: &OwnedFd,
    rules: &Rules,
    dest: &Path,
    events: &dyn Fn(SourceEvent),
) -> Result<SourceReport, SourceError> {
    fs_err::create_dir_all(dest).map_err(FsError::on("create the directory", dest))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = fs::open(dest, flags, Mode::empty()).map_err(FsError::on("open", dest))?;
    let mut left_out = vec![identity(&fs::fstat(&target).map_err(FsError::on("look at", dest))?)];
    for path in config.leave_out {
        match fs::stat(path.as_path()) {
            Ok(stat) => left_out.push(identity(&stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(e) => return Err(FsError::on("look at", path.as_path())(e).into()),
        }
    }
    let mut walk = Walk {
        config,
        rules,
        events,
        left_out,
        report: SourceReport { rules: rules.source, ..SourceReport::default() },
        suspects: Vec::new(),
        more_suspects: 0,
        scratch: Vec::new(),
        reflinks: true,
    };
    let top = fs::fstat(source).map_err(FsError::on("look at", config.source.as_path()))?;
    let mut lazy = vec![Level { fd: Some(target), name: OsString::new(), stat: top }];
    walk.dir(source.as_fd(), Path::new(""), &mut lazy)?;
    let Some(Level { fd: Some(target), stat, .. }) = lazy.pop() else { return Ok(walk.report) };
    walk.finish_dir(&target, &stat, Path::new(""))?;
    if !walk.suspects.is_empty() {
        let remedy = rules.source.remedy();
        events(SourceEvent::Sensitive { paths: walk.suspects, more: walk.more_suspects, remedy });
    }
    Ok(walk.report)
}

struct Walk<'a> {
    config: &'a SourceConfig<'a>,
    rules: &'a Rules,
    events: &'a dyn Fn(SourceEvent),
    left_out: Vec<(u64, u64)>,
    report: SourceReport,
    suspects: Vec<PathBuf>,
    more_suspects: usize,
    scratch: Vec<usize>,
    /// Whether the last attempt to share blocks worked; file systems that cannot are asked once.
    reflinks: bool,
}

/// A directory on the way from the top to where the walk is; made when the first entry in it is copied.
struct Level {
    fd: Option<OwnedFd>,
    name: OsString,
    stat: Stat,
}

impl Walk<'_> {
    fn dir(&mut self, dir: BorrowedFd<'_>, path: &Path, levels: &mut Vec<Level>) -> Result<(), SourceError> {
        for name in self.names(dir, path)? {
            let path = path.join(&name);
            let stat = match fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Deleted since it was listed: the source is in use, and this file is not part of it now.
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(self.error("look at", &path, e)),
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let is_dir = kind == FileType::Directory;
            if is_dir && self.left_out.contains(&identity(&stat)) {
                continue;
            }
            match self.rules.decide(&path, is_dir, &mut self.scratch) {
                Verdict::StaysOut => continue,
                verdict if is_dir => {
                    self.subdir(dir, &name, &path, stat, verdict == Verdict::Enters, levels)?;
                    continue;
                }
                Verdict::OnlyBelow | Verdict::Enters => {}
            }
            match kind {
                FileType::RegularFile => {
                    let target = self.materialise(levels, &path)?;
                    self.file(dir, &name, &path, &target)?;
                }
                FileType::Symlink => {
                    let target = self.materialise(levels, &path)?;
                    self.link(dir, &name, &path, &stat, &target)?;
                }
                _ => (self.events)(SourceEvent::SpecialFile { path }),
            }
        }
        Ok(())
    }

    fn subdir(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: Stat,
        enters: bool,
        levels: &mut Vec<Level>,
    ) -> Result<(), SourceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = fs::openat(dir, name, flags, Mode::empty()).map_err(|e| self.error("read", path, e))?;
        if enters && name == ".git" {
            self.suspect(path);
        }
        levels.push(Level { fd: None, name: name.to_os_string(), stat });
        if enters {
            self.materialise(levels, path)?;
        }
        self.dir(inner.as_fd(), path, levels)?;
        match levels.pop() {
            Some(Level { fd: Some(target), stat, .. }) => self.finish_dir(&target, &stat, path),
            _ => Ok(()),
        }
    }

    /// Makes the directories of `levels` that are not there yet, and returns the innermost.
    fn materialise(&mut self, levels: &mut [Level], path: &Path) -> Result<OwnedFd, SourceError> {
        let first = levels.iter().position(|l| l.fd.is_none()).unwrap_or(levels.len());
        for i in first..levels.len() {
            let Some(parent) = levels[i - 1].fd.as_ref() else { continue };
            let name = &levels[i].name;
            // Ours alone until it is complete; its own mode comes last, since it may forbid writing.
            match fs::mkdirat(parent, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(self.error("copy", path, e)),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = fs::openat(parent, name, flags, Mode::empty());
            let fd = fd.map_err(|e| self.error("copy", path, e))?;
            self.report.dirs += 1;
            levels[i].fd = Some(fd);
        }
        let innermost = levels.last().and_then(|l| l.fd.as_ref()).ok_or(Errno::BADF);
        let copy = innermost.map_err(io::Error::from).and_then(OwnedFd::try_clone);
        copy.map_err(|e| self.error("copy", path, e))
    }

    fn finish_dir(&self, target: &OwnedFd, stat: &Stat, path: &Path) -> Result<(), SourceError> {
        let done = (|| {
            give(target, self.config.owner)?;
            fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
            fs::futimens(target, &times(stat))
        })();
        done.map_err(|e| self.error("copy", path, e))
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        target: &OwnedFd,
    ) -> Result<(), SourceError> {
        // A file that became a FIFO since it was looked at must not block the build.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let from = match fs::openat(dir, name, flags, Mode::empty()) {
            Ok(from) => from,
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(self.error("read", path, e)),
        };
        match secrets::suspect(path) {
            Suspicion::None => {}
            Suspicion::Certain => self.suspect(path),
            Suspicion::Look(sign) => {
                let head = head(&from).map_err(|e| self.error("read", path, e))?;
                if secrets::shows(sign, &head) {
                    self.suspect(path);
                }
            }
        }
        let mut reflinks = self.reflinks;
        let copied = (|| {
            let stat = fs::fstat(&from)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let to = fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?;
            let bytes = contents(&from, &to, &mut reflinks)?;
            give(&to, self.config.owner)?;
            fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
            fs::futimens(&to, &times(&stat))?;
            Ok(bytes)
        })();
        self.reflinks = reflinks;
        self.report.bytes += copied.map_err(|e: Errno| self.error("copy", path, e))?;
        self.report.files += 1;
        Ok(())
    }

    fn link(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
        target: &OwnedFd,
    ) -> Result<(), SourceError> {
        let copied = (|| {
            let text = fs::readlinkat(dir, name, Vec::new())?;
            fs::symlinkat(text.as_c_str(), target, name)?;
            if let Some(owner) = self.config.owner {
                let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
        })();
        copied.map_err(|e| self.error("copy", path, e))?;
        self.report.links += 1;
        Ok(())
    }

    fn names(&self, dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<OsString>, SourceError> {
        let listed = (|| {
            let mut names = Vec::new();
            for entry in Dir::read_from(dir)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if !matches!(name.as_slice(), b"." | b"..") {
                    names.push(OsStr::from_bytes(&name).to_os_string());
                }
            }
            names.sort_unstable();
            Ok(names)
        })();
        listed.map_err(|e: Errno| self.error("read", path, e))
    }

    fn suspect(&mut self, path: &Path) {
        if self.suspects.len() < NAMED {
            self.suspects.push(path.to_path_buf());
        } else {
            self.more_suspects += 1;
        }
    }

    fn error(&self, action: &'static str, path: &Path, source: impl Into<io::Error>) -> SourceError {
        let path = self.config.source.as_path().join(path);
        FsError { action, path, source: source.into() }.into()
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn times(stat: &Stat) -> Timestamps {
    let mtime = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
    Timestamps { last_access: mtime, last_modification: mtime }
}

fn give(file: impl AsFd, owner: Option<Owner>) -> rustix::io::Result<()> {
    match owner {
        Some(o) => fs::fchown(file, Some(Uid::from_raw(o.uid)), Some(Gid::from_raw(o.gid))),
        None => Ok(()),
    }
}

fn head(file: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; secrets::LOOK];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(file, &mut bytes[filled..], filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Copies the contents: shared blocks, else inside the kernel, else through a buffer.
fn contents(from: &OwnedFd, to: &OwnedFd, reflinks: &mut bool) -> rustix::io::Result<u64> {
    if *reflinks {
        match fs::ioctl_ficlone(to, from) {
            Ok(()) => return Ok(fs::fstat(to)?.st_size.cast_unsigned()),
            Err(_) => *reflinks = false,
        }
    }
    let mut copied = 0;
    loop {
        match fs::copy_file_range(from, None, to, None, 1 << 30) {
            Ok(n) if n > 0 => copied += n as u64,
            Err(Errno::INTR) => {}
            // At the end, across file systems, or on one that cannot: what is left goes through a buffer.
            Ok(_) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => break,
            Err(e) => return Err(e),
        }
    }
    // Files whose size is unknown beforehand (as in procfs) read as empty in the kernel's own copy.
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match rustix::io::read(from, &mut buffer) {
            Ok(0) => return Ok(copied),
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            match rustix::io::write(to, rest) {
                Ok(n) => rest = &rest[n..],
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        copied += read as u64;
    }
}
