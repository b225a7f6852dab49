//! The `lifecycle` binary: one name per phase, with the flags, variables, messages and exit codes of the Go
//! program (Platform Interface Specification, "Usage"; requirements B1 to B13).
//!
//! This file reads the environment, once, and hands everything down. Reading order: [`phase`], [`flags`],
//! [`inputs`], [`console`], [`exit`], then a file per phase.

mod analyzer;
mod builder;
mod caching;
mod connected;
mod console;
mod creator;
mod detector;
mod exit;
mod experimental;
mod exporter;
mod extender;
mod flags;
mod inputs;
mod launch_cache;
mod names;
mod phase;
mod privileges;
mod rebaser;
mod restorer;
mod retry;
mod saving;
mod temporary;
mod timer;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use cnb_spec::api::{ApiError, PlatformApi};
use cnb_spec::env::Env;
use cnb_spec::fault;

use crate::console::{Console, Level};
use crate::exit::Failure;
use crate::inputs::Inputs;
use crate::phase::Phase;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
    let mut env: Env = std::env::vars_os().collect();
    fault::take(&mut env);
    let args: Vec<OsString> = std::env::args_os().collect();
    let console = Console::new();
    match run(&args, &env, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage(code)) => ExitCode::from(code),
        Err(Stop::Failure(failure)) => {
            for line in failure.lines() {
                console.log(Level::Error, &line);
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Why the program ends early.
enum Stop {
    /// The usage was printed: asked for (0) or because of a bad flag (2).
    Usage(u8),
    /// Something failed.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn run(args: &[OsString], env: &Env, console: &Console) -> Result<(), Stop> {
    let name = args.first().map(PathBuf::from).unwrap_or_default();
    let (phase, called, rest) = if let Some(phase) = Phase::of_program(&name) {
        platform_api(env)?;
        (phase, phase.program().to_owned(), args.get(1..))
    } else {
        let Some(command) = args.get(1) else { return Err(Failure::NoArguments.into()) };
        if command == "-version" {
            print_version(console);
            return Ok(());
        }
        platform_api(env)?;
        let command = PathBuf::from(command).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(phase) = Phase::of_command(&command) else {
            return Err(Failure::UnknownPhase(command).into());
        };
        (phase, command, args.get(2..))
    };
    let api = platform_api(env)?;
    let known = inputs::flags_of(phase, api, env);
    let parsed = match flags::parse(&known, rest.unwrap_or_default()) {
        Ok(parsed) => parsed,
        Err(problem) => {
            console::print_usage(&problem.text(&known));
            return Err(Stop::Usage(problem.exit_code()));
        }
    };
    if parsed.switch("version") {
        print_version(console);
        return Ok(());
    }
    let cwd = std::env::current_dir().map_err(|source| Failure::CurrentDirectory { source })?;
    let inputs = Inputs::new(api, env, parsed, cwd);
    console.set_color(!inputs.switch("no-color"));
    console.set_level(inputs.text("log-level").parse().map_err(|()| Failure::LogLevel)?);
    for argument in inputs.arguments() {
        let argument = argument.to_string_lossy();
        if argument.starts_with('-') {
            console.log(
                Level::Warn,
                &format!(
                    "Warning: unconsumed flag-like positional arg: \n\t{argument}\n\t This will not be interpreted \
                     as a flag.\n\t Did you mean to put this before the first positional argument?"
                ),
            );
        }
    }
    console.log(Level::Debug, &format!("Starting {called}..."));
    console.log(Level::Debug, "Parsing inputs...");
    phase.check_arguments(inputs.arguments())?;
    inputs.exec_env()?;
    if phase.runs_unprivileged() {
        console.log(Level::Debug, "Ensuring privileges...");
        if rustix::process::getuid().is_root() && !fault::is("root-not-refused") {
            return Err(Failure::Privileged(phase).into());
        }
        console.log(Level::Debug, "Executing command...");
    }
    match phase {
        Phase::Detector => detector::run(&inputs, env, console)?,
        Phase::Builder => builder::run(&inputs, env, console)?,
        Phase::Analyzer => analyzer::run(&inputs, env, console)?,
        Phase::Restorer => restorer::run(&inputs, env, console)?,
        Phase::Exporter => exporter::run(&inputs, env, console)?,
        Phase::Extender => extender::run(&inputs, env, console)?,
        Phase::Rebaser => rebaser::run(&inputs, env, console)?,
        Phase::Creator => creator::run(&inputs, env, console)?,
    }
    Ok(())
}

fn print_version(console: &Console) {
    console.raw(concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

/// Reads the Platform API, which everything else depends on (requirement B3).
fn platform_api(env: &Env) -> Result<PlatformApi, Failure> {
    let text =
        env.get(std::ffi::OsStr::new("CNB_PLATFORM_API")).map(|v| v.to_string_lossy()).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Failure::NoPlatformApi);
    }
    text.parse().map_err(|reason| Failure::PlatformApi {
        unreadable: matches!(reason, ApiError::Unreadable(_)),
        requested: text.into_owned(),
    })
}
