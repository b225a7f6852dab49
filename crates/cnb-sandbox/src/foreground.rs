//! One command in front of the user: with the caller's streams, or with a terminal of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cnb_fs::{GuestPath, Owner};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::sandbox::{Begun, Sandbox, request};
use crate::wire::{self, Reply, Request, Streams, Window};
use crate::{Exit, drain};

/// A command to run in front of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreground {
    /// The program and its arguments; a program without a slash is looked for in the guest, along the `PATH` of
    /// `env`.
    pub argv: Vec<OsString>,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<OsString, OsString>,
    /// The working directory.
    pub cwd: GuestPath,
    /// Whether the command gets a terminal of its own, connected to the caller's; otherwise the caller's standard
    /// streams are the command's.
    pub terminal: bool,
}

/// A command that runs in front of the user.
#[derive(Debug)]
pub struct Session {
    begun: Begun,
    terminal: Option<OwnedFd>,
}

impl Sandbox {
    /// Starts a command in front of the user.
    ///
    /// The error of a program that is not there has the kind [`NotFound`](io::ErrorKind::NotFound), of one that
    /// cannot be executed [`PermissionDenied`](io::ErrorKind::PermissionDenied).
    pub fn foreground(&self, command: &Foreground) -> io::Result<Session> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let streams = if command.terminal { Streams::Terminal } else { Streams::Inherited };
        let argv = command.argv.iter().map(OsString::as_os_str);
        let mut start = request(argv, &command.env, &command.cwd, streams)?;
        start.search = true;
        let mut begun = if command.terminal {
            start.window = tcgetwinsize(&stdin).ok().map(|w| Window { rows: w.ws_row, columns: w.ws_col });
            self.begin(start, &[])?
        } else {
            let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
            if let Some(owner) = self.owner {
                give_pipes(streams, owner)?;
            }
            self.begin(start, &streams)?
        };
        let terminal = begun.far_end.take();
        Ok(Session { begun, terminal })
    }
}

/// Gives the caller's pipes to the guest's user, who may open them again by name (`/dev/stdout`) only then.
///
/// Nothing but pipes: a file that the caller redirects to stays the caller's.
fn give_pipes(streams: [BorrowedFd<'_>; 3], owner: Owner) -> io::Result<()> {
    for stream in streams {
        if FileType::from_raw_mode(fstat(stream)?.st_mode) == FileType::Fifo {
            fchown(stream, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        }
    }
    Ok(())
}

impl Session {
    /// Sends a signal to the command.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.begun.link.send(&Request::Signal { id: self.begun.id, signal }, &[])
    }

    /// Gives the command's terminal the size of the caller's; to be called on `SIGWINCH`.
    pub fn resize(&self) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        tcsetwinsize(terminal, tcgetwinsize(io::stdin())?)?;
        Ok(())
    }

    /// Waits for the command to end, carrying text between the two terminals meanwhile.
    ///
    /// The caller's terminal is in raw mode until this returns, however it returns.
    pub fn wait(&self) -> io::Result<Exit> {
        if let Some(terminal) = &self.terminal {
            let (stdin, stdout) = (io::stdin(), io::stdout());
            let _raw = RawMode::enter(stdin.as_fd());
            carry(terminal, self.begun.answers.as_fd(), stdin.as_fd(), stdout.as_fd())?;
        }
        match wire::receive::<Reply>(&self.begun.answers)? {
            Some((Reply::Ended(end), _)) => Ok(end.into()),
            _ => Err(drain::gone()),
        }
    }
}

/// The caller's terminal in raw mode; dropping it restores what was before.
struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    fn enter(terminal: BorrowedFd<'a>) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Carries input to and output from a terminal until `end` becomes readable, then what output is left.
fn carry(
    terminal: &OwnedFd,
    end: BorrowedFd<'_>,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> io::Result<()> {
    rustix::io::ioctl_fionbio(terminal, true)?;
    let mut buffer = vec![0; 16 << 10];
    // Typed, and not taken by the terminal yet: no more is read meanwhile, and output goes on.
    let mut typed: Vec<u8> = Vec::new();
    let (mut listening, mut talking) = (true, true);
    loop {
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, !typed.is_empty());
        let mut fds = vec![PollFd::new(&end, PollFlags::IN)];
        if talking {
            fds.push(PollFd::new(terminal, wanted));
        }
        let reading = listening && typed.is_empty();
        if reading {
            fds.push(PollFd::new(&input, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let mut events = fds.iter().map(PollFd::revents);
        let ended = events.next().is_some_and(|e| !e.is_empty());
        let from_terminal = if talking { events.next() } else { None }.unwrap_or(PollFlags::empty());
        let from_input = if reading { events.next() } else { None }.unwrap_or(PollFlags::empty());
        if from_terminal.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            talking = pass_on(terminal, &mut buffer, output)? != Passed::End;
        }
        if ended {
            while talking && pass_on(terminal, &mut buffer, output)? == Passed::Some {}
            return Ok(());
        }
        if from_terminal.contains(PollFlags::OUT)
            && let Ok(taken) = rustix::io::write(terminal, &typed)
        {
            typed.drain(..taken);
        }
        if !from_input.is_empty() {
            match rustix::io::read(input, &mut *buffer) {
                Ok(0) => listening = false,
                Ok(length) => typed.extend_from_slice(&buffer[..length]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => listening = false,
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Passed {
    Some,
    Nothing,
    End,
}

fn pass_on(terminal: &OwnedFd, buffer: &mut [u8], output: BorrowedFd<'_>) -> io::Result<Passed> {
    let length = match rustix::io::read(terminal, &mut *buffer) {
        // EIO is how a terminal says that nobody has it open any more.
        Ok(0) | Err(Errno::IO) => return Ok(Passed::End),
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Passed::Nothing),
        other => other?,
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(output, rest) {
            Err(Errno::INTR) => {}
            // Somebody else's non-blocking descriptor is ours too: wait until it takes more.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&output, PollFlags::OUT)], None)?;
            }
            other => rest = &rest[other?..],
        }
    }
    Ok(Passed::Some)
}
