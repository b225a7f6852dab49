//! `cnb rm`: takes names from images.

use cnb_platform::Platform;

use crate::args::RmArgs;
use crate::error::CliError;
use crate::printer::Printer;
use crate::world::World;
use crate::{exit, place};

/// Removes images; one that cannot be removed does not keep the others, and its exit code is returned.
pub(crate) fn run(args: &RmArgs, world: &World, printer: Printer) -> Result<u8, CliError> {
    let images = args.images.iter().map(|name| place::image(name)).collect::<Result<Vec<_>, _>>()?;
    let platform = Platform::new(world.home()?, world.env.clone());
    let mut code = 0;
    for image in &images {
        match platform.remove(image) {
            Ok(()) => printer.note(&format!("Removed {}", image.typed())),
            Err(failure) => {
                let error = CliError::from(failure);
                printer.failure(&error);
                if code == 0 {
                    code = exit::code(&error);
                }
            }
        }
    }
    Ok(code)
}
