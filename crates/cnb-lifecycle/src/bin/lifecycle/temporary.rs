//! A directory of the lifecycle's own for the files it hands to buildpacks, deleted when it ends.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use cnb_fs::{GuestPath, atomic};
use cnb_spec::env::Env;

/// A fresh directory that only this user can enter.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Creates it where `TMPDIR` says.
    pub(crate) fn create(env: &Env) -> io::Result<Self> {
        let parent =
            env.get(OsStr::new("TMPDIR")).filter(|v| !v.is_empty()).map_or("/tmp".into(), PathBuf::from);
        let mut attempt = 0_u32;
        loop {
            let path = parent.join(format!("lifecycle.{}-{attempt}", std::process::id()));
            // A directory that is there already is somebody else's, whoever made it.
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < u32::MAX => attempt += 1,
                Err(e) => return Err(io::Error::new(e.kind(), format!("mkdir {}: {e}", path.display()))),
            }
        }
    }

    /// Returns where it is; the lifecycle's world and the buildpacks' are one.
    pub(crate) fn path(&self) -> GuestPath {
        GuestPath::new(&self.0)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be deleted must not change how the phase ends.
        let _ = atomic::remove_tree(&self.0);
    }
}
