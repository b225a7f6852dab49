//! A server of an engine: ready when it answers on its socket, ended by its own id.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::wait_for;

/// How long it may take to start.
const TO_START: Duration = Duration::from_secs(60);

/// How long it may take to end before it is killed.
const TO_END: Duration = Duration::from_secs(20);

/// A process that serves the Engine API on a socket. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    socket: PathBuf,
}

impl Service {
    /// Starts `command`, whose words go to `log`; returns when `socket` answers.
    pub(super) fn start(mut command: Command, socket: PathBuf, log: &Path) -> io::Result<Self> {
        let file = fs_err::File::create(log)?.into_parts().0;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut service = Self { child: command.spawn()?, socket };
        let mut ended = false;
        let up = wait_for(TO_START, || {
            ended = service.child.try_wait().is_ok_and(|status| status.is_some());
            ended || answers(&service.socket).is_ok_and(|answers| answers)
        });
        if up && !ended {
            return Ok(service);
        }
        let program = command.get_program().display();
        let said = fs_err::read_to_string(log).unwrap_or_default();
        Err(io::Error::other(format!("`{program}` did not start: {said}")))
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nobody can be told when one of these fails; what is left fails the test that looks for it.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if !wait_for(TO_END, || self.child.try_wait().is_ok_and(|status| status.is_some())) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Returns whether the Engine API answers.
fn answers(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1000).read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}
