//! The process: on a port of its own choice, ready when it says that it listens, ended by its own id.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::wait_for;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it says goes here.
pub(super) const LOG: &str = "registry.log";

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
    storage: PathBuf,
}

impl Process {
    /// Starts it with its storage in `dir`.
    pub(super) fn start(dir: &Path, config: &Value) -> io::Result<Self> {
        let storage = dir.join("storage");
        let mut config = config.clone();
        let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config["http"]["addr"] = json!(unknown);
        config["storage"]["filesystem"] = json!({"rootdirectory": storage});
        let path = dir.join("config.yml");
        fs_err::write(&path, config.to_string())?;
        let log = fs_err::File::create(dir.join(LOG))?.into_parts().0;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Self { child: command.spawn()?, address: unknown, storage };
        let mut said = String::new();
        let mut ended = false;
        let up = wait_for(PATIENCE, || {
            ended = process.child.try_wait().is_ok_and(|status| status.is_some());
            said = fs_err::read_to_string(dir.join(LOG)).unwrap_or_default();
            ended || listens_on(&said).is_some()
        });
        match listens_on(&said) {
            Some(address) if up && !ended => {
                process.address = address;
                Ok(process)
            }
            _ => Err(io::Error::other(format!("`docker-registry` did not start: {said}"))),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn storage(&self) -> &Path {
        &self.storage
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its storage goes with it, so that there is nothing to finish.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the address that the log names once the port is open.
fn listens_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    // The line may be half written.
    let (address, _) = rest.split_once(['"', ','])?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_known_once_the_line_is_whole() {
        let address = Some("127.0.0.1:4567".parse().unwrap());
        assert_eq!(listens_on("level=info msg=\"listening on 127.0.0.1:4567\" go"), address);
        assert_eq!(listens_on("level=info msg=\"listening on 127.0.0.1:4567, tls\""), address);
        assert_eq!(listens_on("level=info msg=\"listening on 127.0.0.1:45"), None);
        assert_eq!(listens_on("level=info msg=\"redis not configured\""), None);
    }
}
