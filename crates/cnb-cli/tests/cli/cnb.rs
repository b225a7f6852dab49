//! Runs the `cnb` program as a user would, in folders of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder to work in, and one for images and caches; both go with it.
pub(crate) struct Cnb {
    folder: tempfile::TempDir,
}

/// What a program left behind when it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Cnb {
    /// Makes the folders.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        fs_err::create_dir(folder.path().join("app")).expect("a new folder");
        Self { folder }
    }

    /// Returns the folder in which commands run.
    pub(crate) fn app(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    /// Writes a file of the folder in which commands run.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.app().join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(&path)).expect("a new folder");
        fs_err::write(path, text).expect("a new file");
    }

    /// Returns `cnb` with nothing but these folders around it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnb"));
        command.env_clear().env("CNB_HOME", self.folder.path().join("home")).current_dir(self.app());
        command.env("DOCKER_HOST", "unix:///nowhere").env("CONTAINER_HOST", "unix:///nowhere");
        command.stdin(Stdio::null());
        command
    }

    /// Runs `cnb` with the words of `line` as arguments.
    pub(crate) fn run(&self, line: &str) -> Transcript {
        self.run_with(line, std::iter::empty::<(&str, &str)>())
    }

    /// Runs `cnb` with variables added to its environment.
    pub(crate) fn run_with<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &self,
        line: &str,
        env: impl IntoIterator<Item = (K, V)>,
    ) -> Transcript {
        let output =
            self.command().args(line.split_whitespace()).envs(env).output().expect("a program that starts");
        Transcript::of(&output, self.folder.path())
    }
}

impl Transcript {
    fn of(output: &Output, folder: &Path) -> Self {
        let folder = folder.to_string_lossy();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(folder.as_ref(), "$TMP");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// Claims that `line` is refused with exit code 2 and this text, and prints nothing on standard output.
#[track_caller]
pub(crate) fn refuse(line: &str, stderr: &str) {
    let found = Cnb::new().run(line);
    assert_eq!(found, Transcript { code: 2, stdout: String::new(), stderr: stderr.to_owned() });
}
