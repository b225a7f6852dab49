//! Signals to the whole program, as something that a thread can wait for.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Where the handler writes; -1 as long as nobody watches. A handler has no other way to anything of ours.
static TELL: AtomicI32 = AtomicI32::new(-1);

/// The signals that a program has asked to hear of, in the order in which they arrive.
///
/// For programs, not for libraries: there is one for the whole process, and the signals no longer end it.
/// Children are not affected.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Starts watching; may be called once in the life of a process.
    ///
    /// # Examples
    ///
    /// ```
    /// let signals = cnb_sandbox::Signals::watch(&[10 /* SIGUSR1 */])?;
    /// # std::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
    /// assert_eq!(signals.next()?, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch(signals: &[i32]) -> io::Result<Self> {
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        // A handler must never wait; so many signals unread are the same as one.
        rustix::io::ioctl_fionbio(&tell, true)?;
        let number = tell.as_raw_fd();
        if TELL.compare_exchange(-1, number, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "signals are watched already"));
        }
        // From here on it belongs to the handler, for as long as the process lives.
        let _ = tell.into_raw_fd();
        for &signal in signals {
            // SAFETY: all zeroes is a valid `sigaction`: no flags, an empty mask.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = handle as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            // SAFETY: `handle` has the form that a handler without SA_SIGINFO has, and does nothing that is not
            // allowed in one; the old action is not asked for.
            if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(told))
    }

    /// Waits for the next signal.
    pub fn next(&self) -> io::Result<i32> {
        let mut number = [0];
        loop {
            match rustix::io::read(&self.0, &mut number) {
                Err(Errno::INTR) => {}
                other => {
                    other?;
                    return Ok(i32::from(number[0]));
                }
            }
        }
    }
}

extern "C" fn handle(signal: libc::c_int) {
    // A raw system call leaves `errno` of the interrupted code alone.
    let tell = TELL.load(Ordering::SeqCst);
    let number = [signal.to_le_bytes()[0]];
    // SAFETY: the descriptor is never closed once it is here, so it is open and ours.
    let tell = unsafe { std::os::fd::BorrowedFd::borrow_raw(tell) };
    let _ = rustix::io::write(tell, &number);
}
