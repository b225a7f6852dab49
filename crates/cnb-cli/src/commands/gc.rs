//! `cnb gc`: gives back the space that nothing needs.

use cnb_platform::Platform;

use crate::args::GcArgs;
use crate::error::CliError;
use crate::printer::Printer;
use crate::quantity;
use crate::world::World;

/// Deletes what no image needs.
pub(crate) fn run(args: &GcArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let platform = Platform::new(world.home()?, world.env.clone());
    let report = platform.gc()?;
    if args.json {
        return printer.json(&report);
    }
    if report.removed == 0 {
        printer.note("Nothing to remove");
    } else {
        let plural = if report.removed == 1 { "" } else { "s" };
        printer.note(&format!(
            "Removed {} file{plural}, freed {}",
            report.removed,
            quantity::size(report.bytes)
        ));
    }
    Ok(())
}
