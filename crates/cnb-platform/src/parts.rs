//! The programs that this library carries, written to disk once.
//!
//! `build.rs` makes them: the launcher that every app image gets, the sandbox's init, and the bundled
//! buildpacks. Their folder is named after their content, so a new version never meets an old one's files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cnb_fs::{FsError, HostPath, atomic};
use cnb_spec::buildpack::buildpack_toml::BuildpackDescriptor;

mod table {
    use super::Part;
    include!(concat!(env!("OUT_DIR"), "/parts.rs"));
}

/// A file that is carried.
struct Part {
    path: &'static str,
    bytes: &'static [u8],
    executable: bool,
}

/// The parts on disk.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The sandbox's init.
    pub init: HostPath,
    /// The launcher.
    pub launcher: HostPath,
    /// The bundled buildpacks, one folder each.
    pub buildpacks: Vec<BundledBuildpack>,
}

/// A buildpack that is carried.
#[derive(Clone, Debug)]
pub(crate) struct BundledBuildpack {
    /// Its folder.
    pub dir: HostPath,
    /// What its descriptor says.
    pub descriptor: BuildpackDescriptor,
}

/// Returns the key that names these parts: it changes with their content.
pub(crate) fn key() -> &'static str {
    table::KEY
}

/// Writes the parts below `dir` unless they are there.
pub(crate) fn unpack(dir: &HostPath) -> Result<Parts, FsError> {
    let folder = dir.join(table::KEY);
    if !folder.as_path().exists() {
        write_all(dir.as_path(), folder.as_path())?;
    }
    let mut buildpacks = Vec::new();
    for part in table::PARTS.iter().filter(|p| p.path.ends_with("buildpack.toml")) {
        let path = folder.join(part.path);
        let bad = |e: Box<dyn std::error::Error + Send + Sync>| {
            FsError::on("read", path.as_path())(std::io::Error::other(e))
        };
        let text = std::str::from_utf8(part.bytes).map_err(|e| bad(e.into()))?;
        let descriptor = toml::from_str(text).map_err(|e| bad(e.into()))?;
        buildpacks.push(BundledBuildpack {
            dir: HostPath::absolute(path.as_path().parent().unwrap_or(Path::new("/"))),
            descriptor,
        });
    }
    Ok(Parts { init: folder.join("bin/cnb-init"), launcher: folder.join("bin/launcher"), buildpacks })
}

/// Writes everything to a folder beside and renames it: others see all parts or none.
fn write_all(dir: &Path, folder: &Path) -> Result<(), FsError> {
    fs::create_dir_all(dir).map_err(FsError::on("create the directory", dir))?;
    let temporary = atomic::beside(folder);
    let write = || -> std::io::Result<()> {
        for part in table::PARTS {
            let path = temporary.join(part.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs_err::write(&path, part.bytes)?;
            fs::set_permissions(
                &path,
                fs::Permissions::from_mode(if part.executable { 0o755 } else { 0o644 }),
            )?;
            // One program is both executables of its buildpack; it tells them apart by its name.
            if path.ends_with("bin/buildpack") {
                symlink("buildpack", path.with_file_name("detect"))?;
                symlink("buildpack", path.with_file_name("build"))?;
            }
        }
        Ok(())
    };
    write().map_err(FsError::on("unpack the parts to", &temporary))?;
    crate::workdir::let_read(&temporary)?;
    match fs::rename(&temporary, folder) {
        Ok(()) => Ok(()),
        // Another process was faster: its files are the same.
        Err(_) if folder.exists() => atomic::remove_tree(&temporary),
        Err(e) => Err(FsError::on("rename", &temporary)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_unpacked_once_and_executable() {
        let dir = tempfile::tempdir().unwrap();
        let home = HostPath::absolute(dir.path().join("parts"));
        let parts = unpack(&home).unwrap();
        let ids: Vec<_> = parts.buildpacks.iter().map(|b| b.descriptor.buildpack.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "cnb/procfile",
                "cnb/static",
                "cnb/nodejs",
                "cnb/go",
                "cnb/python",
                "cnb/rust",
                "cnb/java",
                "cnb/shell"
            ]
        );
        for file in [&parts.launcher, &parts.init, &parts.buildpacks[0].dir.join("bin/detect")] {
            assert_eq!(fs::metadata(file.as_path()).unwrap().permissions().mode() & 0o777, 0o755, "{file}");
        }
        let before = fs::metadata(parts.init.as_path()).unwrap().modified().unwrap();
        assert_eq!(fs::metadata(unpack(&home).unwrap().init.as_path()).unwrap().modified().unwrap(), before);
        assert_eq!(fs::read_dir(home.as_path()).unwrap().count(), 1);
    }
}
