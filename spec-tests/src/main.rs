//! The conformance suite as a program of its own; `cargo xtask spec` does the same.

use std::io::Write;
use std::process::ExitCode;

use cnb_spec_tests::sandbox::Reentry;
use cnb_spec_tests::{cli, inside};

/// What makes the program work inside a sandbox.
const INSIDE: &str = "--inside";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == [INSIDE] {
        return ExitCode::from(inside::main(&mut std::io::stderr()));
    }
    let again = Reentry { program: "/proc/self/exe".into(), args: vec![INSIDE.to_owned()] };
    let say = |text: &str| {
        // A reader that went away wants no more lines.
        let _ = std::io::stdout().write_all(text.as_bytes());
    };
    ExitCode::from(cli::main(&args, "spec-tests", &again, &say))
}
