//! `cnb run`: an image as a process of this machine.

use std::sync::Arc;
use std::thread;

use cnb_platform::{Platform, Running};

use crate::args::RunArgs;
use crate::error::CliError;
use crate::health;
use crate::printer::Printer;
use crate::request::{self, Surroundings};
use crate::signals;
use crate::world::World;

/// Runs an image, and returns the exit code of its process.
pub(crate) fn run(args: &RunArgs, world: &World, printer: Printer) -> Result<u8, CliError> {
    let request = request::run(args, &Surroundings::of(world)?)?;
    let platform = Platform::new(world.home()?, world.env.clone());
    // Before the application can do anything: one that says it is ready must be within reach.
    let signals = signals::watch().map_err(CliError::Signals)?;
    let running = Arc::new(platform.run(&request)?);
    if let Some(port) = request.port {
        printer.note(&format!("Listening, once it has started: http://localhost:{port}"));
    }
    if let Some(port) = request.port {
        health::watch(running.listening(), port, printer);
    }
    // Weak, so that what the run leaves goes when it has ended, and not with the thread that hears signals.
    let app = Arc::downgrade(&running);
    signals::forward(signals, move |signal| match app.upgrade() {
        Some(app) if signal == signals::WINDOW_CHANGED => app.resize(),
        Some(app) => app.signal(signal),
        None => {}
    })
    .map_err(CliError::Signals)?;
    let ended = running.wait();
    end(running);
    let code = ended?;
    // An exit code has eight bits, here as there.
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Removes what a run leaves, before the program ends.
fn end(running: Arc<Running>) {
    let mut shared = running;
    // A signal that is passed on at this moment has it, too, and soon no longer.
    while let Err(still) = Arc::try_unwrap(shared) {
        shared = still;
        thread::yield_now();
    }
}
