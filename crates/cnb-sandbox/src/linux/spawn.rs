//! Starting one command: everything that needs memory is prepared before the fork.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::wire::{Bytes, Start, Streams, Window};

/// Splits this process in two; the child gets `None`.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: this process has one thread, so the child may do everything that the parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Ends this process without running anything that stands after `main`.
pub(super) fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: always sound; nothing in this process waits to be cleaned up.
    unsafe { libc::_exit(code) }
}

/// Closes all descriptors but the standard streams and `kept`, whoever opened them.
///
/// The caller must not use any other descriptor that it has opened afterwards.
pub(super) fn close_all_but(kept: &impl AsFd) {
    let kept = kept.as_fd().as_raw_fd().cast_unsigned();
    // SAFETY: only numbers are passed; that the owners of closed descriptors are not used again is what the
    // callers see to.
    unsafe {
        if kept > 3 {
            libc::syscall(libc::SYS_close_range, 3, kept - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, kept + 1, libc::c_uint::MAX, 0);
    }
}

/// A command that runs, and the library's end of its streams.
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) far_end: Option<OwnedFd>,
}

/// Why a command could not be started.
pub(super) struct NotStarted {
    pub(super) step: String,
    pub(super) error: io::Error,
}

impl NotStarted {
    fn at(step: &str) -> impl FnOnce(io::Error) -> Self {
        let step = step.to_owned();
        |error| Self { step, error }
    }
}

/// Starts a command; `inherited` are the caller's own streams.
pub(super) fn start(request: &Start, inherited: &[OwnedFd]) -> Result<Started, NotStarted> {
    let streams = Open::new(request, inherited).map_err(NotStarted::at("open the streams"))?;
    let program = Program::new(request).map_err(NotStarted::at("prepare the command"))?;
    let (told, tell) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| NotStarted::at("start the command")(e.into()))?;
    let Some(pid) = fork().map_err(NotStarted::at("start the command"))? else {
        let (stage, errno) = program.become_it(&streams);
        let _ = rustix::io::write(&tell, &[stage as u8]);
        let _ = rustix::io::write(&tell, &errno.to_le_bytes());
        exit_now(127)
    };
    drop(tell);
    // The pipe closes itself when the program is executed; otherwise it says why that failed.
    let mut said = [0; 5];
    let mut length = 0;
    while length < said.len() {
        match rustix::io::read(&told, &mut said[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    if length < said.len() {
        return Ok(Started { pid, far_end: streams.far_end });
    }
    let errno = i32::from_le_bytes([said[1], said[2], said[3], said[4]]);
    let error = io::Error::from_raw_os_error(errno);
    let step = if said[0] == Stage::Directory as u8 {
        format!("enter `{}`", request.cwd.as_os_str().display())
    } else if said[0] == Stage::Execute as u8 {
        let program = request.argv.first().map(Bytes::as_os_str).unwrap_or_default();
        format!("execute `{}`", program.display())
    } else {
        "connect the streams".to_owned()
    };
    Err(NotStarted { step, error })
}

/// The streams of a command, open before the fork.
struct Open {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    terminal: bool,
    far_end: Option<OwnedFd>,
}

impl Open {
    fn new(request: &Start, inherited: &[OwnedFd]) -> io::Result<Self> {
        match (request.streams, inherited) {
            (Streams::Merged, _) => {
                let stdin = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
                // Made here and not by the library, so that it belongs to the guest's user: a command that opens
                // `/dev/stderr` by name is asked for its rights on the pipe.
                let (far_end, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
                let stderr = stdout.try_clone()?;
                Ok(Self { stdin, stdout, stderr, terminal: false, far_end: Some(far_end) })
            }
            (Streams::Terminal, _) => {
                let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
                let far_end = rustix::pty::openpt(flags)?;
                rustix::pty::unlockpt(&far_end)?;
                if let Some(Window { rows, columns }) = request.window {
                    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    rustix::termios::tcsetwinsize(&far_end, size)?;
                }
                let stdin = rustix::pty::ioctl_tiocgptpeer(&far_end, flags)?;
                let (stdout, stderr) = (stdin.try_clone()?, stdin.try_clone()?);
                Ok(Self { stdin, stdout, stderr, terminal: true, far_end: Some(far_end) })
            }
            (Streams::Inherited, [stdin, stdout, stderr]) => Ok(Self {
                stdin: stdin.try_clone()?,
                stdout: stdout.try_clone()?,
                stderr: stderr.try_clone()?,
                terminal: false,
                far_end: None,
            }),
            (Streams::Inherited, _) => Err(io::Error::from(rustix::io::Errno::BADF)),
        }
    }
}

/// What the child was doing when it failed.
#[derive(Clone, Copy)]
enum Stage {
    Streams,
    Directory,
    Execute,
}

/// A command in the form that `execve` takes.
struct Program {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

impl Program {
    fn new(request: &Start) -> io::Result<Self> {
        let text = |b: &Bytes| CString::new(b.0.as_slice()).map_err(io::Error::other);
        let all = |list: &[Bytes]| list.iter().map(text).collect::<io::Result<Vec<_>>>();
        let name = request.argv.first().ok_or_else(|| io::Error::from(rustix::io::Errno::INVAL))?;
        let candidates = if request.search && !name.0.contains(&b'/') {
            let path = request.env.iter().find_map(|e| e.0.strip_prefix(b"PATH="));
            let path = path.unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
            let dirs = path.split(|b| *b == b':').map(|d| if d.is_empty() { b"." } else { d });
            dirs.map(|dir| text(&Bytes([dir, b"/", &name.0].concat()))).collect::<io::Result<_>>()?
        } else {
            vec![text(name)?]
        };
        Ok(Self { candidates, argv: all(&request.argv)?, env: all(&request.env)?, cwd: text(&request.cwd)? })
    }

    /// Becomes the program; returns only when that fails, with the stage and the error number.
    fn become_it(&self, streams: &Open) -> (Stage, i32) {
        let raw = |e: rustix::io::Errno| e.raw_os_error();
        if let Err(e) = connect(streams) {
            return (Stage::Streams, raw(e));
        }
        reset_signals();
        if let Err(e) = rustix::process::chdir(self.cwd.as_c_str()) {
            return (Stage::Directory, raw(e));
        }
        let argv = pointers(&self.argv);
        let env = pointers(&self.env);
        let mut errno = libc::ENOENT;
        for candidate in &self.candidates {
            // SAFETY: all three are terminated as `execve` wants them, and point into `self`, which outlives them.
            unsafe { libc::execve(candidate.as_ptr(), argv.as_ptr(), env.as_ptr()) };
            match io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::ENOENT | libc::ENOTDIR => {}
                // Remembered, as shells do: another directory may have one that can be executed.
                libc::EACCES => errno = libc::EACCES,
                other => return (Stage::Execute, other),
            }
        }
        (Stage::Execute, errno)
    }
}

fn pointers(list: &[CString]) -> Vec<*const libc::c_char> {
    list.iter().map(|s| CStr::as_ptr(s)).chain([std::ptr::null()]).collect()
}

/// Makes the streams this process's own, in a session of its own.
fn connect(streams: &Open) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    if streams.terminal {
        rustix::process::ioctl_tiocsctty(&streams.stdin)?;
    }
    // All of them lie above 2, since init keeps its own standard streams open.
    let place = |fd: &OwnedFd, at: RawFd| {
        // SAFETY: both are descriptor numbers; whatever stood at 0 to 2 belongs to no owner in this process.
        match unsafe { libc::dup2(fd.as_raw_fd(), at) } {
            -1 => Err(rustix::io::Errno::from_io_error(&io::Error::last_os_error())
                .unwrap_or(rustix::io::Errno::BADF)),
            _ => Ok(()),
        }
    };
    place(&streams.stdin, 0)?;
    place(&streams.stdout, 1)?;
    place(&streams.stderr, 2)?;
    // All others close themselves already; this makes it so even if one were forgotten.
    // SAFETY: only numbers are passed, and descriptors stay open until the program is executed.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// Gives the command the signal settings of a fresh login: nothing ignored, nothing blocked.
fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours; numbers that cannot be set are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: `none` is initialised by `sigemptyset` before it is used; the old mask is not asked for.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Blocks `SIGCHLD` and returns a descriptor that becomes readable when a child has ended.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by `sigemptyset` before it is used; the new descriptor has no other owner.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(std::os::fd::FromRawFd::from_raw_fd(fd)),
        }
    }
}

/// Sends a signal to a process, or with `None` to all that this process can reach.
pub(super) fn signal(pid: Option<Pid>, signal: i32) {
    let pid = pid.map_or(-1, |p| p.as_raw_nonzero().get());
    // SAFETY: only numbers are passed. As process 1 of a namespace, -1 is everything else in it; `serve` uses it
    // nowhere else. A process that has ended just now is no error.
    unsafe { libc::kill(pid, signal) };
}

/// Returns a borrowed view of descriptors, for sending.
pub(super) fn borrow(fd: Option<&OwnedFd>) -> Vec<BorrowedFd<'_>> {
    fd.map(AsFd::as_fd).into_iter().collect()
}
