//! Whether a place may be mounted: a toolchain may, a home may not.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cnb_fs::{GuestPath, HostPath};

use super::ReadOnlyMount;

/// What every build sees of the host already.
const VISIBLE: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt"];

/// Directories that hold more than one toolchain and are made to be seen by all: what lies in them refers to
/// its neighbours, so that one piece alone does not work.
const SHARED: [&str; 2] = ["/nix/store", "/home/linuxbrew/.linuxbrew"];

/// Directories of the system that hold no toolchain, whatever a tool says.
const SYSTEM: [&str; 15] = [
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lost+found",
    "/media",
    "/mnt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/var",
    "/data",
];

/// Directories of a home in which people keep all sorts of things.
const PERSONAL: [&str; 17] = [
    ".local",
    ".local/share",
    ".local/state",
    ".local/lib",
    ".config",
    ".cache",
    ".ssh",
    ".gnupg",
    ".aws",
    ".docker",
    ".kube",
    "bin",
    "Desktop",
    "Documents",
    "Downloads",
    "src",
    "projects",
];

/// Files that only a home holds.
const MARKS: [&str; 6] = [".ssh", ".gnupg", ".bash_history", ".bashrc", ".profile", ".zshrc"];

/// Judges places for one user.
pub(super) struct Places {
    homes: Vec<PathBuf>,
}

/// What a place is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The build sees it already.
    Visible,
    /// A toolchain of its own.
    Mounts(Mounts),
    /// Not to be mounted; the reason.
    Private(String),
}

/// How a place is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mounts {
    /// The place, links resolved.
    pub(super) home: GuestPath,
    /// What is mounted so that it is there, under every name it was called.
    pub(super) all: Vec<ReadOnlyMount>,
}

impl Places {
    pub(super) fn new(home: &HostPath) -> Self {
        let mut homes = vec![home.as_path().to_path_buf()];
        homes.extend(fs_err::canonicalize(home.as_path()));
        homes.dedup();
        Self { homes }
    }

    /// Judges the place that a tool named.
    pub(super) fn judge(&self, named: &Path) -> Place {
        let Ok(real) = fs_err::canonicalize(named) else {
            return Place::Private(format!("`{}` does not exist", named.display()));
        };
        if !real.is_dir() {
            return Place::Private(format!("`{}` is not a directory", named.display()));
        }
        if is_visible(&real) {
            return Place::Visible;
        }
        let home = GuestPath::new(&real);
        if let Some(shared) = SHARED.iter().find(|s| real.starts_with(s)) {
            // A user whose home it is has more in it than packages.
            if !self.is_private(Path::new(shared)) {
                let mount = ReadOnlyMount { guest: GuestPath::new(shared), host: HostPath::absolute(shared) };
                return Place::Mounts(Mounts { home, all: vec![mount] });
            }
        }
        if self.is_private(&real) {
            return Place::Private(format!("`{}` is no directory of its own", real.display()));
        }
        let host = HostPath::absolute(&real);
        let mut all = vec![ReadOnlyMount { guest: home.clone(), host: host.clone() }];
        // Scripts of the toolchain name it as it was called when they were installed.
        if named != real && !is_visible(named) && is_plain(named) && !self.is_private(named) {
            all.push(ReadOnlyMount { guest: GuestPath::new(named), host });
        }
        Place::Mounts(Mounts { home, all })
    }

    fn is_private(&self, dir: &Path) -> bool {
        let of_a_home = |home: &PathBuf| {
            home.starts_with(dir)
                || dir.strip_prefix(home).is_ok_and(|rest| PERSONAL.iter().any(|p| Path::new(p) == rest))
        };
        dir.parent().is_none()
            || SYSTEM.iter().any(|s| Path::new(s) == dir)
            || dir.parent() == Some(Path::new("/home"))
            || self.homes.iter().any(of_a_home)
            || MARKS.iter().any(|mark| dir.join(mark).exists())
    }
}

/// The channels of rustup.
const CHANNELS: &[&str] = &["stable", "beta", "nightly"];

/// Lists the other versions that a version manager keeps beside one: an app may ask for one of them.
///
/// Such a manager keeps each in a folder named after its version, or after the channel that it follows, all in one
/// folder.
pub(super) fn siblings(home: &Path, program: &str) -> Vec<PathBuf> {
    let is_version = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit())
            || CHANNELS.iter().any(|c| name.strip_prefix(c).is_some_and(|rest| rest.starts_with('-')))
    };
    if !is_version(home) {
        return Vec::new();
    }
    let entries = home.parent().and_then(|dir| fs_err::read_dir(dir).ok()).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path != home && is_version(path) && path.join("bin").join(program).is_file())
        .collect();
    found.sort();
    found
}

/// Returns the mount of one executable, for a place that must stay out; `None` when there is no such file.
pub(super) fn single(home: &Path, name: &str, found: &Path) -> Option<ReadOnlyMount> {
    let candidates = [home.join("bin").join(name), found.to_path_buf()];
    let real = candidates.iter().find_map(|path| {
        let real = fs_err::canonicalize(path).ok()?;
        (real.is_file() && is_elf(&real) && !is_visible(&real)).then_some(real)
    })?;
    Some(ReadOnlyMount { guest: GuestPath::new(&real), host: HostPath::absolute(&real) })
}

/// Returns whether a program is one that the build sees already and that stands for itself.
///
/// A script may be a shim for something elsewhere, and is asked.
pub(super) fn is_visible_program(program: &Path) -> bool {
    fs_err::canonicalize(program).is_ok_and(|real| is_visible(&real) && is_elf(&real))
}

fn is_visible(path: &Path) -> bool {
    VISIBLE.iter().any(|v| path.starts_with(v))
}

/// Returns whether a path has no `.` and `..` in it.
fn is_plain(path: &Path) -> bool {
    path.components().all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::RootDir))
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}
