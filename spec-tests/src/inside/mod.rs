//! The part that works inside the sandbox: prepares the places, runs the steps, and leaves what they left.

mod dump;
mod glob;
mod http;
mod inputs;
mod ordered_json;
mod registry;
mod steps;
mod tar_listing;

use std::path::Path;

use fs_err as fs;
use rustix::fs::Mode;

use crate::case::{Case, CaseError, PHASES};
use crate::room::{self, ROOM};

/// A launcher whose bytes do not depend on who built it: it becomes a layer of every image.
const STAND_IN_LAUNCHER: &str = "#!/bin/sh\n# golden stand-in for the launcher\n";

/// Why the case could not be run to its end.
#[derive(Debug, thiserror::Error)]
enum InsideError {
    #[error(transparent)]
    Case(#[from] CaseError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Registry(#[from] registry::RegistryError),
    #[error("failed to push `{reference}`")]
    Push { reference: String, source: registry::RegistryError },
    #[error("failed to look at the image `{reference}`")]
    Dump { reference: String, source: dump::DumpError },
    #[error(transparent)]
    Step(#[from] steps::StepError),
    #[error("`keep` has a bad glob: {0}")]
    Glob(String),
}

/// Runs the case at [`room::CASE`], inside the sandbox, and returns this process's exit code. What went wrong is
/// written to `say`.
pub fn main(say: &mut dyn std::io::Write) -> u8 {
    match run() {
        Ok(()) => 0,
        Err(e) => {
            let mut line = e.to_string();
            let mut source = std::error::Error::source(&e);
            while let Some(cause) = source {
                line = format!("{line}: {cause}");
                source = cause.source();
            }
            // One line, since the outside shows the last.
            let _ = writeln!(say, "{}", line.replace('\n', " "));
            1
        }
    }
}

fn run() -> Result<(), InsideError> {
    let folder = Path::new(room::CASE);
    let case = Case::read(folder)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let registry = if case.needs_registry() { Some(registry::Server::start()?) } else { None };
    lay_out()?;
    if registry.is_some() {
        push("run", Path::new(room::BASE).join("run-image").as_path())?;
        for (reference, layout) in &case.push {
            let own = folder.join(layout);
            let layout = if own.exists() { own } else { Path::new(room::BASE).join(layout) };
            push(reference, &layout)?;
        }
    }
    for dir in ROOM {
        inputs::copy(&folder.join("in").join(dir), &Path::new("/").join(dir))?;
    }
    if let Some(script) = &case.setup {
        steps::set_up(script)?;
    }
    let env = fs::read_to_string(Path::new(room::OUT).join(room::ENV))?;
    steps::run(&case, &serde_json::from_str(&env).map_err(std::io::Error::from)?)?;
    for pattern in &case.keep {
        for file in glob::files(pattern).map_err(InsideError::Glob)? {
            let kept = Path::new(room::OUT).join("files").join(file.strip_prefix("/").unwrap_or(&file));
            if let Some(parent) = kept.parent() {
                fs::create_dir_all(parent)?;
            }
            // Not a copy with its mode: what nobody may write, nobody could remove.
            std::io::copy(&mut fs::File::open(&file)?, &mut fs::File::create(&kept)?)?;
        }
    }
    for reference in &case.image {
        dump::image(reference, Path::new(room::OUT))
            .map_err(|source| InsideError::Dump { reference: reference.clone(), source })?;
    }
    Ok(())
}

fn push(reference: &str, layout: &Path) -> Result<(), InsideError> {
    registry::push(layout, reference)
        .map_err(|source| InsideError::Push { reference: reference.to_owned(), source })
}

/// Puts the lifecycle under test, and the stand-in for the launcher, where images have them.
fn lay_out() -> std::io::Result<()> {
    let cnb = Path::new("/cnb");
    for dir in ["bin", "lifecycle", "process"] {
        fs::create_dir_all(cnb.join(dir))?;
    }
    let at = cnb.join("lifecycle");
    let under_test = Path::new(room::LIFECYCLE);
    for entry in fs::read_dir(under_test)? {
        let name = entry?.file_name();
        if name != "launcher" && name != room::PLATFORM_NAME {
            fs::os::unix::fs::symlink(under_test.join(&name), at.join(&name))?;
        }
    }
    // On the `PATH` of every step.
    if Path::new(room::PLATFORM).exists() {
        fs::os::unix::fs::symlink(room::PLATFORM, at.join(room::PLATFORM_NAME))?;
    }
    for phase in PHASES.iter().map(|phase| at.join(phase)) {
        if !phase.is_symlink() {
            fs::os::unix::fs::symlink(under_test.join("lifecycle"), phase)?;
        }
    }
    inputs::write(&at.join("launcher"), STAND_IN_LAUNCHER.as_bytes(), 0o755)
}
