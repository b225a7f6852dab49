//! The folder of an engine: what is mounted there goes before it does.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary folder. Dropping it unmounts what is mounted below it and deletes it.
#[derive(Debug)]
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    /// Makes one; the path is short, since sockets lie in it.
    pub(super) fn make() -> io::Result<Self> {
        tempfile::Builder::new().prefix("cnb-engine-").tempdir().map(Self)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // The last that was mounted goes first.
        for point in mount_points(&mounts).filter(|point| Path::new(point).starts_with(self.path())).rev() {
            // Nobody can be told when it fails; what is left fails the gate, which looks for mounts.
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
    }
}

fn mount_points(table: &str) -> impl DoubleEndedIterator<Item = &str> {
    table.lines().filter_map(|line| line.split(' ').nth(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::is_root;

    #[test]
    fn mount_points_are_the_fifth_column() {
        let table = "36 35 98:0 / /mnt rw - ext4 /dev/root rw\n37 36 0:1 / /mnt/a rw - tmpfs tmpfs rw\n";
        assert_eq!(mount_points(table).collect::<Vec<_>>(), ["/mnt", "/mnt/a"]);
    }

    #[test]
    fn a_folder_goes_although_something_is_mounted_in_it() {
        let folder = Folder::make().unwrap();
        let (path, point) = (folder.path().to_owned(), folder.join("mounted"));
        fs_err::create_dir(&point).unwrap();
        if is_root() {
            let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&point).status().unwrap();
            assert!(mounted.success());
        }
        drop(folder);
        assert!(!path.exists());
        assert!(!fs_err::read_to_string("/proc/self/mountinfo").unwrap().contains(path.to_str().unwrap()));
    }
}
