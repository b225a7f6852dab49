//! Signals: the first Ctrl-C stops a build in good order, the second ends the program at once.
//!
//! They come from [`cnb_sandbox::Signals`], which exists for `cnb run` anyway, so that no further crate is needed.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use cnb_platform::{Cancel, Stopped};
use cnb_sandbox::Signals;

use crate::exit;
use crate::progress::Progress;

/// The terminal has gone.
pub(crate) const HANGUP: i32 = 1;
/// Ctrl-C.
pub(crate) const INTERRUPT: i32 = 2;
/// Ctrl-\.
pub(crate) const QUIT: i32 = 3;
/// A program's own, first.
pub(crate) const USER_1: i32 = 10;
/// A program's own, second.
pub(crate) const USER_2: i32 = 12;
/// Asked to end.
pub(crate) const TERMINATE: i32 = 15;
/// The terminal has another size.
pub(crate) const WINDOW_CHANGED: i32 = 28;

/// Stops the build of `cancel` on the first signal to end, and the program on the second.
pub(crate) fn stop<W: Write + Send + 'static>(cancel: Cancel, progress: Arc<Progress<W>>) -> io::Result<()> {
    let signals = Signals::watch(&[INTERRUPT, TERMINATE, HANGUP])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while signals.next().is_ok() {
            if cancel.stopped() == Some(Stopped::Interrupted) {
                at_once();
            }
            cancel.stop(Stopped::Interrupted);
            progress.note("Stopping; once more to end at once");
        }
    })?;
    Ok(())
}

/// Starts to watch for the signals that an application should hear of; none is lost from here on.
pub(crate) fn watch() -> io::Result<Signals> {
    Signals::watch(&[INTERRUPT, TERMINATE, HANGUP, QUIT, USER_1, USER_2, WINDOW_CHANGED])
}

/// Gives each of `signals` to `pass_on`.
pub(crate) fn forward(signals: Signals, pass_on: impl Fn(i32) + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.next() {
            pass_on(signal);
        }
    })?;
    Ok(())
}

#[expect(clippy::exit, reason = "the user insists; whatever still waits must not keep the program")]
fn at_once() {
    std::process::exit(i32::from(exit::INTERRUPTED));
}
