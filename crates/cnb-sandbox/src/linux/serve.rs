//! Serving commands: start them, answer for them, and leave nothing behind.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::spawn::{self, NotStarted, Started};
use crate::wire::{self, End, Reply, Request, Start};

/// What this process answers for when it clears up.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// Everything else in the process namespace of which it is process 1.
    Namespace,
    /// Its own descendants, in a world that it shares.
    Descendants,
}

struct Running {
    id: u64,
    pid: Pid,
    answers: UnixStream,
}

/// Serves until the library goes away, then ends everything.
pub(super) fn serve(control: &UnixStream, reach: Reach) -> io::Result<()> {
    let mut running = Vec::new();
    // However it ends, what it started ends with it.
    let result = serve_until_closed(control, reach, &mut running);
    clear(reach);
    result
}

fn serve_until_closed(control: &UnixStream, reach: Reach, running: &mut Vec<Running>) -> io::Result<()> {
    let signals = spawn::child_signals()?;
    loop {
        let mut fds = [PollFd::new(&signals, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let [child, asked] = fds.map(|fd| !fd.revents().is_empty());
        if child {
            // What it says is found out by waiting; here it is only emptied.
            let _ = rustix::io::read(&signals, &mut [0; 1024]);
            reap(reach, running);
        }
        if asked {
            match wire::receive(control)? {
                None => return Ok(()),
                Some((Request::Start(request), fds)) => start(&request, fds, running)?,
                Some((Request::Signal { id, signal }, _)) => {
                    if let Some(command) = running.iter().find(|r| r.id == id) {
                        spawn::signal(Some(command.pid), signal);
                    }
                }
                Some((Request::Setup(_), _)) => return Err(io::Error::other("set up already")),
            }
        }
    }
}

fn start(request: &Start, mut fds: Vec<OwnedFd>, running: &mut Vec<Running>) -> io::Result<()> {
    if fds.is_empty() {
        return Err(io::Error::other("no way to answer"));
    }
    let answers = UnixStream::from(fds.remove(0));
    // A library that does not listen any more is no reason to fail the others.
    match spawn::start(request, &fds) {
        Ok(Started { pid, far_end }) => {
            let _ = wire::send(&answers, &Reply::Started, &spawn::borrow(far_end.as_ref()));
            running.push(Running { id: request.id, pid, answers });
        }
        Err(NotStarted { step, error }) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            let _ = wire::send(&answers, &Reply::Failed { step, errno }, &[]);
        }
    }
    Ok(())
}

/// Takes note of all children that have ended.
///
/// When no command is left, everything that the commands left behind is ended before the last one is reported,
/// so that nobody who hears of the end can still meet a process of theirs.
fn reap(reach: Reach, running: &mut Vec<Running>) {
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if let Some(index) = running.iter().position(|r| r.pid == pid) {
            ended.push((running.swap_remove(index), end(status)));
        }
    }
    if running.is_empty() && !ended.is_empty() {
        clear(reach);
    }
    for (command, end) in ended {
        let _ = wire::send(&command.answers, &Reply::Ended(end), &[]);
    }
}

fn end(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Ends and reaps everything within reach.
fn clear(reach: Reach) {
    match reach {
        // Never outside a namespace, where "all" would be all that the user runs.
        Reach::Namespace if rustix::process::getpid() == Pid::INIT => spawn::signal(None, libc::SIGKILL),
        Reach::Namespace => return,
        Reach::Descendants => kill_children(),
    }
    // In a namespace one round is enough: a process that is being killed cannot fork. Elsewhere the children of
    // those that ended have become ours, and are next.
    while let Ok(_) | Err(rustix::io::Errno::INTR) = rustix::process::wait(WaitOptions::empty()) {
        if let Reach::Descendants = reach {
            kill_children();
        }
    }
}

fn kill_children() {
    let me = rustix::process::getpid();
    for pid in children(me) {
        spawn::signal(Some(pid), libc::SIGKILL);
    }
}

/// Lists the children of a process from `/proc`.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = Path::new("/proc").read_dir() else { return Vec::new() };
    let parent = parent.as_raw_nonzero().get();
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse().ok()).and_then(Pid::from_raw) else { continue };
        let Ok(bytes) = cnb_fs::toml_file::read_host_bytes(&entry.path().join("stat"), 4096) else {
            continue;
        };
        // The name in parentheses may hold anything; state and parent follow the last one.
        let stat = String::from_utf8_lossy(&bytes);
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        if fields.split_whitespace().nth(1).and_then(|p| p.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}
