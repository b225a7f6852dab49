//! Finding a program in `PATH`, with the answers of Go's `exec.LookPath` (requirement B108).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::AccessFlags;

use crate::system::{SystemError, reason};

/// Why there is nothing to execute.
#[derive(Debug, thiserror::Error)]
#[error("exec: {name:?}: {reason}")]
pub(crate) struct LookupError {
    name: String,
    reason: String,
}

/// Returns the file to execute for `command`.
///
/// A name with a slash is that file, relative to the current directory; any other is looked up in `path`. What
/// is found through a relative element of `path` is refused: an app would run whatever lies in its directory.
pub(crate) fn find(command: &OsStr, path: &OsStr) -> Result<PathBuf, LookupError> {
    let failed = |reason: String| LookupError { name: command.to_string_lossy().into_owned(), reason };
    let bytes = command.as_bytes();
    if bytes.contains(&b'/') {
        let program = Path::new(command);
        return check(program).map(|()| program.to_path_buf()).map_err(failed);
    }
    let elements = path.as_bytes().split(|b| *b == b':').filter(|_| !path.is_empty());
    let mut found = elements
        .map(|dir| Path::new(OsStr::from_bytes(if dir.is_empty() { b"." } else { dir })).join(command))
        .filter(|program| !matches!(bytes, b"" | b"." | b"..") && check(program).is_ok());
    match found.next() {
        Some(program) if program.is_absolute() => Ok(program),
        Some(_) => Err(failed("cannot run executable found relative to current directory".to_owned())),
        None => Err(failed("executable file not found in $PATH".to_owned())),
    }
}

/// Tells why `program` cannot be executed.
fn check(program: &Path) -> Result<(), String> {
    let found = fs::metadata(program).map_err(|e| SystemError::new("stat", program, &e).to_string())?;
    if found.is_dir() {
        return Err(reason(&io::Error::from(nix::Error::EISDIR)));
    }
    match nix::unistd::faccessat(AT_FDCWD, program, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        // Old kernels and some container runtimes do not have the call: execution itself will tell.
        Ok(()) | Err(nix::Error::ENOSYS | nix::Error::EPERM | nix::Error::EINVAL) => Ok(()),
        Err(e) => Err(reason(&e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, path: &str, expected: &str) {
        let found = find(OsStr::new(command), OsStr::new(path));
        assert_eq!(found.map_or_else(|e| e.to_string(), |p| p.display().to_string()), expected);
    }

    #[test]
    fn names_are_looked_up_in_path_in_order() {
        check("sh", "/nowhere:/bin:/usr/bin", "/bin/sh");
        check("sh", "/usr/bin/:/bin", "/usr/bin/sh");
        for (command, path) in [("nope", "/bin"), ("sh", ""), ("", "/bin"), (".", "/bin"), ("..", "/bin")] {
            check(command, path, &format!("exec: \"{command}\": executable file not found in $PATH"));
        }
    }

    #[test]
    fn odd_names_are_quoted_in_messages() {
        check("a\"\n", "/bin", r#"exec: "a\"\n": executable file not found in $PATH"#);
    }

    #[test]
    fn what_lies_in_the_current_directory_is_refused() {
        // Tests run in the directory of the crate, where `src` is no program and `.` none to find it by.
        check("src", ":.", "exec: \"src\": executable file not found in $PATH");
        let up = format!("{}bin", "../".repeat(20));
        check("sh", &up, "exec: \"sh\": cannot run executable found relative to current directory");
    }

    #[test]
    fn a_name_with_a_slash_is_that_file() {
        check("/bin/sh", "", "/bin/sh");
        check("./nope", "/bin", "exec: \"./nope\": stat ./nope: no such file or directory");
        check("./src", "/bin", "exec: \"./src\": is a directory");
        check("./Cargo.toml", "/bin", "exec: \"./Cargo.toml\": permission denied");
    }
}
