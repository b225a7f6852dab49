//! What a case left, as the inside of the sandbox writes it down and the outside reads it.

use std::path::Path;

use fs_err as fs;

/// What the steps of a case exited with and printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Of each step.
    pub steps: Vec<ObservedStep>,
}

/// What a step exited with and printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedStep {
    /// Its exit code, or minus the number of the signal that ended it.
    pub exit: i32,
    /// Its standard output, with line ends as `\n` alone.
    pub stdout: String,
    /// The same of its standard error.
    pub stderr: String,
}

impl Observed {
    pub(crate) const EXITS: &str = "steps.json";

    /// Returns the name of the file with the standard output of a step, counted from 0.
    pub(crate) fn stdout(n: usize) -> String {
        format!("step-{}.stdout", n + 1)
    }

    /// Returns the name of the file with the standard error of a step, counted from 0.
    pub(crate) fn stderr(n: usize) -> String {
        format!("step-{}.stderr", n + 1)
    }

    /// Reads what the inside left in `out`.
    ///
    /// # Errors
    /// If it is not there.
    pub fn read(out: &Path) -> std::io::Result<Self> {
        let exits: Vec<i32> = serde_json::from_str(&fs::read_to_string(out.join(Self::EXITS))?)?;
        let steps = exits.into_iter().enumerate().map(|(n, exit)| {
            Ok(ObservedStep {
                exit,
                stdout: text(&out.join(Self::stdout(n)))?,
                stderr: text(&out.join(Self::stderr(n)))?,
            })
        });
        Ok(Self { steps: steps.collect::<std::io::Result<_>>()? })
    }
}

fn text(file: &Path) -> std::io::Result<String> {
    let bytes = read(file)?;
    Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n").replace('\r', "\n"))
}

/// Reads a whole file.
pub(crate) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::copy(&mut fs::File::open(file)?, &mut bytes)?;
    Ok(bytes)
}
