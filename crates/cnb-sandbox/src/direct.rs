//! Running a command in our own world: no isolation at all, as the `lifecycle` binary does in its container.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags};

use crate::linux::execute_exactly;
use crate::sandbox::request;
use crate::wire::Streams;
use crate::{Exit, Invocation, Run, drain};

/// Runs commands as plain child processes.
///
/// What a command leaves running is left alone, as the Go lifecycle does; it does not keep the caller waiting.
/// To have it ended, use [`Sandbox::without_isolation`](crate::Sandbox::without_isolation).
#[derive(Clone, Copy, Debug)]
pub struct Direct;

impl Run for Direct {
    fn run(&self, invocation: &Invocation, output: &mut dyn FnMut(&[u8])) -> io::Result<Exit> {
        // Our world is the guest's: the paths are the same ones.
        let mut command = Command::new(invocation.program.as_os_str());
        let request = request(invocation.argv(), &invocation.env, &invocation.cwd, Streams::Merged)?;
        execute_exactly(&mut command, &request)?;
        command.current_dir(invocation.cwd.as_os_str()).stdin(Stdio::null());
        let (ours, theirs) = io::pipe()?;
        command.stdout(theirs.try_clone()?).stderr(theirs);
        let mut child = command.spawn()?;
        // The command holds the writing ends; without closing them the pipe would never end.
        drop(command);
        let pid = Pid::from_child(&child);
        let watched = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
        let drained = watched.and_then(|handle| drain::until_ended(&ours, handle.as_fd(), output));
        let status = child.wait()?;
        drained?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        })
    }
}
