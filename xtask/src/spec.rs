//! `cargo xtask spec`: the conformance suite, put to any lifecycle, and put to the test itself.

use std::io::Write;
use std::path::Path;

use cnb_spec_tests::pending::{Pending, PendingError};
use cnb_spec_tests::report::Summary;
use cnb_spec_tests::sandbox::Reentry;
use cnb_spec_tests::{cli, inside};

use crate::mutations::{self, MutateError};
use crate::workspace_root;

/// What makes this program work inside a sandbox, after `spec`.
const INSIDE: &str = "--inside";

/// Does what the arguments behind `spec` ask for and returns the exit code. `say` gets text for people, `complain`
/// what goes wrong inside a sandbox.
pub fn main(args: &[String], say: &(dyn Fn(&str) + Sync), complain: &mut dyn Write) -> u8 {
    if args == [INSIDE] {
        return inside::main(complain);
    }
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "--mutations") {
        return mutate(rest, say);
    }
    cli::main(args, "cargo xtask spec", &again(), say)
}

/// Tests the suite: exit code 0 if all faults were caught, 1 if one survived, 2 if they could not be tried.
fn mutate(args: &[String], say: &(dyn Fn(&str) + Sync)) -> u8 {
    if args.iter().any(|arg| matches!(arg.as_str(), "-h" | "--help")) {
        say(mutations::USAGE);
        return 0;
    }
    let done = mutations::parse(args).and_then(|options| faults(&workspace_root(), &options, say));
    match done {
        Ok(summary) if summary.survived == 0 => 0,
        Ok(_) => 1,
        Err(e) => {
            say(&format!("failed: {}\n", cli::describe(&e)));
            if matches!(e, MutateError::Usage(_)) {
                say(mutations::USAGE);
            }
            2
        }
    }
}

/// Tries the faults of our own lifecycle in the workspace `root`.
///
/// # Errors
/// If there is no lifecycle with faults, or they cannot be tried; those that survive are counted.
pub fn faults(
    root: &Path,
    options: &mutations::Options,
    say: &(dyn Fn(&str) + Sync),
) -> Result<cnb_spec_tests::mutations::Summary, MutateError> {
    mutations::run(root, options, &again(), say)
}

/// Why our own lifecycle could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The list of pending cases is none.
    #[error(transparent)]
    Pending(#[from] PendingError),
    /// The cases could not be run.
    #[error(transparent)]
    Spec(#[from] cli::SpecError),
}

/// Puts our own lifecycle in the folder `lifecycle`, our launcher and our platform to all cases: they must pass those
/// that are not pending, and fail those that are.
///
/// # Errors
/// If the cases cannot be run; cases that come out otherwise are counted.
pub fn own(
    lifecycle: &Path,
    launcher: &Path,
    platform: &Path,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Summary, OwnError> {
    let request = cli::Request {
        launcher: Some(launcher.to_owned()),
        platform: Some(platform.to_owned()),
        pending: Pending::read(cli::suite())?,
        ..cli::Request::new(lifecycle.to_owned())
    };
    Ok(cli::execute(&request, cli::suite(), &again(), say)?)
}

fn again() -> Reentry {
    let args = ["spec", INSIDE].map(str::to_owned);
    Reentry { program: "/proc/self/exe".into(), args: args.into() }
}
