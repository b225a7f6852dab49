//! dockerd 20.10 without a bridge, a firewall or anything else of the host's.

use std::io;
use std::path::Path;
use std::process::{Child, Command};

use super::folder::Folder;
use super::service::Service;
use crate::peers;

/// A Docker engine. Dropping it ends it and deletes all that it holds.
#[derive(Debug)]
pub struct Dockerd {
    // Dropped in this order: the engine, then its folder.
    service: Service,
    folder: Folder,
}

impl Dockerd {
    /// Returns whether it can be tried: as root, with its programs. Where one is missing, the test is skipped, but
    /// fails in CI.
    #[track_caller]
    pub fn is_available() -> bool {
        peers::available_to_root(&["dockerd", "docker"])
    }

    /// Starts an engine; it answers when this returns.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts an engine with more options, such as another address with TLS.
    pub fn start_with(options: &[String]) -> io::Result<Self> {
        let folder = Folder::make()?;
        let socket = folder.join("docker.sock");
        let mut command = Command::new("dockerd");
        // Its containerd leaves a dump among the temporary files where it is slow to end.
        command.env("TMPDIR", folder.path());
        command
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("-p")
            .arg(folder.join("docker.pid"))
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .args(["--iptables=false", "--bridge=none", "--ip-forward=false", "--storage-driver=overlay2"])
            .args(options);
        let service = Service::start(command, socket, &folder.join("dockerd.log"))?;
        Ok(Self { service, folder })
    }

    /// The socket of its API.
    pub fn socket(&self) -> &Path {
        self.service.socket()
    }

    /// Returns a `docker` command that talks to it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(args);
        command.current_dir(self.folder.path());
        command
    }

    /// Runs `docker`, which must succeed; returns its standard output.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        peers::output(&mut self.command(args))
    }

    /// Loads an archive; returns what docker said.
    #[track_caller]
    pub fn load(&self, archive: &Path) -> String {
        peers::output(self.command(&["load", "--input"]).arg(archive))
    }

    /// Starts a container on the host's network, which is to serve on `port`.
    pub fn begin(&self, image: &str, port: u16) -> io::Result<Child> {
        let port = format!("PORT={port}");
        self.command(&["run", "--rm", "--network", "host", "--env", &port, image]).spawn()
    }
}
