//! The command line: `cargo xtask spec`, or this crate's own program `spec-tests`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;

use crate::case::CaseError;
use crate::clauses::{Clauses, ClausesError};
use crate::corpus::{self, Entry};
use crate::coverage;
use crate::mutations::{self, Mutations, MutationsError};
use crate::pending::{Pending, Settled};
use crate::report::{Report, Summary, html, json, table};
use crate::run::{self, Mode, Outcome, Verdict};
use crate::sandbox::{Reentry, Sandbox, SandboxError};
use crate::toml_values::Masks;

/// How the command is used, but for its name.
pub const USAGE: &str =
    "--lifecycle DIR [--launcher FILE] [--platform FILE] [--json FILE] [--html FILE] [-j N] [-v] [--record] [CASE…]

  --lifecycle DIR  the folder with `lifecycle`, or with one program or link per phase
  --launcher FILE  the launcher; without one, cases that start it are skipped
  --platform FILE  the command `cnb`; without one, cases about a platform are skipped
  --json FILE      write what came of each case and clause, for programs
  --html FILE      write the same for readers, as one page
  -j N             run N cases at a time (as many as there are processors)
  -v               name the cases that pass, too
  --record         replace what the cases expect by what this lifecycle does
  CASE             `area/` or `area/name/` from the start, or any part of a case's name; all, if there is none
";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The folder of the lifecycle under test.
    pub lifecycle: PathBuf,
    /// The launcher under test.
    pub launcher: Option<PathBuf>,
    /// The command of the platform under test.
    pub platform: Option<PathBuf>,
    /// Where to write the report for programs.
    pub json: Option<PathBuf>,
    /// Where to write the report for readers.
    pub html: Option<PathBuf>,
    /// How many cases run at a time; as many as there are processors if absent.
    pub jobs: Option<usize>,
    /// Whether cases that pass are named.
    pub verbose: bool,
    /// Whether expectations are compared or replaced.
    pub mode: Mode,
    /// Which cases are meant; all, if none is named.
    pub only: Vec<String>,
    /// What every step gets into its environment, beside what its case says.
    pub env: BTreeMap<String, String>,
    /// Cases that must fail, and are not counted then.
    pub pending: Pending,
}

impl Request {
    /// Asks for all cases, without reports and without a launcher.
    pub fn new(lifecycle: PathBuf) -> Self {
        Self {
            lifecycle,
            launcher: None,
            platform: None,
            json: None,
            html: None,
            jobs: None,
            verbose: false,
            mode: Mode::Compare,
            only: Vec::new(),
            env: BTreeMap::new(),
            pending: Pending::default(),
        }
    }
}

/// Why a request could not be carried out. What a lifecycle does wrong is in the report.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// Something that they name is not there.
    #[error("{0}")]
    NotThere(String),
    /// A case is none.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The list of clauses is none.
    #[error(transparent)]
    Clauses(#[from] ClausesError),
    /// The suite itself could not be tested.
    #[error(transparent)]
    Mutations(#[from] MutationsError),
    /// There can be no sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The report could not be written as JSON.
    #[error("failed to write the report")]
    Json(#[from] serde_json::Error),
}

/// Returns the folder of the suite in this workspace.
pub fn suite() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Does what `args` ask for and returns the exit code: 0 if all cases passed, 1 if one failed, 2 if the request
/// makes no sense or cannot be carried out on this machine. `name` is that of the command, `again` how this program is started inside a sandbox; `say` gets
/// text for people.
pub fn main(args: &[String], name: &str, again: &Reentry, say: &(dyn Fn(&str) + Sync)) -> u8 {
    if args.iter().any(|arg| matches!(arg.as_str(), "-h" | "--help")) {
        say(&format!("usage: {name} {USAGE}"));
        return 0;
    }
    let done = parse(args).and_then(|request| execute(&request, suite(), again, say));
    match done {
        Ok(summary) if summary.failed == 0 => 0,
        Ok(_) => 1,
        Err(e) => {
            say(&format!("failed: {}\n", describe(&e)));
            if matches!(e, SpecError::Usage(_)) {
                say(&format!("usage: {name} {USAGE}"));
            }
            2
        }
    }
}

/// Returns an error with its causes, for people.
pub fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes = causes.map(|cause| format!(": {}", cause.to_string().trim()));
    std::iter::once(error.to_string()).chain(causes).collect()
}

/// Reads arguments.
///
/// # Errors
/// [`SpecError::Usage`] if they make no sense.
pub fn parse(args: &[String]) -> Result<Request, SpecError> {
    let usage = |text: String| SpecError::Usage(text);
    let mut lifecycle = None;
    let mut request = Request::new(PathBuf::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| usage(format!("`{arg}` needs a value")));
        match arg.as_str() {
            "--lifecycle" => lifecycle = Some(PathBuf::from(value()?)),
            "--launcher" => request.launcher = Some(value()?.into()),
            "--platform" => request.platform = Some(value()?.into()),
            "--json" => request.json = Some(value()?.into()),
            "--html" => request.html = Some(value()?.into()),
            "-j" => {
                let text = value()?;
                let jobs = text.parse().ok().filter(|jobs| *jobs > 0);
                request.jobs = Some(jobs.ok_or_else(|| usage(format!("`-j {text}` is no number of cases")))?);
            }
            "-v" => request.verbose = true,
            "--record" => request.mode = Mode::Record,
            flag if flag.starts_with('-') => return Err(usage(format!("`{flag}` is no option"))),
            case => request.only.push(case.to_owned()),
        }
    }
    request.lifecycle = lifecycle.ok_or_else(|| usage("`--lifecycle` is missing".to_owned()))?;
    Ok(request)
}

/// Runs the cases of the suite that are asked for, says what came of them, and writes the reports.
///
/// # Errors
/// If the request names what is not there, or cases cannot be run on this machine.
pub fn execute(
    request: &Request,
    suite: &Path,
    again: &Reentry,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Summary, SpecError> {
    check(request)?;
    let entries = corpus::read(suite)?;
    let clauses = Clauses::read(suite)?;
    let meant: Vec<&Entry> =
        entries.iter().filter(|entry| corpus::is_meant(&entry.name, &request.only)).collect();
    if let Some(stray) = request
        .only
        .iter()
        .find(|part| !entries.iter().any(|entry| corpus::is_meant(&entry.name, std::slice::from_ref(part))))
    {
        return Err(SpecError::NotThere(format!("no case is called `{stray}`")));
    }
    let Prepared { sandbox, masks, jobs, own: _own } = prepare(request, suite, again)?;
    let verdicts = run::run(&meant, &sandbox, &masks, jobs, request.mode, &|entry, verdict| match (
        request.pending.settle(&entry.name, &verdict.outcome),
        request.pending.why(&entry.name),
    ) {
        (Settled::Counts(outcome), _) => tell(entry, &outcome, request.verbose, say),
        (Settled::Pending, why) => {
            say(&format!("pending: {}: {}\n", entry.name, why.unwrap_or_default()));
        }
    })?;
    let run = verdicts.len();
    let demanded = meant.into_iter().zip(verdicts).filter_map(|(entry, verdict)| {
        match request.pending.settle(&entry.name, &verdict.outcome) {
            Settled::Pending => None,
            Settled::Counts(outcome) => Some((entry, Verdict { outcome, ..verdict })),
        }
    });
    let verdicts: Vec<_> = demanded.collect();
    let pending = run - verdicts.len();
    let shown = coverage::shown(&clauses, &entries, &verdicts);
    let sections = coverage::sections(&shown);
    let lifecycle = fs::canonicalize(&request.lifecycle)?.display().to_string();
    let whole = request.only.is_empty();
    let report = Report { lifecycle, whole, verdicts, clauses: shown, sections };
    if let Some(file) = &request.json {
        write(file, &json::json(&report)?)?;
    }
    if let Some(file) = &request.html {
        write(file, &html::html(&report))?;
    }
    say(&format!("\n{}\n", table::table(&report)));
    let summary = report.summary();
    if pending > 0 {
        say(&format!("{pending} pending: they fail, as they must until what they need is there\n"));
    }
    say(&format!("{summary}\n"));
    Ok(summary)
}

/// Puts a lifecycle that has the deliberate faults of the suite to the cases that must catch them; `request.only`
/// names faults.
///
/// # Errors
/// If the request names what is not there, or the faults cannot be tried on this machine.
pub fn mutate(
    request: &Request,
    suite: &Path,
    again: &Reentry,
    say: &(dyn Fn(&str) + Sync),
) -> Result<mutations::Summary, SpecError> {
    check(request)?;
    let (all, entries) = (Mutations::read(suite)?, corpus::read(suite)?);
    let faults = all.named(&request.only)?;
    let Prepared { sandbox, masks, jobs, own: _own } = prepare(request, suite, again)?;
    Ok(mutations::run(&faults, &entries, &sandbox, &masks, jobs, say)?)
}

/// What cases are run with.
struct Prepared {
    sandbox: Sandbox,
    masks: Masks,
    jobs: usize,
    /// The folder with the copy of this program that works inside.
    own: TempDir,
}

fn prepare(request: &Request, suite: &Path, again: &Reentry) -> Result<Prepared, SpecError> {
    // A copy, since a build may replace the program meanwhile.
    let own = tempfile::Builder::new().prefix("spec-test-harness-").tempdir()?;
    let program = own.path().join("harness");
    fs::copy(&again.program, &program)?;
    let again = Reentry { program, args: again.args.clone() };
    let sandbox = Sandbox::new(suite, &request.lifecycle, request.launcher.as_deref(), again)?;
    let sandbox = sandbox.with_platform(request.platform.as_deref())?;
    let sandbox = request.env.iter().fold(sandbox, |sandbox, (name, value)| sandbox.with_env(name, value));
    let jobs = match request.jobs {
        Some(jobs) => jobs,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Ok(Prepared { sandbox, masks: Masks::read(suite)?, jobs, own })
}

fn check(request: &Request) -> Result<(), SpecError> {
    let dir = &request.lifecycle;
    if !dir.join("lifecycle").is_file() && !dir.join("analyzer").is_file() {
        return Err(SpecError::NotThere(format!(
            "`{}` is no folder with a lifecycle: it has neither `lifecycle` nor `analyzer`",
            dir.display()
        )));
    }
    // Cases see that folder, and not where its links lead.
    let inside = fs::canonicalize(dir)?;
    for program in ["lifecycle", "analyzer"].iter().map(|name| dir.join(name)).filter(|file| file.exists()) {
        if !fs::canonicalize(&program)?.starts_with(&inside) {
            let program = program.display();
            return Err(SpecError::NotThere(format!(
                "`{program}` is a link out of its folder: copy the program"
            )));
        }
    }
    for (what, file) in [("launcher", &request.launcher), ("platform", &request.platform)] {
        if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
            let file = file.display();
            return Err(SpecError::NotThere(format!("`{file}` is no {what}: there is no such file")));
        }
    }
    Ok(())
}

fn tell(entry: &Entry, outcome: &Outcome, verbose: bool, say: &(dyn Fn(&str) + Sync)) {
    let name = &entry.name;
    match outcome {
        Outcome::Passed if verbose => say(&format!("ok   {name}\n")),
        Outcome::Passed => {}
        Outcome::Skipped(reason) => say(&format!("skip {name}: {reason}\n")),
        Outcome::Failed(differences) => {
            let lines: Vec<String> =
                differences.iter().map(|difference| format!("    {difference}")).collect();
            say(&format!("FAIL {name}\n{}\n", lines.join("\n")));
        }
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    std::io::Write::write_all(&mut fs::File::create(file)?, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[track_caller]
    fn refused(args: &str, why: &str) {
        let error = parse(&words(args)).unwrap_err().to_string();
        assert_eq!(error, why);
    }

    #[test]
    fn arguments_say_what_is_put_to_which_cases() {
        let request = parse(&words("--lifecycle a -j 3 export/ --launcher b -v --html c deps")).unwrap();
        assert_eq!(request.lifecycle, Path::new("a"));
        assert_eq!(request.launcher.as_deref(), Some(Path::new("b")));
        assert_eq!((request.jobs, request.verbose, request.mode), (Some(3), true, Mode::Compare));
        assert_eq!(request.only, ["export/", "deps"]);
    }

    #[test]
    fn arguments_without_sense_are_refused() {
        refused("", "`--lifecycle` is missing");
        refused("--lifecycle", "`--lifecycle` needs a value");
        refused("--lifecycle a -j 0", "`-j 0` is no number of cases");
        refused("--lifecycle a --verbose", "`--verbose` is no option");
    }
}
