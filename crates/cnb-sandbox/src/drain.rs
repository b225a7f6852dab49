//! Reading what a command prints until the command itself has ended, whoever else holds the pipe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// How much is read at a time; a pipe holds as much.
const BUFFER: usize = 64 << 10;

/// Hands what comes through `pipe` to `output` until `end` becomes readable, then what is in the pipe by then.
///
/// A background process that keeps the pipe open does not keep this waiting.
pub(crate) fn until_ended(
    pipe: &impl AsFd,
    end: BorrowedFd<'_>,
    output: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut open = true;
    loop {
        let watched = if open { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [PollFd::new(&end, PollFlags::IN), PollFd::new(pipe, watched)];
        // A pipe at its end is always "ready": it is left out from then on.
        match poll(&mut fds[..=usize::from(open)], None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let [ended, readable] = fds.map(|fd| !fd.revents().is_empty());
        if ended {
            break;
        }
        if open && readable {
            open = read(pipe, &mut buffer, output)? > 0;
        }
    }
    // What the command wrote before it ended is in the pipe, which holds no more than its size: a writer that
    // goes on for ever cannot keep us here.
    let mut left = rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(BUFFER);
    while open && left > 0 {
        let mut fds = [PollFd::new(pipe, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now))? == 0 {
            break;
        }
        let got = read(pipe, &mut buffer, output)?;
        open = got > 0;
        left = left.saturating_sub(got);
    }
    Ok(())
}

fn read(pipe: &impl AsFd, buffer: &mut [u8], output: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
    loop {
        match rustix::io::read(pipe, &mut *buffer) {
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(length) => {
                if length > 0 {
                    output(&buffer[..length]);
                }
                return Ok(length);
            }
        }
    }
}

/// The error of a command whose sandbox has gone.
pub(crate) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the sandbox was ended")
}
