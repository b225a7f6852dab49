//! podman 4.3 with storage of its own, as a command and as a service.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::folder::Folder;
use super::service::Service;
use crate::peers;

/// What it needs where limits cannot be raised and cgroups are not delegated.
const CONFIG: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// A Podman engine. Dropping it ends it and deletes all that it holds.
#[derive(Debug)]
pub struct Podman {
    service: Option<Service>,
    folder: Folder,
}

impl Podman {
    /// Returns whether it can be tried: as root, with its programs. Where one is missing, the test is skipped, but
    /// fails in CI.
    #[track_caller]
    pub fn is_available() -> bool {
        peers::available_to_root(&["podman", "runc"])
    }

    /// Makes storage; nothing runs yet.
    pub fn start() -> io::Result<Self> {
        let folder = Folder::make()?;
        fs_err::write(folder.join("containers.conf"), CONFIG)?;
        Ok(Self { service: None, folder })
    }

    /// Makes storage and starts `podman system service`, which is compatible with Docker's API; it answers when
    /// this returns.
    pub fn serve() -> io::Result<Self> {
        let mut podman = Self::start()?;
        let socket = podman.folder.join("podman.sock");
        let command =
            podman.command(&["system", "service", "--time=0", &format!("unix://{}", socket.display())]);
        let log = podman.folder.join("podman.log");
        podman.service = Some(Service::start(command, socket, &log)?);
        Ok(podman)
    }

    /// The socket of its API; `None` unless it [serves](Self::serve).
    pub fn socket(&self) -> Option<PathBuf> {
        self.service.as_ref().map(|service| service.socket().to_owned())
    }

    /// Returns a `podman` command with this storage.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(["--root", "root", "--runroot", "run", "--tmpdir", "tmp", "--runtime", "runc"]);
        command.args(args).env("CONTAINERS_CONF", "containers.conf").current_dir(self.folder.path());
        command
    }

    /// Runs `podman`, which must succeed; returns its standard output.
    #[track_caller]
    pub fn podman(&self, args: &[&str]) -> String {
        peers::output(&mut self.command(args))
    }

    /// Loads an archive; returns the name of the image.
    ///
    /// # Panics
    /// Where podman names none.
    #[track_caller]
    pub fn load(&self, archive: &Path) -> String {
        let said = peers::output(self.command(&["load", "--quiet", "--input"]).arg(archive));
        let name = said.lines().find_map(|line| line.strip_prefix("Loaded image: "));
        name.expect("podman names what it loaded").to_owned()
    }

    /// Starts a container on the host's network, which is to serve on `port`.
    pub fn begin(&self, image: &str, port: u16) -> io::Result<Child> {
        let port = format!("PORT={port}");
        self.command(&["run", "--rm", "--network", "host", "--env", &port, image]).spawn()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.service = None;
        // Whatever this leaves, the folder takes with it.
        let _ = self.command(&["rmi", "--force", "--all"]).stdout(Stdio::null()).status();
    }
}
