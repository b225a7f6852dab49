//! Builds without a sandbox: the directories that images name are made on the host itself.
//!
//! For locked-down CI containers, where the process is root and `/layers` and `/workspace` are free.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cnb_cache::{Transfer, merge, merge_into};
use cnb_fs::{FsError, GuestPath, HostPath, Owner, atomic};

use crate::guest::MountedBuildpack;
use crate::workdir::{self, WorkDir};
use crate::{BuildRequest, Failure, FailureKind, Network};

/// What such a build made on the host; dropping it deletes it again.
#[derive(Debug)]
pub(crate) struct Places {
    /// Buildpacks, platform directory, home and temporary files: outside the caller's home, which the build
    /// user may not be able to enter.
    dir: HostPath,
    /// `/layers` and the app directory, and whether they were there before.
    fixed: Vec<(PathBuf, bool)>,
}

impl Places {
    /// Puts everything where the buildpacks expect it.
    pub(crate) fn make(
        request: &BuildRequest,
        work: &WorkDir,
        buildpacks: &[MountedBuildpack],
        levels: &[HostPath],
        layers: &GuestPath,
        owner: Option<Owner>,
    ) -> Result<Self, Failure> {
        if !request.volumes.is_empty() {
            let message = "volumes cannot be mounted in a build without isolation";
            return Err(Failure::new(FailureKind::Request, message)
                .hint("the buildpacks see the host's own folders there"));
        }
        if request.network == Network::None {
            let message = "the network cannot be turned off in a build without isolation";
            return Err(Failure::new(FailureKind::Request, message)
                .hint("leave out --network none, or build in a sandbox"));
        }
        let hint = "a sandbox needs neither `/layers` nor the app directory on the host: see --isolation; \
                    in a container, be root and leave both free";
        let mut places = Self { dir: scratch(), fixed: Vec::new() };
        for guest in [layers, &request.workspace] {
            let path = guest.as_guest();
            let there = fs::symlink_metadata(path).is_ok();
            if there && !fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) {
                let message =
                    format!("a build without isolation needs `{}` to be free, and it is not", path.display());
                return Err(Failure::new(FailureKind::Other, message).hint(hint));
            }
            places.fixed.push((path.to_path_buf(), there));
        }
        places.fill(work, buildpacks, levels, owner).map_err(|e| {
            let message = "a build without isolation could not make its folders";
            Failure::new(FailureKind::Other, message).because(e).hint(hint)
        })?;
        Ok(places)
    }

    fn fill(
        &self,
        work: &WorkDir,
        buildpacks: &[MountedBuildpack],
        levels: &[HostPath],
        owner: Option<Owner>,
    ) -> Result<(), FsError> {
        let host = |path: &HostPath| path.as_path().to_path_buf();
        let levels: Vec<PathBuf> =
            if levels.is_empty() { vec![host(&work.empty())] } else { levels.iter().map(host).collect() };
        for ((path, there), sources) in self.fixed.iter().zip([levels, vec![host(&work.workspace())]]) {
            if *there {
                merge_into(&sources, path, Transfer::Copy)?;
            } else {
                merge(&sources, path, Transfer::Copy)?;
            }
            if let Some(owner) = owner {
                workdir::give(&HostPath::absolute(path), owner)?;
            }
        }
        make_dir(&self.dir)?;
        make_dir(&self.buildpacks())?;
        for buildpack in buildpacks {
            let dir = self.buildpacks().join(&buildpack.escaped_id);
            if !dir.as_path().exists() {
                make_dir(&dir)?;
            }
            merge(&[host(&buildpack.host)], dir.join(&buildpack.version).as_path(), Transfer::Copy)?;
        }
        for (from, to) in
            [(work.platform(), self.platform()), (work.home(), self.home()), (work.tmp(), self.tmp())]
        {
            merge(&[host(&from)], to.as_path(), Transfer::Copy)?;
        }
        Ok(())
    }

    /// In the place of `/cnb/buildpacks`.
    pub(crate) fn buildpacks(&self) -> HostPath {
        self.dir.join("buildpacks")
    }

    /// In the place of `/platform`.
    pub(crate) fn platform(&self) -> HostPath {
        self.dir.join("platform")
    }

    /// In the place of `/platform/bindings`.
    pub(crate) fn bindings(&self) -> HostPath {
        self.platform().join("bindings")
    }

    /// In the place of `/home/cnb`.
    pub(crate) fn home(&self) -> HostPath {
        self.dir.join("home")
    }

    /// For temporary files of the lifecycle.
    pub(crate) fn tmp(&self) -> HostPath {
        self.dir.join("tmp")
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // What cannot be deleted is named by the next build, which needs the folders to be free.
        let _ = atomic::remove_tree(self.dir.as_path());
        for (path, there) in &self.fixed {
            if !*there {
                let _ = atomic::remove_tree(path);
                continue;
            }
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                let _ = atomic::remove_tree(&entry.path());
            }
        }
    }
}

/// A name below `/tmp` that nobody has; making the directory fails if somebody was faster.
fn scratch() -> HostPath {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    HostPath::absolute(Path::new("/tmp").join(format!("cnb-build-{}-{now}", std::process::id())))
}

fn make_dir(dir: &HostPath) -> Result<(), FsError> {
    let on_error = |e| FsError::on("create the directory", dir.as_path())(e);
    fs::create_dir(dir.as_path()).map_err(on_error)?;
    // Whatever the umask: the build user must be able to pass.
    fs::set_permissions(dir.as_path(), fs::Permissions::from_mode(0o755)).map_err(on_error)
}
