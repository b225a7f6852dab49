//! All cases, several at a time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::compare::{Difference, differences};
use crate::corpus::Entry;
use crate::observed::{Observed, read};
use crate::parallel;
use crate::room;
use crate::sandbox::{Sandbox, SandboxError};
use crate::toml_values::Masks;

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as it should be.
    Passed,
    /// Something is not, or the case could not be run to its end; never empty.
    Failed(Vec<Difference>),
    /// Something that the case needs is not there: what.
    Skipped(String),
}

/// A case that was run, or skipped.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub time: Duration,
}

/// Whether expectations are compared or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are compared.
    Compare,
    /// They are replaced by what the lifecycle does; output of steps and `case.toml` still count.
    Record,
}

/// Runs `entries`, `jobs` at a time, and returns the verdicts in the same order; `said` gets each as soon as it and
/// all before it are there.
///
/// # Errors
/// If files of ours cannot be read or written; what fails in a sandbox is a verdict.
pub fn run(
    entries: &[&Entry],
    sandbox: &Sandbox,
    masks: &Masks,
    jobs: usize,
    mode: Mode,
    said: &(dyn Fn(&Entry, &Verdict) + Sync),
) -> std::io::Result<Vec<Verdict>> {
    let work = |entry: &&Entry| {
        let start = Instant::now();
        let outcome = one(entry, sandbox, masks, mode)?;
        Ok(Verdict { outcome, time: start.elapsed() })
    };
    parallel::map(entries, jobs, work, |entry, verdict| said(entry, verdict))
}

/// Runs one case.
///
/// # Errors
/// As [`run`].
pub fn one(entry: &Entry, sandbox: &Sandbox, masks: &Masks, mode: Mode) -> std::io::Result<Outcome> {
    if entry.case.starts_launcher() && !sandbox.has_launcher() {
        return Ok(Outcome::Skipped("needs --launcher".to_owned()));
    }
    if entry.case.platform && !sandbox.has_platform() {
        return Ok(Outcome::Skipped("needs --platform".to_owned()));
    }
    if entry.case.root && !sandbox.is_roots() {
        return Ok(Outcome::Skipped("needs root".to_owned()));
    }
    if let Some(missing) = entry.needs.iter().find(|name| room::program(name).is_none()) {
        return Ok(Outcome::Skipped(format!("needs `{missing}`")));
    }
    let out = tempfile::Builder::new().prefix("spec-test-out-").tempdir()?;
    match sandbox.run(&entry.folder, out.path()) {
        Ok(()) => {}
        Err(SandboxError::Io(e)) => return Err(e),
        Err(e) => return Ok(Outcome::Failed(vec![Difference { what: e.to_string(), diff: None }])),
    }
    let expected = entry.folder.join("expect");
    if mode == Mode::Record {
        record(out.path(), &expected, entry.case.steps.len())?;
    }
    let found = differences(&entry.case, &expected, out.path(), masks)?;
    Ok(if found.is_empty() { Outcome::Passed } else { Outcome::Failed(found) })
}

/// Replaces the expectations by what the inside left in `out`.
fn record(out: &Path, expected: &Path, steps: usize) -> std::io::Result<()> {
    if expected.exists() {
        fs::remove_dir_all(expected)?;
    }
    let kinds = ["files", "images"].iter().map(|kind| out.join(kind));
    let mut folders: Vec<PathBuf> = kinds.filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let to = expected.join(path.strip_prefix(out).unwrap_or(&path));
            if path.is_dir() {
                folders.push(path);
            } else {
                keep(&path, &to)?;
            }
        }
    }
    // For people to read; not compared.
    for n in 0..steps {
        for name in [Observed::stdout(n), Observed::stderr(n)] {
            if fs::metadata(out.join(&name))?.len() > 0 {
                keep(&out.join(&name), &expected.join(&name))?;
            }
        }
    }
    Ok(())
}

fn keep(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    std::io::Write::write_all(&mut fs::File::create(to)?, &read(from)?)
}
