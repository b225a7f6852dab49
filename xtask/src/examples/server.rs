//! An app that runs in the background while other commands talk to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long an app may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// A running app; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` and returns when `port` answers; the error says what happened instead.
    pub(super) fn start(mut command: Command, port: u16, log: &Path) -> Result<Self, String> {
        let mut start = || -> io::Result<Child> {
            let file = fs_err::File::create(log)?.into_file();
            command.stderr(file.try_clone()?).stdout(file).spawn()
        };
        let child = start().map_err(|e| format!("did not start: {e}"))?;
        let mut server = Self { child, log: log.to_path_buf() };
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into();
        let answered = wait(|| match server.child.try_wait() {
            Ok(None) => TcpStream::connect_timeout(&address, PAUSE).is_ok().then_some(Ok(())),
            Ok(Some(status)) => Some(Err(format!("ended with {status} before its port answered"))),
            Err(e) => Some(Err(format!("was lost: {e}"))),
        });
        let late = Err(format!("did not answer on port {port} within {} s", PATIENCE.as_secs()));
        answered.unwrap_or(late).map_err(|what| server.with_log(&what))?;
        Ok(server)
    }

    /// Asks the app to end and waits for it; the error says what it did instead.
    pub(super) fn stop(mut self) -> Result<(), String> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default()) {
            kill_process(pid, Signal::TERM).map_err(|e| self.with_log(&format!("was gone already: {e}")))?;
        }
        match wait(|| self.child.try_wait().ok().flatten()) {
            Some(status) if ended_as_asked(status) => Ok(()),
            Some(status) => Err(self.with_log(&format!("ended with {status} on SIGTERM"))),
            None => Err(self.with_log(&format!("did not end within {} s of SIGTERM", PATIENCE.as_secs()))),
        }
    }

    fn with_log(&self, what: &str) -> String {
        format!("{what}:\n{}", fs_err::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port of the loopback interface that nobody uses.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Returns whether a process ended by itself or by the signal, told as a shell tells it or as the kernel does.
fn ended_as_asked(status: ExitStatus) -> bool {
    let by_signal = std::os::unix::process::ExitStatusExt::signal(&status);
    matches!(status.code(), Some(0 | 143)) || by_signal == Some(Signal::TERM.as_raw())
}

/// Looks until there is something, or patience is at an end.
fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
