//! The `cnb` command: arguments become requests to `cnb_platform`, its events become output, its failures become
//! messages, hints and exit codes. There is no other logic here.
//!
//! Reading order: `args` (as typed), `request` (as meant), `commands`, `progress`, `exit`.

mod args;
mod ask;
mod binding;
mod commands;
mod env_vars;
mod error;
mod exit;
mod foreign;
mod health;
mod hints;
mod moment;
mod place;
mod printer;
mod progress;
mod quantity;
mod reference;
mod remote;
mod request;
mod signals;
mod source_args;
mod text;
mod world;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use args::{Command, CommandLine};
use error::{CliError, Usage};
use printer::Printer;
use world::World;

fn main() -> ExitCode {
    ExitCode::from(start(&World {
        args: std::env::args_os().collect(),
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read, once")]
        env: std::env::vars_os().collect(),
        cwd: std::env::current_dir(),
        clock: SystemTime::now,
        stdin_terminal: io::stdin().is_terminal(),
        stdout_terminal: io::stdout().is_terminal(),
        stderr_terminal: io::stderr().is_terminal(),
    }))
}

/// Does what the command line asks for, and returns the exit code.
fn start(world: &World) -> u8 {
    // Before the command line is understood, since its mistakes are shown in colours, or not.
    let refused = world.args.iter().take_while(|a| *a != "--").any(|a| a == "--no-color");
    let colours = world.allows_colours() && !refused;
    let printer = Printer { colours: colours && world.stderr_terminal, verbose: false, quiet: false };
    // No command of the command line, so that neither help nor completions show it.
    if matches!(world.args.as_slice(), [_, only] if only == "__reference") {
        return finish(printer.data(&reference::markdown()).map(|()| 0), printer);
    }
    let (typed, printer) = match CommandLine::try_parse_from(&world.args) {
        Ok(typed) => {
            let verbose = typed.show.verbose || matches!(&typed.command, Command::Build(args) if args.v);
            let quiet = typed.show.quiet;
            (typed, Printer { verbose: verbose && !quiet, quiet, ..printer })
        }
        Err(error) => return misunderstood(&error, world, colours, printer),
    };
    finish(dispatch(&typed.command, world, printer), printer)
}

/// Shows the error, if there is one, and returns the exit code.
fn finish(outcome: Result<u8, CliError>, printer: Printer) -> u8 {
    match outcome {
        Ok(code) => code,
        // Whoever reads our output has seen enough.
        Err(CliError::Stdout(e)) if e.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            printer.failure(&error);
            exit::code(&error)
        }
    }
}

fn dispatch(command: &Command, world: &World, printer: Printer) -> Result<u8, CliError> {
    match command {
        Command::Build(args) => commands::build::run(args, world, printer)?,
        Command::Plan(args) => commands::plan::run(args, world, printer)?,
        Command::Run(args) => return commands::run::run(args, world, printer),
        Command::Images(args) => commands::images::run(args, world, printer)?,
        Command::Inspect(args) => commands::inspect::run(args, world, printer)?,
        Command::Copy(args) => commands::copy::run(args, world, printer)?,
        Command::Rebase(args) => commands::rebase::run(args, world, printer)?,
        Command::Rm(args) => return commands::rm::run(args, world, printer),
        Command::Gc(args) => commands::gc::run(args, world, printer)?,
        Command::Login(args) => commands::login::run(args, world, printer)?,
        Command::Logout(args) => commands::logout::run(args, world, printer)?,
        Command::Completion(args) => commands::completion::run(args, printer)?,
        Command::Version => printer.data(concat!("cnb ", env!("CARGO_PKG_VERSION"), "\n"))?,
    }
    Ok(0)
}

/// Shows the help or the version where they were asked for, and otherwise what is wrong with the command line.
fn misunderstood(error: &clap::Error, world: &World, colours: bool, printer: Printer) -> u8 {
    if let Some(usage) = foreign_to_us(error, &world.args) {
        let error = CliError::from(usage);
        printer.failure(&error);
        return exit::code(&error);
    }
    let text = error.render();
    // Nobody is there to be told when this cannot be written.
    if error.use_stderr() {
        let text = if printer.colours { text.ansi().to_string() } else { text.to_string() };
        printer::to_stderr(&text);
        exit::USAGE
    } else {
        let text = if colours && world.stdout_terminal { text.ansi().to_string() } else { text.to_string() };
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        0
    }
}

/// Returns better advice than clap has where what it does not know is known from another program.
fn foreign_to_us(error: &clap::Error, args: &[std::ffi::OsString]) -> Option<Usage> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (message, instead) =
        match error.kind() {
            ErrorKind::UnknownArgument => {
                let is_command = |word: &&OsStr| foreign::COMMANDS_WITH_OPTIONS.iter().any(|c| *word == *c);
                let command = args.iter().map(std::ffi::OsString::as_os_str).skip(1).find(is_command)?;
                let typed = context(ContextKind::InvalidArg)?;
                if command == "run" && !typed.starts_with('-') {
                    return Some(Usage::new(format!("the argument `{typed}` is one too many")).hint(
                        format!("arguments for the process come after `--`: `cnb run IMAGE -- {typed}`"),
                    ));
                }
                foreign::option(command.to_str()?, typed)?
            }
            ErrorKind::InvalidSubcommand => foreign::command(context(ContextKind::InvalidSubcommand)?)?,
            _ => return None,
        };
    Some(Usage::new(message).hint(instead))
}
