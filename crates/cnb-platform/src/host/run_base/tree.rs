//! The tree of the image as it grows: each path is followed link by link, and every link goes in as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use cnb_fs::{FsError, GuestPath, HostPath};
use sha2::{Digest, Sha256};

use super::stamp::{Stamp, State};
use super::{BaseContent, BaseEntry};

/// As many links as the kernel follows.
const LINKS: usize = 40;

/// Links on the way to a path, each with what it says.
type Links = Vec<(PathBuf, PathBuf)>;

/// The image's tree, and all that was looked at on the way.
pub(super) struct Tree {
    root: PathBuf,
    entries: BTreeMap<PathBuf, BaseEntry>,
    seen: BTreeMap<PathBuf, Option<State>>,
    programs: Vec<(GuestPath, HostPath)>,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            entries: BTreeMap::new(),
            seen: BTreeMap::new(),
            programs: Vec::new(),
        }
    }

    /// Adds a directory that does not depend on the host; `rank` 1 means the image's user owns it.
    pub(super) fn own_dir(&mut self, path: &str, mode: u32, rank: u32) {
        for above in GuestPath::new(path).ancestors_below_root() {
            self.put_dir(above.as_guest());
        }
        let (uid, gid) = if rank == 0 { (0, 0) } else { (1001, 1000) };
        self.put(
            Path::new(path),
            BaseEntry { guest: GuestPath::new(path), mode, uid, gid, content: BaseContent::Dir },
        );
    }

    /// Adds a top-level name when it is a link on the host: `/bin` where `/usr` holds everything.
    pub(super) fn add_link_only(&mut self, path: &str) -> Result<(), FsError> {
        let path = Path::new(path);
        if self.look(path, false)?.is_some_and(|m| m.is_symlink()) {
            let target = self.read_link(path)?;
            self.put_link(path, target);
        }
        Ok(())
    }

    /// Adds a path with the directories and links that lead to it; returns whether the host has it.
    pub(super) fn add(&mut self, path: &str) -> Result<bool, FsError> {
        let Some((real, links)) = self.resolve(Path::new(path))? else { return Ok(false) };
        for (link, target) in links {
            self.put_parents(&link);
            self.put_link(&link, target);
        }
        self.put_parents(&real);
        let Some(metadata) = self.look(&real, false)? else { return Ok(false) };
        if metadata.is_dir() {
            self.put_dir(&real);
        } else if metadata.is_file() && !self.entries.contains_key(&real) {
            let host = HostPath::absolute(self.host(&real));
            let guest = GuestPath::new(&real);
            self.programs.push((guest.clone(), host.clone()));
            // Without set-uid bits: nothing in the image gains rights.
            let mode = (metadata.mode() & 0o755) | 0o444;
            let content = BaseContent::File { host, size: metadata.size() };
            self.put(&real, BaseEntry { guest, mode, uid: 0, gid: 0, content });
        } else if !metadata.is_file() {
            return Ok(false);
        }
        Ok(true)
    }

    /// Adds a directory with all below it, except the names in `without` at its top.
    pub(super) fn add_tree(&mut self, path: &str, without: &[&str]) -> Result<(), FsError> {
        let Some((real, _)) = self.resolve(Path::new(path))? else { return Ok(()) };
        if !self.look(&real, true)?.is_some_and(|m| m.is_dir()) {
            return Ok(());
        }
        self.add(path)?;
        for name in self.names(&real)? {
            let Some(name) = name.to_str() else { continue };
            if without.contains(&name) {
                continue;
            }
            let below = real.join(name);
            let Some(below_text) = below.to_str() else { continue };
            match self.look(&below, false)? {
                Some(m) if m.is_dir() => self.add_tree(below_text, &[])?,
                // A link that leads nowhere, or to the host's own choice, stays as it is.
                Some(_) => {
                    self.add(below_text)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Adds a file of our own.
    pub(super) fn generate(&mut self, path: &str, contents: &[u8]) {
        self.put_parents(Path::new(path));
        let content = BaseContent::Generated(contents.to_vec());
        let guest = GuestPath::new(path);
        self.put(Path::new(path), BaseEntry { guest, mode: 0o644, uid: 0, gid: 0, content });
    }

    /// Adds a link of our own, unless something has that path.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        if !self.entries.contains_key(Path::new(path)) {
            self.put_parents(Path::new(path));
            self.put_link(Path::new(path), PathBuf::from(target));
        }
    }

    /// Returns whether the host has a directory there, and no link.
    pub(super) fn has_dir(&mut self, path: &str) -> Result<bool, FsError> {
        Ok(self.look(Path::new(path), false)?.is_some_and(|m| m.is_dir()))
    }

    /// Reads a file of the host.
    pub(super) fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, FsError> {
        match self.find(Path::new(path))? {
            Some(real) => fs_err::read(real.as_path()).map(Some).map_err(FsError::on("read", real.as_path())),
            None => Ok(None),
        }
    }

    /// Returns the file of the host that a path leads to.
    pub(super) fn find(&mut self, path: &Path) -> Result<Option<HostPath>, FsError> {
        let Some((real, _)) = self.resolve(path)? else { return Ok(None) };
        let is_file = self.look(&real, false)?.is_some_and(|m| m.is_file());
        Ok(is_file.then(|| HostPath::absolute(self.host(&real))))
    }

    /// Returns the names in a directory of the host, sorted; the directory's time becomes part of the stamp.
    pub(super) fn names(&mut self, dir: &Path) -> Result<Vec<std::ffi::OsString>, FsError> {
        if !self.look(dir, true)?.is_some_and(|m| m.is_dir()) {
            return Ok(Vec::new());
        }
        let host = self.host(dir);
        let entries = fs_err::read_dir(&host).map_err(FsError::on("list", &host))?;
        let names: io::Result<Vec<_>> = entries.map(|e| e.map(|e| e.file_name())).collect();
        let mut names = names.map_err(FsError::on("list", &host))?;
        names.sort();
        Ok(names)
    }

    /// Takes the files that were added since the last call: what they need has to be looked at.
    pub(super) fn take_added(&mut self) -> Vec<(GuestPath, HostPath)> {
        std::mem::take(&mut self.programs)
    }

    /// Returns the entries, and the stamp of what they were made from.
    pub(super) fn finish(self) -> (Vec<BaseEntry>, Stamp) {
        let mut hash = Sha256::new();
        hash.update(format!("list {}\n", super::list::VERSION));
        for entry in self.entries.values() {
            hash.update(entry.guest.as_os_str().as_bytes());
            hash.update(format!("\0{:o} {} {} ", entry.mode, entry.uid, entry.gid));
            match &entry.content {
                BaseContent::Dir => hash.update("dir"),
                BaseContent::Link(target) => hash.update(target.as_os_str().as_bytes()),
                BaseContent::Generated(bytes) => hash.update(bytes),
                BaseContent::File { size, .. } => {
                    let state = self.seen.get(entry.guest.as_guest()).copied().flatten();
                    let (seconds, nanos) = state.map_or((0, 0), |s| s.mtime);
                    hash.update(format!("{size} {seconds} {nanos}"));
                }
            }
            hash.update("\n");
        }
        let fingerprint = hash.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let root = self.root;
        let seen = self.seen.into_iter().map(|(path, state)| (below(&root, &path), state));
        let stamp = Stamp::new(fingerprint, seen);
        (self.entries.into_values().collect(), stamp)
    }

    /// Follows a path of the image link by link within the root; returns where it ends, and the links.
    fn resolve(&mut self, path: &Path) -> Result<Option<(PathBuf, Links)>, FsError> {
        let mut links = Vec::new();
        let mut real = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = parts(path);
        while let Some(part) = rest.pop() {
            if part == Path::new("..") {
                real.pop();
                continue;
            }
            let next = real.join(part);
            let Some(metadata) = self.look(&next, false)? else { return Ok(None) };
            if !metadata.is_symlink() {
                real = next;
                continue;
            }
            if links.len() == LINKS {
                return Ok(None);
            }
            let target = self.read_link(&next)?;
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            rest.extend(parts(&target));
            links.push((next, target));
        }
        Ok(Some((real, links)))
    }

    fn look(&mut self, path: &Path, listed: bool) -> Result<Option<std::fs::Metadata>, FsError> {
        let host = self.host(path);
        let metadata = match fs_err::symlink_metadata(&host) {
            Ok(metadata) => Some(metadata),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            Err(e) => return Err(FsError::on("look at", &host)(e)),
        };
        let state = metadata.as_ref().map(|m| State::of(m, listed));
        match self.seen.get(path) {
            Some(Some(old)) if old.ino != 0 && !listed => {}
            _ => {
                self.seen.insert(path.to_path_buf(), state);
            }
        }
        Ok(metadata)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, FsError> {
        let host = self.host(path);
        fs_err::read_link(&host).map_err(FsError::on("read", &host))
    }

    fn host(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }

    fn put(&mut self, path: &Path, entry: BaseEntry) {
        self.entries.insert(path.to_path_buf(), entry);
    }

    fn put_dir(&mut self, path: &Path) {
        if path.parent().is_none() || self.entries.contains_key(path) {
            return;
        }
        let guest = GuestPath::new(path);
        self.put(path, BaseEntry { guest, mode: 0o755, uid: 0, gid: 0, content: BaseContent::Dir });
    }

    fn put_link(&mut self, path: &Path, target: PathBuf) {
        let guest = GuestPath::new(path);
        self.put(path, BaseEntry { guest, mode: 0o777, uid: 0, gid: 0, content: BaseContent::Link(target) });
    }

    fn put_parents(&mut self, path: &Path) {
        for above in GuestPath::new(path).ancestors_below_root() {
            self.put_dir(above.as_guest());
        }
    }
}

/// Returns the parts of a path, last first, without the root.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    named.rev().map(|c| PathBuf::from(c.as_os_str())).collect()
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
