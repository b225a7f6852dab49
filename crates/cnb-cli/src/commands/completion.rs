//! `cnb completion`: scripts that complete the command line in a shell.

use clap::CommandFactory as _;

use crate::args::{CommandLine, CompletionArgs};
use crate::error::CliError;
use crate::printer::Printer;

/// Prints the completions for a shell.
pub(crate) fn run(args: &CompletionArgs, printer: Printer) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "cnb", &mut script);
    printer.data(&String::from_utf8_lossy(&script))
}
