//! One case in a sandbox: bubblewrap, with its own network, fixed paths and real user ids.
//!
//! Nothing of the host can be changed by a case.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::accounts::{Accounts, AccountsError};
use crate::room::{self, ROOM};

/// What every sandbox gets.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The program bubblewrap.
    bwrap: PathBuf,
    /// The folder of the suite's base images and accounts.
    base: PathBuf,
    /// The folder of the lifecycle under test.
    lifecycle: PathBuf,
    /// The launcher under test.
    launcher: Option<PathBuf>,
    /// The command of the platform under test.
    platform: Option<PathBuf>,
    /// This program, and the arguments that make it work inside.
    harness: Reentry,
    /// How user ids other than our own are had.
    accounts: Accounts,
    /// What every step gets into its environment, beside what its case says.
    env: BTreeMap<String, String>,
}

/// How this program is started again.
#[derive(Clone, Debug)]
pub struct Reentry {
    /// The executable file.
    pub program: PathBuf,
    /// What tells it to call [`crate::inside::main`].
    pub args: Vec<String>,
}

/// Why there is no sandbox, or a case could not be run to its end in one.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A program that every case needs is missing.
    #[error("`{program}` is missing: install the package `{package}`")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package.
        package: &'static str,
    },
    /// There are no user ids to give to cases.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// A file or process of ours failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The sandbox did not start, or the case could not be run inside.
    #[error("did not run: {0}")]
    DidNotRun(String),
}

/// Where a system keeps its programs and their settings; a case sees these of the host, read-only, and nothing else:
/// neither sockets of engines nor credentials, and no mounts that come and go.
const SYSTEM: &[&str] =
    &["bin", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr"];

/// Folders that programs expect; a case has its own.
const EXPECTED: &[&str] = &["/root", "/run", "/var/tmp"];

impl Sandbox {
    /// Makes sandboxes for the lifecycle in the folder `lifecycle`, with the base images in `<suite>/base`.
    ///
    /// # Errors
    /// If a program or a file is missing, or this user has no range of user ids.
    pub fn new(
        suite: &Path,
        lifecycle: &Path,
        launcher: Option<&Path>,
        harness: Reentry,
    ) -> Result<Self, SandboxError> {
        let find =
            |program, package| room::program(program).ok_or(SandboxError::Missing { program, package });
        let bwrap = find("bwrap", "bubblewrap")?;
        find("docker-registry", "docker-registry")?;
        Ok(Self {
            bwrap,
            base: fs::canonicalize(suite.join("base"))?,
            lifecycle: fs::canonicalize(lifecycle)?,
            launcher: launcher.map(fs::canonicalize).transpose()?,
            platform: None,
            harness,
            accounts: Accounts::of_this_process()?,
            env: BTreeMap::new(),
        })
    }

    /// Puts a variable into the environment of every step, unless a case says otherwise.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts the command of a platform to the cases that are about one.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn with_platform(mut self, command: Option<&Path>) -> std::io::Result<Self> {
        self.platform = command.map(fs::canonicalize).transpose()?;
        Ok(self)
    }

    /// Returns whether there is a platform under test.
    pub fn has_platform(&self) -> bool {
        self.platform.is_some()
    }

    /// Returns whether there is a launcher under test.
    pub fn has_launcher(&self) -> bool {
        self.launcher.is_some()
    }

    /// Returns whether cases run as the host's root, who may read everything.
    pub fn is_roots(&self) -> bool {
        self.accounts.are_ours()
    }

    /// Runs the case in `folder`; what is to be compared is left in `out`.
    ///
    /// # Errors
    /// If the sandbox does not start, or a step cannot be started or does not end.
    pub fn run(&self, folder: &Path, out: &Path) -> Result<(), SandboxError> {
        let room = tempfile::Builder::new().prefix("spec-test-").tempdir()?;
        let env = serde_json::to_vec(&self.env).map_err(std::io::Error::from)?;
        std::io::Write::write_all(&mut fs::File::create(out.join(room::ENV))?, &env)?;
        for dir in ROOM.iter().chain(&["tmp"]) {
            fs::create_dir(room.path().join(dir))?;
        }
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        fs::set_permissions(room.path().join("tmp"), open)?;
        let ran = self.execute(&self.arguments(folder, room.path(), out));
        // What belongs to other user ids is theirs to remove.
        let remove = ["--cap-add", "ALL", "--dev-bind", "/", "/", "rm", "-rf", "--one-file-system"]
            .map(OsString::from);
        let removed = if self.accounts.are_ours() {
            Ok(())
        } else {
            let rooms = fs::read_dir(room.path())?.flatten().map(|entry| entry.path().into_os_string());
            self.execute(&remove.into_iter().chain(rooms).collect::<Vec<_>>())
        };
        ran.and(removed).and(room.close().map_err(SandboxError::Io))
    }

    fn execute(&self, args: &[OsString]) -> Result<(), SandboxError> {
        let (mut reader, writer) = std::io::pipe()?;
        let mut command = Command::new(&self.bwrap);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = self.accounts.spawn(command, args);
        let mut said = Vec::new();
        reader.read_to_end(&mut said)?;
        let status = child?.wait()?;
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let last = said.trim().lines().next_back().map_or_else(|| status.to_string(), str::to_owned);
        Err(SandboxError::DidNotRun(last))
    }

    /// Returns the arguments of bubblewrap.
    fn arguments(&self, folder: &Path, room: &Path, out: &Path) -> Vec<OsString> {
        let mut args = Arguments::default();
        args.flags(&[
            "--unshare-net",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--die-with-parent",
        ]);
        args.flags(&["--clearenv", "--cap-add", "ALL", "--proc", "/proc", "--dev", "/dev"]);
        args.mount("--bind", &room.join("tmp"), "/tmp");
        for top in SYSTEM.iter().map(|name| Path::new("/").join(name)) {
            match top.read_link() {
                Ok(target) => args.mount("--symlink", &target, &top),
                Err(_) if top.exists() => args.mount("--ro-bind", &top, &top),
                Err(_) => {}
            }
        }
        for dir in EXPECTED {
            args.flags(&["--dir", dir]);
        }
        // Extenders refuse to change a file system that is no container's; this is how they tell.
        args.mount("--ro-bind", Path::new("/dev/null"), "/.dockerenv");
        for dir in ROOM {
            args.mount("--bind", &room.join(dir), Path::new("/").join(dir));
        }
        args.mount("--ro-bind", &self.base.join("passwd"), "/etc/passwd");
        args.mount("--ro-bind", &self.base.join("group"), "/etc/group");
        args.mount("--ro-bind", &self.base, room::BASE);
        args.mount("--ro-bind", &self.harness.program, room::HARNESS);
        args.mount("--ro-bind", folder, room::CASE);
        args.mount("--ro-bind", &self.lifecycle, room::LIFECYCLE);
        if let Some(launcher) = &self.launcher {
            args.mount("--ro-bind", launcher, room::LAUNCHER);
        }
        if let Some(platform) = &self.platform {
            args.mount("--ro-bind", platform, room::PLATFORM);
        }
        args.mount("--bind", out, room::OUT);
        args.flags(&["--setenv", "PATH", room::PATH, room::HARNESS]);
        args.0.extend(self.harness.args.iter().map(OsString::from));
        args.0
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    fn mount(&mut self, how: &str, from: &Path, to: impl AsRef<Path>) {
        self.0.extend([how.into(), from.into(), to.as_ref().into()]);
    }
}
