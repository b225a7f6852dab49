//! The throw-away folders of one build.
//!
//! They lie beside the kept layers, on one file system with them, so that what a build changed becomes a
//! level of the cache by a rename.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use cnb_fs::{FsError, HostPath, Owner, atomic};

/// The folders of one build; dropping it deletes them.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: HostPath,
}

impl WorkDir {
    /// Makes the folders in `parent`, whose lock the caller holds: what other builds left there is deleted.
    ///
    /// Folders that the build user writes to are given to `owner`.
    pub(crate) fn create(parent: &HostPath, owner: Option<Owner>) -> Result<Self, FsError> {
        for entry in fs::read_dir(parent.as_path()).map_err(FsError::on("list", parent.as_path()))? {
            let entry = entry.map_err(FsError::on("list", parent.as_path()))?;
            if entry.file_name().as_encoded_bytes().starts_with(b"work-") {
                atomic::remove_tree(&entry.path())?;
            }
        }
        let work = Self { path: parent.join(format!("work-{}", std::process::id())) };
        for (folder, own) in [
            (work.path.clone(), false),
            (work.workspace(), true),
            (work.upper(), true),
            (work.overlay(), true),
            (work.empty(), true),
            (work.tmp(), true),
            (work.home(), true),
            (work.platform(), false),
            (work.platform().join("env"), false),
            (work.platform().join("bindings"), false),
            (work.files(), false),
        ] {
            fs::create_dir(folder.as_path())
                .map_err(FsError::on("create the directory", folder.as_path()))?;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.as_path(), mode)
                .map_err(FsError::on("change the mode of", folder.as_path()))?;
            if let Some(owner) = owner.filter(|_| own) {
                give(&folder, owner)?;
            }
        }
        Ok(work)
    }

    /// The copy of the application.
    pub(crate) fn workspace(&self) -> HostPath {
        self.path.join("workspace")
    }

    /// What the build changes in the layers directory.
    pub(crate) fn upper(&self) -> HostPath {
        self.path.join("upper")
    }

    /// The overlay's own folder.
    pub(crate) fn overlay(&self) -> HostPath {
        self.path.join("overlay")
    }

    /// An empty folder: the lowest level of a layers directory of which nothing is kept.
    pub(crate) fn empty(&self) -> HostPath {
        self.path.join("empty")
    }

    /// The build's `/tmp`.
    pub(crate) fn tmp(&self) -> HostPath {
        self.path.join("tmp")
    }

    /// The build user's home.
    pub(crate) fn home(&self) -> HostPath {
        self.path.join("home")
    }

    /// The platform directory.
    pub(crate) fn platform(&self) -> HostPath {
        self.path.join("platform")
    }

    /// Small files of the guest that lie outside the build user's home.
    pub(crate) fn files(&self) -> HostPath {
        self.path.join("files")
    }

    /// Buildpacks that had to be unpacked.
    pub(crate) fn unpacked(&self) -> HostPath {
        self.path.join("buildpacks")
    }

    /// The folders that count against the disk limit.
    pub(crate) fn written(&self) -> [HostPath; 4] {
        [self.workspace(), self.upper(), self.tmp(), self.home()]
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What cannot be deleted now is deleted by the next build of the same image.
        let _ = atomic::remove_tree(self.path.as_path());
    }
}

/// Gives a file or folder to the build user.
pub(crate) fn give(path: &HostPath, owner: Owner) -> Result<(), FsError> {
    chown(path.as_path(), Some(owner.uid), Some(owner.gid))
        .map_err(FsError::on("give to the build user", path.as_path()))
}

/// Lets everybody read what lies below `path`, whatever the umask was: the build user may be another one.
pub(crate) fn let_read(path: &Path) -> Result<(), FsError> {
    let on_error = |e| FsError::on("change the mode of", path)(e);
    let metadata = fs::symlink_metadata(path).map_err(on_error)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let wanted = if metadata.is_dir() { 0o755 } else { 0o644 };
    let mode = metadata.permissions().mode();
    if mode & wanted != wanted {
        fs::set_permissions(path, fs::Permissions::from_mode(mode | wanted)).map_err(on_error)?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(FsError::on("list", path))? {
            let_read(&entry.map_err(FsError::on("list", path))?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_strict_umask_made_can_be_read_by_the_build_user() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b");
        fs::create_dir(dir.path().join("a")).unwrap();
        fs_err::write(&file, "").unwrap();
        for (path, mode) in [(&file, 0o700), (&dir.path().join("a"), 0o700)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let_read(dir.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&dir.path().join("a"))), (0o744, 0o755));
    }

    #[test]
    fn the_folders_of_a_killed_build_go_with_the_next_and_its_own_with_itself() {
        let dir = tempfile::tempdir().unwrap();
        let parent = HostPath::absolute(dir.path());
        fs::create_dir_all(parent.join("work-1/upper/locked").as_path()).unwrap();
        fs::set_permissions(parent.join("work-1/upper/locked").as_path(), fs::Permissions::from_mode(0o0))
            .unwrap();
        let work = WorkDir::create(&parent, None).unwrap();
        assert!(!parent.join("work-1").as_path().exists());
        assert!(work.upper().as_path().is_dir() && work.platform().join("env").as_path().is_dir());
        drop(work);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
