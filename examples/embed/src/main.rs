//! A platform in thirty lines: builds an application through the library and prints its events.

use std::error::Error;
use std::io::Write;

use cnb_platform::{BuildRequest, Cancel, Event, Home, HostPath, Platform};

fn main() -> Result<(), Box<dyn Error>> {
    let app = std::env::args().nth(1).ok_or("usage: embed APP")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a program reads its environment in main, and passes it down"
    )]
    let env = std::env::vars_os().collect();
    let platform = Platform::new(Home::locate(&env)?, env);
    let request = BuildRequest::new(HostPath::new(&std::env::current_dir()?, app), "embedded".parse()?);
    let report = platform.build(&request, &print, &Cancel::new())?;
    writeln!(std::io::stdout(), "{} is {} with {} layers", report.image, report.digest, report.layers.len())?;
    Ok(())
}

fn print(event: Event<'_>) {
    let line = match event {
        Event::PhaseStarted(phase) => format!("{}…", phase.heading()),
        Event::Output(bytes) => String::from_utf8_lossy(bytes).trim_end().to_owned(),
        other => format!("{other:?}"),
    };
    // Nobody has to read along.
    let _ = writeln!(std::io::stderr(), "{line}");
}
