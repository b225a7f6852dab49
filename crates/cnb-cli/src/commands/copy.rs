//! `cnb copy`: an image from one place to another.

use std::io;
use std::sync::Arc;

use cnb_platform::{Cancel, CopyRequest, Event, Which};

use crate::args::CopyArgs;
use crate::error::CliError;
use crate::printer::Printer;
use crate::progress::{Progress, Style};
use crate::request::Surroundings;
use crate::world::World;
use crate::{place, quantity, remote, signals};

/// Copies an image, and prints its digest.
pub(crate) fn run(args: &CopyArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let cwd = Surroundings::of(world)?.cwd;
    let which = match &args.platform {
        Some(platform) => Which::For(place::platform(platform)?),
        None if args.all => Which::All,
        None => Which::Own,
    };
    let request =
        CopyRequest { from: place::place(&args.from, cwd)?, to: place::place(&args.to, cwd)?, which };
    let (platform, _) = remote::platform(&args.remote, world, printer)?;

    let style = Style { printer, live: world.live(), clock: None };
    let progress = Arc::new(Progress::new(style, io::stderr()));
    let cancel = Cancel::new();
    signals::stop(cancel.clone(), Arc::clone(&progress)).map_err(CliError::Signals)?;
    let outcome = platform.copy(&request, &|event: Event<'_>| progress.hear(&event), &cancel);
    let written = match outcome {
        Ok(written) => written,
        Err(failure) => {
            progress.fail();
            return Err(failure.into());
        }
    };
    progress.note(&format!(
        "Copied {} to {} ({})",
        request.from,
        written.place,
        quantity::short_digest(&written.digest)
    ));
    progress.finish();
    if args.json { printer.json(&written) } else { printer.data(&format!("{}\n", written.digest)) }
}
