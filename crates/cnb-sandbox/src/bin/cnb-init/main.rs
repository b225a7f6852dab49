//! `cnb-init`: process 1 of a sandbox. Started by the library, never by hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnb_sandbox::init_main()
}
