//! Directories whose files are environment variables: `<platform>/env`, `<build-config>/env`, a layer's
//! `env`, `env.build` and `env.launch`.
//!
//! Buildpack Interface Specification, "Environment Variable Modification Rules"; requirements A67, A68, C9,
//! C11, C18 to C23.

use std::ffi::{OsStr, OsString};

use cnb_fs::{FsError, GuestPath, Kind, Root};
use cnb_spec::env::{self, Action, Env, FileName, USER_PATH_VARIABLES};
use cnb_spec::fault;

/// The most bytes that one variable may have; beyond it no command could be started anyway.
const LIMIT: u64 = 16 << 20;

/// Returns the files of an env directory in byte order, with their content.
///
/// Directories and links to directories are no files; a missing directory has none. A link that leads
/// nowhere, a FIFO and a file that cannot be read are errors (requirements C11, J27).
pub fn read(root: &Root, dir: &GuestPath) -> Result<Vec<(OsString, OsString)>, FsError> {
    use std::os::unix::ffi::OsStringExt;
    let mut files = Vec::new();
    for entry in root.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.kind == Kind::Dir || (entry.kind == Kind::Link && root.is_dir(&path)?) {
            continue;
        }
        files.push((entry.name, OsString::from_vec(root.read(&path, LIMIT)?)));
    }
    Ok(files)
}

/// Applies an env directory with suffix rules to `env`; `bare` is what a name without a suffix does.
///
/// A delimiter counts only for files of its own directory (Δ38).
pub fn apply(root: &Root, dir: &GuestPath, bare: Action, env: &mut Env) -> Result<(), FsError> {
    for (name, value) in read(root, dir)? {
        let FileName::Value(variable, action) = env::file_name(&name, bare) else { continue };
        let delimiter = match action {
            Action::Append | Action::Prepend | Action::PrependPath => delimiter(root, dir, &variable),
            Action::Default | Action::Override => None,
        };
        let (action, delimiter) = match (action, delimiter) {
            (Action::PrependPath, Some(given)) => (Action::Prepend, given),
            (action, given) => (action, given.unwrap_or_default()),
        };
        env::modify(env, &variable, action, &value, &delimiter);
    }
    Ok(())
}

/// Applies the user's variables in `<platform>/env` to `env`.
///
/// The whole file name is the name of the variable; the path variables get the value in front, all others
/// are replaced (requirements A67, C9).
pub fn apply_user(root: &Root, dir: &GuestPath, env: &mut Env) -> Result<(), FsError> {
    for (name, value) in read(root, dir)? {
        let is_path = USER_PATH_VARIABLES.iter().any(|path| name == OsStr::new(path));
        let action =
            if is_path && !fault::is("user-path-replaces") { Action::Prepend } else { Action::Override };
        env::modify(env, &name, action, &value, OsStr::new(":"));
    }
    Ok(())
}

fn delimiter(root: &Root, dir: &GuestPath, variable: &OsStr) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    let mut name = variable.to_os_string();
    name.push(".delim");
    // As in the Go lifecycle, a delimiter that cannot be read is none.
    root.read(&dir.join(name), LIMIT).ok().map(OsString::from_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::test_world as world;

    fn write(root: &Root, name: &str, value: &str) {
        root.write(&GuestPath::new("/e").join(name), value.as_bytes(), 0o644).unwrap();
    }

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn a_delimiter_serves_the_files_of_its_own_directory() {
        let (_dir, root) = world();
        write(&root, "A.append", "new");
        write(&root, "A.delim", "-");
        write(&root, "B.prepend", "new");
        write(&root, "C.", "new");
        write(&root, "C.delim", "+");
        let mut found = env(&[("A", "old"), ("B", "old"), ("C", "old")]);
        apply(&root, &GuestPath::new("/e"), Action::Override, &mut found).unwrap();
        assert_eq!(found, env(&[("A", "old-new"), ("B", "newold"), ("C", "new+old")]));
    }

    #[test]
    fn user_variables_replace_all_but_paths() {
        let (_dir, root) = world();
        write(&root, "PATH", "/mine");
        write(&root, "CPATH", "/c");
        write(&root, "A.append", "x\n");
        write(&root, "B", "new");
        let mut found = env(&[("PATH", "/bin"), ("B", "old")]);
        apply_user(&root, &GuestPath::new("/e"), &mut found).unwrap();
        assert_eq!(found, env(&[("PATH", "/mine:/bin"), ("CPATH", "/c"), ("A.append", "x\n"), ("B", "new")]));
    }

    #[test]
    fn directories_are_skipped_and_a_dangling_link_is_an_error() {
        let (dir, root) = world();
        write(&root, "A", "1");
        root.create_dir_all(&GuestPath::new("/e/sub")).unwrap();
        std::os::unix::fs::symlink("sub", dir.path().join("e/to-sub")).unwrap();
        let found = read(&root, &GuestPath::new("/e")).unwrap();
        assert_eq!(found, [("A".into(), "1".into())]);
        std::os::unix::fs::symlink("nowhere", dir.path().join("e/GONE")).unwrap();
        let error = read(&root, &GuestPath::new("/e")).unwrap_err();
        assert_eq!(error.to_string(), "failed to read `/e/GONE`");
        assert_eq!(read(&root, &GuestPath::new("/none")).unwrap(), []);
    }
}
