//! The inputs of a case, with modes that do not depend on how the suite was checked out.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

/// Copies the contents of `from`, if it is there, into `to`, which gets the mode of a folder: 0755. Files that
/// their owner may execute become 0755, others 0644; links stay links.
pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, PermissionsExt::from_mode(0o755))?;
    if !from.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&from, &to)?;
        } else if kind.is_symlink() {
            fs::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else {
            let mut bytes = Vec::new();
            std::io::copy(&mut fs::File::open(&from)?, &mut bytes)?;
            let executable = fs::metadata(&from)?.permissions().mode() & 0o100 != 0;
            write(&to, &bytes, if executable { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

/// Writes a file with a mode.
pub(super) fn write(file: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    fs::File::create(file)?.write_all(bytes)?;
    fs::set_permissions(file, PermissionsExt::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_checkout_does_not_make_inputs_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("sub")).unwrap();
        write(&from.join("sub/tool"), b"x", 0o555).unwrap();
        write(&from.join("text"), b"y", 0o444).unwrap();
        fs::os::unix::fs::symlink("nowhere", from.join("link")).unwrap();
        fs::set_permissions(from.join("sub"), PermissionsExt::from_mode(0o555)).unwrap();
        let to = dir.path().join("to");
        copy(&from, &to).unwrap();
        let mode = |path: &str| fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode("sub"), mode("sub/tool"), mode("text")], [0o755, 0o755, 0o644]);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("nowhere"));
        fs::set_permissions(from.join("sub"), PermissionsExt::from_mode(0o755)).unwrap();
    }
}
