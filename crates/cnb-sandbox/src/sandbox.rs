//! The library's side of a sandbox: start it, run commands in it, end it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cnb_fs::{HostPath, Owner, Root};
use rustix::process::Signal;

use crate::config::{Identity, Limits, SandboxConfig};
use crate::drain;
use crate::plan::{self, Plan};
use crate::wire::{self, Bytes, Reply, Request, Start, Streams};
use crate::{Exit, Invocation, Run, SandboxError};

/// A running sandbox; dropping it ends everything in it.
///
/// It holds one process, `cnb-init`, from which every command is forked: commands share the file systems and
/// see each other. Several may run at a time. When the last one that runs has ended, whatever the commands left
/// running is ended too.
#[derive(Debug)]
pub struct Sandbox {
    child: Child,
    link: Arc<Link>,
    root: OwnedFd,
    pub(crate) owner: Option<Owner>,
    next: AtomicU64,
    memory_limited: bool,
}

/// The way to a sandbox's first process.
#[derive(Debug)]
pub(crate) struct Link {
    control: UnixStream,
    /// Held while a frame is sent, so that two do not mix.
    sending: Mutex<()>,
    /// The first process of a process namespace; when it ends, so does everything in the namespace. Without
    /// isolation there is none: that process must live to end the others.
    first: Option<OwnedFd>,
}

/// Ends a sandbox from another thread, or when its time is over.
#[derive(Clone, Debug)]
pub struct Killer(Arc<Link>);

impl Killer {
    /// Ends every process of the sandbox; commands that run are reported as failed to their callers.
    ///
    /// Without isolation the first process is asked to do it, which it does at once.
    pub fn kill(&self) {
        self.0.kill();
    }
}

impl Link {
    pub(crate) fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let _alone = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(&self.control, request, fds)
    }

    fn kill(&self) {
        // The end of file makes the first process clear up; where it holds a process namespace, its own end is
        // quicker and cannot be put off. A process that has gone already is no error.
        let _ = self.control.shutdown(Shutdown::Both);
        if let Some(first) = &self.first {
            let _ = rustix::process::pidfd_send_signal(first, Signal::KILL);
        }
    }
}

impl Sandbox {
    /// Starts a sandbox.
    pub fn start(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = match config.identity {
            Identity::Caller { .. } => None,
            Identity::Host { host_uid: 0, .. } => return Err(SandboxError::Root),
            Identity::Host { host_uid, host_gid, .. } => Some(Owner { uid: host_uid, gid: host_gid }),
        };
        Self::start_plan(&config.init, plan::plan(config, caller), owner)
    }

    /// Starts the same without any isolation: commands run in the caller's own world.
    ///
    /// They are the caller, or `user` when root is the caller. What they leave running is still found and
    /// ended, unless it hides on purpose.
    pub fn without_isolation(
        init: &HostPath,
        user: Option<Owner>,
        limits: Limits,
    ) -> Result<Self, SandboxError> {
        let plan = plan::unisolated(user.map(|u| (u.uid, u.gid)), limits);
        Self::start_plan(init, plan, user)
    }

    fn start_plan(init: &HostPath, plan: Plan, owner: Option<Owner>) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::Start { path: init.clone(), source };
        let (control, theirs) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(init.as_path());
        command.env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.current_dir("/").spawn().map_err(failed)?;
        // The command holds our copy of the other end; without closing it we would never see an end of file.
        drop(command);
        match Self::await_ready(init, &control, plan) {
            Ok((first, root, memory_limited)) => {
                let link = Arc::new(Link { control, sending: Mutex::new(()), first });
                Ok(Self { child, link, root, owner, next: AtomicU64::new(0), memory_limited })
            }
            Err(error) => {
                // Its child follows it, by the death signal.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn await_ready(
        init: &HostPath,
        control: &UnixStream,
        plan: Plan,
    ) -> Result<(Option<OwnedFd>, OwnedFd, bool), SandboxError> {
        let failed = |source| SandboxError::Start { path: init.clone(), source };
        let ended = || SandboxError::Ended { path: init.clone() };
        wire::send(control, &Request::Setup(plan), &[]).map_err(failed)?;
        let mut first = None;
        loop {
            let (reply, mut fds) = wire::receive::<Reply>(control).map_err(failed)?.ok_or_else(ended)?;
            match (reply, fds.pop()) {
                (Reply::Forked, Some(handle)) => first = Some(handle),
                (Reply::Ready { memory_limited }, Some(root)) => {
                    return Ok((first, root, memory_limited));
                }
                (Reply::Failed { step, errno }, _) => {
                    return Err(SandboxError::Step { step, source: io::Error::from_raw_os_error(errno) });
                }
                _ => return Err(ended()),
            }
        }
    }

    /// Returns the guest's file system, all its mounts included.
    ///
    /// The handle is worth something as long as the sandbox lives. Without isolation it is the host's root.
    pub fn root(&self) -> io::Result<Root> {
        Ok(Root::new(self.root.try_clone()?, self.owner))
    }

    /// Returns what ends this sandbox from elsewhere.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.link))
    }

    /// Returns the number, as this machine counts, of the process from which all others of the sandbox descend.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns whether the limit on memory holds, which needs a delegated version 2 control group.
    pub fn memory_is_limited(&self) -> bool {
        self.memory_limited
    }

    /// Sends a command to the first process and waits until it runs.
    pub(crate) fn begin(&self, mut start: Start, streams: &[BorrowedFd<'_>]) -> io::Result<Begun> {
        start.id = self.next.fetch_add(1, Ordering::Relaxed);
        let id = start.id;
        let (answers, theirs) = UnixStream::pair()?;
        let fds: Vec<_> = std::iter::once(theirs.as_fd()).chain(streams.iter().copied()).collect();
        self.link.send(&Request::Start(start), &fds).map_err(|_| drain::gone())?;
        drop(fds);
        drop(theirs);
        match wire::receive::<Reply>(&answers)? {
            Some((Reply::Started, mut fds)) => {
                Ok(Begun { id, link: Arc::clone(&self.link), answers, far_end: fds.pop() })
            }
            Some((Reply::Failed { step, errno }, _)) => Err(not_started(&step, errno)),
            _ => Err(drain::gone()),
        }
    }
}

/// A command that runs, with the library's ends of what connects to it.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) id: u64,
    pub(crate) link: Arc<Link>,
    pub(crate) answers: UnixStream,
    pub(crate) far_end: Option<OwnedFd>,
}

fn not_started(step: &str, errno: i32) -> io::Error {
    let error = io::Error::from_raw_os_error(errno);
    if step.starts_with("execute") {
        // As `execve` gave it, so that callers can tell a missing interpreter line from a missing file.
        return error;
    }
    io::Error::new(error.kind(), format!("failed to {step}: {error}"))
}

/// Turns an invocation into a request.
pub(crate) fn request<'a>(
    argv: impl Iterator<Item = &'a std::ffi::OsStr>,
    env: &std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString>,
    cwd: &cnb_fs::GuestPath,
    streams: Streams,
) -> io::Result<Start> {
    let text = |text: &std::ffi::OsStr| {
        if text.as_bytes().contains(&0) {
            let message = format!("`{}` contains a NUL byte", text.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Bytes::from(text))
    };
    let argv = argv.map(text).collect::<io::Result<_>>()?;
    let mut pairs = Vec::new();
    for (name, value) in env {
        pairs.push(Bytes([&text(name)?.0, b"=".as_slice(), &text(value)?.0].concat()));
    }
    let cwd = text(cwd.as_os_str())?;
    Ok(Start { id: 0, argv, env: pairs, cwd, search: false, streams, window: None })
}

impl Run for Sandbox {
    fn run(&self, invocation: &Invocation, output: &mut dyn FnMut(&[u8])) -> io::Result<Exit> {
        let start = request(invocation.argv(), &invocation.env, &invocation.cwd, Streams::Merged)?;
        let begun = self.begin(start, &[])?;
        let far_end = begun.far_end.ok_or_else(drain::gone)?;
        drain::until_ended(&far_end, begun.answers.as_fd(), output)?;
        match wire::receive::<Reply>(&begun.answers)? {
            Some((Reply::Ended(end), _)) => Ok(end.into()),
            _ => Err(drain::gone()),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.link.kill();
        // The process outside ends once the namespace is empty, so after this nothing is left.
        let _ = self.child.wait();
    }
}
