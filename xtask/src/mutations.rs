//! `cargo xtask spec --mutations`: the specification cases are tested with faults in our own lifecycle.

use std::path::{Path, PathBuf};
use std::process::Command;

use cnb_spec_tests::cli::{self, Request, SpecError};
use cnb_spec_tests::mutations::Summary;
use cnb_spec_tests::sandbox::Reentry;
use fs_err as fs;

/// How the command is used.
pub const USAGE: &str = "usage: cargo xtask spec --mutations [-j N] [FAULT…]

  -j N   try N faults at a time (as many as there are processors)
  FAULT  the name of a fault in spec-tests/mutations.toml; all, if there is none
";

/// Why the faults could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum MutateError {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// Cargo could not be started, or a program not be copied.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// There is no lifecycle with faults.
    #[error("the lifecycle with faults could not be built: {0}")]
    Build(std::process::ExitStatus),
    /// The cases could not be run.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How many faults are tried at a time; as many as there are processors if absent.
    pub jobs: Option<usize>,
    /// Which faults are meant; all, if none is named.
    pub only: Vec<String>,
}

/// Reads the arguments behind `--mutations`.
///
/// # Errors
/// [`MutateError::Usage`] if they make no sense.
pub fn parse(args: &[String]) -> Result<Options, MutateError> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-j" => {
                let jobs = args.next().and_then(|text| text.parse().ok()).filter(|jobs| *jobs > 0);
                let none = || MutateError::Usage("`-j` needs a number of faults".to_owned());
                options.jobs = Some(jobs.ok_or_else(none)?);
            }
            flag if flag.starts_with('-') => {
                return Err(MutateError::Usage(format!("`{flag}` is no option")));
            }
            fault => options.only.push(fault.to_owned()),
        }
    }
    Ok(options)
}

/// Builds lifecycle and launcher of the workspace `root` with faults in them, and tries each fault.
///
/// # Errors
/// If they cannot be built, or the cases cannot be run; faults that survive are counted.
pub fn run(
    root: &Path,
    options: &Options,
    again: &Reentry,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Summary, MutateError> {
    let dir = build(root)?;
    let request = Request {
        launcher: Some(dir.join("launcher")),
        jobs: options.jobs,
        only: options.only.clone(),
        ..Request::new(dir)
    };
    Ok(cli::mutate(&request, cli::suite(), again, say)?)
}

/// Builds both programs and returns the folder with them.
///
/// The build shares everything but our own crates with other builds for development; the programs are copied
/// aside, so that neither takes the place of the other.
fn build(root: &Path) -> Result<PathBuf, MutateError> {
    let packages = ["-p", "cnb-lifecycle", "-p", "cnb-launcher"];
    let features = ["--features", "cnb-lifecycle/faults,cnb-launcher/faults"];
    let mut cargo = Command::new("cargo");
    cargo.arg("build").args(packages).args(features).arg("--target-dir").arg(root.join("target"));
    let status = cargo.current_dir(root).status()?;
    if !status.success() {
        return Err(MutateError::Build(status));
    }
    let dir = root.join("target/faults");
    fs::create_dir_all(&dir)?;
    for program in ["lifecycle", "launcher"] {
        fs::copy(root.join("target/debug").join(program), dir.join(program))?;
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_faults() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let options = parse(&words("a -j 2 b")).unwrap();
        assert_eq!(options, Options { jobs: Some(2), only: words("a b") });
        for (args, why) in
            [("-j", "`-j` needs a number of faults"), ("-j 0", "`-j` needs"), ("-v", "`-v` is no option")]
        {
            let error = parse(&words(args)).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
