//! `case.toml`: what a case does and what must come of it.
//!
//! The format is described in `spec-tests/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use regex::Regex;
use serde::Deserialize;

/// The phases, as a step may name them; each is the lifecycle under test at `/cnb/lifecycle/<phase>`.
pub const PHASES: &[&str] =
    &["analyzer", "detector", "restorer", "builder", "exporter", "extender", "rebaser", "creator"];

/// What a step says to start the launcher under test.
pub const LAUNCHER: &str = "launcher";

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the case claims.
    pub title: String,
    /// The requirements that it shows, by number.
    pub requirements: Vec<String>,
    /// The clauses of the specifications that it covers, by ID, beside those that name it.
    pub clauses: Vec<String>,
    /// Whether only root can run it, since it reads host files that others may not read.
    pub root: bool,
    /// Whether it is about a platform: its steps start the command under test by its name.
    pub platform: bool,
    /// The environment of every step.
    pub env: BTreeMap<String, String>,
    /// Images to push first: the reference within the registry, and the folder with the OCI layout.
    pub push: BTreeMap<String, String>,
    /// A script that runs before the first step.
    pub setup: Option<String>,
    /// The files to compare afterwards, as globs of absolute paths.
    pub keep: Vec<String>,
    /// Kept TOML files to compare by their bytes, as `files/<path>`.
    pub bytes: Vec<String>,
    /// The images to compare afterwards, as references within the registry.
    pub image: Vec<String>,
    /// Why the expectation is not what the Go lifecycle does.
    pub differs: Option<String>,
    /// What is run, in order; never empty.
    pub steps: Vec<Step>,
}

/// One command of a case.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is run.
    pub action: Action,
    /// A link through which the command is started.
    pub argv0: Option<PathBuf>,
    /// The environment, over that of the case.
    pub env: BTreeMap<String, String>,
    /// Where it is run; `/workspace` if absent.
    pub cwd: Option<PathBuf>,
    /// The exit code that it must have; minus the number of the signal that must end it.
    pub exit: i32,
    /// What it must print to standard output, to the byte.
    pub stdout: Option<String>,
    /// What must occur in its output.
    pub says: Vec<Regex>,
    /// What must not occur in its output.
    pub never_says: Vec<Regex>,
}

/// What a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A program with arguments; never empty.
    Run(Vec<String>),
    /// A bash script.
    Shell(String),
}

/// Why a case cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file could not be read.
    #[error("failed to read the case")]
    Read(#[from] std::io::Error),
    /// The file is not TOML, or has other keys than a case has.
    #[error("`{}` is not a case", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// The keys do not go together.
    #[error("`{}` is not a case: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Case {
    /// Reads `case.toml` in the folder of a case.
    ///
    /// # Errors
    /// If it cannot be read, or is not a case.
    pub fn read(folder: &Path) -> Result<Self, CaseError> {
        let path = folder.join("case.toml");
        let text = fs::read_to_string(&path)?;
        let raw: RawCase = toml::from_str(&text)
            .map_err(|source| CaseError::Toml { path: path.clone(), source: Box::new(source) })?;
        raw.check().map_err(|what| CaseError::Invalid { path, what })
    }

    /// Returns whether a step starts the launcher under test.
    pub fn starts_launcher(&self) -> bool {
        self.steps.iter().any(|step| matches!(&step.action, Action::Run(argv) if argv[0] == LAUNCHER))
    }

    /// Returns whether the case may need a registry: unless nothing in it hints at one.
    pub fn needs_registry(&self) -> bool {
        if !self.push.is_empty() || !self.image.is_empty() || self.platform {
            return true;
        }
        let scripts = self.setup.iter().map(String::as_str);
        let words = self.steps.iter().flat_map(|step| match &step.action {
            Action::Run(argv) => argv.iter().map(String::as_str).collect(),
            Action::Shell(script) => vec![script.as_str()],
        });
        scripts.chain(words).any(|text| HINTS_OF_REGISTRY.iter().any(|hint| text.contains(hint)))
    }
}

/// Words that may mean images: everything but detector, builder and launcher may reach for one.
const HINTS_OF_REGISTRY: &[&str] =
    &["5000", "skopeo", "analyze", "restore", "export", "extend", "rebase", "create", "lifecycle/lifecycle"];

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    title: String,
    #[serde(default)]
    requirements: Vec<String>,
    #[serde(default)]
    clauses: Vec<String>,
    #[serde(default)]
    root: bool,
    #[serde(default)]
    platform: bool,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    push: BTreeMap<String, String>,
    setup: Option<String>,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    bytes: Vec<String>,
    #[serde(default)]
    image: Vec<String>,
    differs: Option<String>,
    step: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    run: Option<Vec<String>>,
    sh: Option<String>,
    argv0: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    #[serde(default)]
    exit: i32,
    stdout: Option<String>,
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    never_says: Vec<String>,
}

impl RawCase {
    fn check(self) -> Result<Case, String> {
        if self.step.is_empty() {
            return Err("it has no steps".to_owned());
        }
        let number = |(n, step): (usize, RawStep)| step.check().map_err(|e| format!("step {}: {e}", n + 1));
        Ok(Case {
            title: self.title,
            requirements: self.requirements,
            clauses: self.clauses,
            root: self.root,
            platform: self.platform,
            env: self.env,
            push: self.push,
            setup: self.setup,
            keep: self.keep,
            bytes: self.bytes,
            image: self.image,
            differs: self.differs,
            steps: self.step.into_iter().enumerate().map(number).collect::<Result<_, _>>()?,
        })
    }
}

impl RawStep {
    fn check(self) -> Result<Step, String> {
        let action = match (self.run, self.sh) {
            (Some(argv), None) if argv.is_empty() => return Err("`run` names no program".to_owned()),
            (Some(argv), None) => Action::Run(argv),
            (None, Some(script)) => Action::Shell(script),
            _ => return Err("needs either `run` or `sh`".to_owned()),
        };
        let patterns = |patterns: Vec<String>| {
            let compiled = patterns.iter().map(|p| Regex::new(p).map_err(|e| e.to_string()));
            compiled.collect::<Result<Vec<_>, _>>()
        };
        Ok(Step {
            action,
            argv0: self.argv0,
            env: self.env,
            cwd: self.cwd,
            exit: self.exit,
            stdout: self.stdout,
            says: patterns(self.says)?,
            never_says: patterns(self.never_says)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Case, CaseError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("case.toml"), text).unwrap();
        Case::read(folder.path())
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let error = read(text).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let message = format!("{error}: {source}");
        assert!(message.contains("case.toml` is not a case") && message.contains(why), "{message}");
    }

    #[test]
    fn a_case_is_refused_by_name_and_reason() {
        refused("title = 1", "expected a string");
        refused("title = 'a'\nstepp = []\nstep = []", "unknown field `stepp`");
        refused("title = 'a'\nstep = []", "it has no steps");
        refused("title = 'a'\n[[step]]\nexit = 1", "step 1: needs either `run` or `sh`");
        refused("title = 'a'\n[[step]]\nsh = ''\n[[step]]\nrun = []", "step 2: `run` names no program");
        refused("title = 'a'\n[[step]]\nsh = ''\nsays = ['(']", "step 1: regex parse error");
    }

    #[test]
    fn a_registry_is_started_unless_nothing_hints_at_one() {
        let needs = |text: &str| read(&format!("title = 'a'\n{text}")).unwrap().needs_registry();
        assert!(!needs("[[step]]\nrun = ['detector', '-app', '/workspace']"));
        assert!(!needs("setup = 'chown 1 /workspace'\n[[step]]\nrun = ['launcher']"));
        assert!(needs("[[step]]\nrun = ['setpriv', '/cnb/lifecycle/exporter', 'app']"));
        assert!(needs("[[step]]\nsh = 'skopeo inspect x'"));
        assert!(needs("image = ['app']\n[[step]]\nrun = ['builder']"));
        assert!(needs("setup = 'curl 127.0.0.1:5000/v2/'\n[[step]]\nrun = ['builder']"));
    }
}
