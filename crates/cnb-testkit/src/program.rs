//! Executable files made by tests.

use std::io;
use std::path::Path;
use std::process::Command;

/// Writes an executable file with `text` to `path`, parents included.
///
/// It is another process that writes it. Were it this one, a child that another test starts at that moment
/// would inherit the descriptor, and until that child has executed its own program, executing this one fails
/// with "text file busy".
pub fn program(path: &Path, text: &str) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(parent)?;
    let mut draft = path.as_os_str().to_os_string();
    draft.push(".draft");
    fs_err::write(&draft, text)?;
    let status =
        Command::new("install").args(["-m", "755"]).args([draft.as_os_str(), path.as_os_str()]).status()?;
    fs_err::remove_file(&draft)?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("`install` failed with {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_can_be_run_at_once_while_others_are_started() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let dir = dir.path();
                scope.spawn(move || {
                    for n in 0..20 {
                        let path = dir.join(format!("{thread}/{n}"));
                        program(&path, "#!/bin/sh\nexit 3\n").unwrap();
                        assert_eq!(Command::new(&path).status().unwrap().code(), Some(3));
                    }
                });
            }
        });
        assert_eq!(fs_err::read_dir(dir.path().join("0")).unwrap().count(), 20);
    }
}
