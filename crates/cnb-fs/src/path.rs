//! Paths that know which world they are in.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A path of the host: can be opened with the standard library.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// Makes `path` absolute against `cwd`, without touching the disk.
    pub fn new(cwd: &Path, path: impl AsRef<Path>) -> Self {
        Self(cwd.join(path))
    }

    /// Takes a path that is absolute already; a relative one is taken to start at `/`.
    pub fn absolute(path: impl AsRef<Path>) -> Self {
        Self(Path::new("/").join(path))
    }

    /// Returns the path for use with the standard library.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of `name` below this one.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self(self.0.join(name))
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A path of the guest: absolute, and meaningful only together with a [`Root`](crate::Root).
///
/// There is deliberately no `AsRef<Path>`: opening a guest path on the host is a mistake.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(PathBuf);

impl GuestPath {
    /// Takes `path` as absolute; a relative one is taken to start at `/`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(Path::new("/").join(path))
    }

    /// Returns the path of `name` below this one.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self(self.0.join(name))
    }

    /// Returns the text of the path, for environment variables, arguments, tar entries and messages.
    pub fn as_os_str(&self) -> &OsStr {
        self.0.as_os_str()
    }

    /// Returns the path as it stands in an image or a message; it must not be opened on the host.
    pub fn as_guest(&self) -> &Path {
        &self.0
    }

    /// Returns the parent, `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|p| Self(p.to_path_buf()))
    }

    /// Returns the last name, `None` for `/`.
    pub fn file_name(&self) -> Option<&OsStr> {
        self.0.file_name()
    }

    /// Returns every ancestor except `/`, outermost first, without the path itself.
    pub fn ancestors_below_root(&self) -> Vec<Self> {
        let mut all: Vec<Self> = self.0.ancestors().skip(1).map(|p| Self(p.to_path_buf())).collect();
        all.retain(|p| p.0.components().any(|c| matches!(c, Component::Normal(_))));
        all.reverse();
        all
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_come_outermost_first_and_without_the_root() {
        let found = GuestPath::new("/layers/a_b/deps").ancestors_below_root();
        assert_eq!(found, [GuestPath::new("/layers"), GuestPath::new("/layers/a_b")]);
        assert_eq!(GuestPath::new("/layers").ancestors_below_root(), []);
    }

    #[test]
    fn relative_paths_are_made_absolute() {
        assert_eq!(HostPath::new(Path::new("/home/a"), "b").as_path(), Path::new("/home/a/b"));
        assert_eq!(GuestPath::new("x").as_guest(), Path::new("/x"));
    }
}
