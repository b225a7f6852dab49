//! Whether what is built on the host runs on a run image: their C libraries.

use std::fmt;

use cnb_fs::{FsError, GuestPath, Root};

use crate::host::elf::{LibcVersion, libc_version};

/// A C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// GNU libc: runs what was linked against this version or an older one.
    Gnu(LibcVersion),
    /// musl: another interface.
    Musl,
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gnu(version) => write!(f, "glibc {version}"),
            Self::Musl => f.write_str("musl"),
        }
    }
}

/// The run image cannot run what is built against the host's C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the run image has {} and the build links against {host}; {}",
    image.map_or("no C library".to_owned(), |i| i.to_string()),
    self.remedy()
)]
pub struct RunImageTooOld {
    /// What the build links against.
    pub host: Libc,
    /// What the image has.
    pub image: Option<Libc>,
}

impl RunImageTooOld {
    /// Returns what the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match (self.host, self.image) {
            (Libc::Gnu(_), Some(Libc::Gnu(_))) => {
                "use a run image at least as new as the host, or leave out `--run-image`"
            }
            _ => "use a run image with the host's kind of C library, or leave out `--run-image`",
        }
    }
}

/// Decides whether an image with `image` runs what is linked against `host`.
pub fn compare(host: Libc, image: Option<Libc>) -> Result<(), RunImageTooOld> {
    let runs = match (host, image) {
        (Libc::Gnu(host), Some(Libc::Gnu(image))) => image >= host,
        (Libc::Musl, Some(Libc::Musl)) => true,
        _ => false,
    };
    if runs { Ok(()) } else { Err(RunImageTooOld { host, image }) }
}

/// Finds the C library in a root file system; `None` when it has none, as images of static programs.
pub fn libc_of(root: &Root) -> Result<Option<Libc>, FsError> {
    const LIMIT: u64 = 64 << 20;
    let mut dirs = vec!["/lib64".to_owned(), "/usr/lib64".to_owned()];
    for machine in ["x86_64", "aarch64"] {
        dirs.push(format!("/lib/{machine}-linux-gnu"));
        dirs.push(format!("/usr/lib/{machine}-linux-gnu"));
    }
    dirs.extend(["/lib".to_owned(), "/usr/lib".to_owned()]);
    for dir in &dirs {
        let path = GuestPath::new(dir).join("libc.so.6");
        if let Some(version) = root.read_if_exists(&path, LIMIT)?.as_deref().and_then(libc_version) {
            return Ok(Some(Libc::Gnu(version)));
        }
    }
    for dir in ["/lib", "/usr/lib"] {
        let entries = root.list(&GuestPath::new(dir))?;
        if entries.iter().any(|e| e.name.to_string_lossy().starts_with("ld-musl-")) {
            return Ok(Some(Libc::Musl));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gnu(minor: u32) -> Libc {
        Libc::Gnu(LibcVersion { major: 2, minor })
    }

    #[track_caller]
    fn check(host: Libc, image: Option<Libc>, expected: Option<&str>) {
        assert_eq!(compare(host, image).err().map(|e| e.to_string()).as_deref(), expected);
    }

    #[test]
    fn an_image_as_new_as_the_host_is_accepted() {
        check(gnu(36), Some(gnu(36)), None);
        check(gnu(36), Some(gnu(40)), None);
        check(Libc::Musl, Some(Libc::Musl), None);
    }

    #[test]
    fn an_older_image_is_refused_with_the_remedy() {
        check(
            gnu(36),
            Some(gnu(9)),
            Some(
                "the run image has glibc 2.9 and the build links against glibc 2.36; \
                  use a run image at least as new as the host, or leave out `--run-image`",
            ),
        );
    }

    #[test]
    fn another_or_no_libc_is_refused() {
        check(
            gnu(36),
            Some(Libc::Musl),
            Some(
                "the run image has musl and the build links against glibc 2.36; \
                  use a run image with the host's kind of C library, or leave out `--run-image`",
            ),
        );
        assert!(compare(Libc::Musl, Some(gnu(40))).is_err());
        assert!(compare(gnu(36), None).is_err());
    }
}
