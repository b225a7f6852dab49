//! Temporary directories in the guest: where buildpacks write plans, and where they read theirs (C14, C26).

use std::sync::atomic::{AtomicU64, Ordering};

use cnb_fs::{FsError, GuestPath, Root};

/// A directory that is deleted with this value.
#[derive(Debug)]
pub struct Scratch<'r> {
    root: &'r Root,
    path: GuestPath,
}

impl<'r> Scratch<'r> {
    /// Creates a fresh directory in `parent`; its name starts with `prefix`.
    ///
    /// Whatever has the name already was left by an earlier build or put there by a buildpack, so another
    /// name is taken, never that directory.
    pub fn create(root: &'r Root, parent: &GuestPath, prefix: &str) -> Result<Self, FsError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{prefix}.{}-{count}", std::process::id()));
            if root.symlink_metadata(&path)?.is_none() {
                root.create_dir_all(&path)?;
                return Ok(Self { root, path });
            }
        }
    }

    /// Returns where the directory is.
    pub fn path(&self) -> &GuestPath {
        &self.path
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // A temporary directory that cannot be deleted must not turn a good build into a failed one.
        let _ = self.root.remove_tree(&self.path);
    }
}

/// Makes a root in a temporary directory.
#[cfg(test)]
pub(crate) fn test_world() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let handle: std::os::fd::OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
    (dir, Root::new(handle, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_new_and_goes_with_its_owner() {
        let (_dir, root) = test_world();
        let tmp = GuestPath::new("/tmp");
        let one = Scratch::create(&root, &tmp, "plan").unwrap();
        let two = Scratch::create(&root, &tmp, "plan").unwrap();
        assert_ne!(one.path(), two.path());
        root.write(&one.path().join("plan.toml"), b"x", 0o600).unwrap();
        let path = one.path().clone();
        drop(one);
        assert!(!root.exists(&path).unwrap());
        assert!(root.exists(two.path()).unwrap());
    }
}
