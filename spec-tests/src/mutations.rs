//! `mutations.toml`: deliberate faults of this project's own lifecycle, and the cases of which one must catch each.
//!
//! A suite that passes a wrong lifecycle is worth little. A lifecycle built with faults in it takes the name of one
//! from its environment; whoever gives it none has a lifecycle without faults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use crate::clauses::Problem;
use crate::compare::Difference;
use crate::corpus::Entry;
use crate::parallel;
use crate::run::{self, Mode, Outcome};
use crate::sandbox::Sandbox;
use crate::toml_values::Masks;

/// The variable by which a lifecycle with faults is told which one to have.
pub const VARIABLE: &str = "CNB_TEST_FAULT";

/// The name of no fault. The variable is set with it, so that a case that only sees the variable catches nothing.
const NO_FAULT: &str = "none";

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutations {
    /// The faults.
    #[serde(default)]
    pub fault: Vec<Fault>,
}

/// A deliberate fault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its name, in lower case.
    pub id: String,
    /// What goes wrong, on one line.
    pub says: String,
    /// The cases of which at least one fails, the cheapest first.
    pub cases: Vec<String>,
}

/// Why the faults could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum MutationsError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not TOML, or has other keys than it should.
    #[error("`{}` is not a list of faults", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// Names that mean no fault, or cases that are not there.
    #[error("{0}")]
    NotThere(String),
    /// Cases that say nothing about a fault, since they do not pass without one.
    #[error("without a fault, {0}")]
    Unfit(String),
}

/// How many faults were caught, and how many survived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// A case failed.
    pub caught: usize,
    /// None did.
    pub survived: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.caught, self.survived)
    }
}

impl Mutations {
    /// Reads `<suite>/mutations.toml`.
    ///
    /// # Errors
    /// If it cannot be read, or is no list of faults.
    pub fn read(suite: &Path) -> Result<Self, MutationsError> {
        let path = suite.join("mutations.toml");
        let text = fs::read_to_string(&path)?;
        toml::from_str(&text).map_err(|source| MutationsError::Toml { path, source: Box::new(source) })
    }

    /// Returns the faults that are called one of `only`, or all if none is named.
    ///
    /// # Errors
    /// [`MutationsError::NotThere`] for a name that means none.
    pub fn named(&self, only: &[String]) -> Result<Vec<&Fault>, MutationsError> {
        if let Some(stray) = only.iter().find(|name| !self.fault.iter().any(|fault| fault.id == **name)) {
            return Err(MutationsError::NotThere(format!("no fault is called `{stray}`")));
        }
        Ok(self.fault.iter().filter(|fault| only.is_empty() || only.contains(&fault.id)).collect())
    }
}

/// Returns what keeps the list from being whole: each fault has a name of its own, a line that says what goes wrong,
/// and cases that are there.
pub fn problems(mutations: &Mutations, entries: &[Entry]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |of: &str, what: String| problems.push(Problem { of: of.to_owned(), what });
    let mut ids = BTreeSet::new();
    for Fault { id, says, cases } in &mutations.fault {
        if !ids.insert(id) {
            add(id, "occurs twice".to_owned());
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
        if id.is_empty() || id == NO_FAULT || !id.bytes().all(plain) {
            add(id, "is no name of a fault: write words in lower case, with `-` between".to_owned());
        }
        if says.trim().is_empty() || says.contains('\n') {
            add(id, "needs one line for what it `says`".to_owned());
        }
        if cases.is_empty() {
            add(id, "needs a case that catches it".to_owned());
        }
        for case in cases.iter().filter(|case| !entries.iter().any(|entry| entry.name == **case)) {
            add(id, format!("names the case `{case}`, which is not there"));
        }
    }
    problems
}

/// Puts the lifecycle of `sandbox`, which must have the faults, to the cases of each of `faults`; `say` gets a line
/// for each.
///
/// # Errors
/// If a case is not there or does not pass without a fault, or cannot be run on this machine.
pub fn run(
    faults: &[&Fault],
    entries: &[Entry],
    sandbox: &Sandbox,
    masks: &Masks,
    jobs: usize,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Summary, MutationsError> {
    let cases: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let named: BTreeSet<&str> = faults.iter().flat_map(|f| &f.cases).map(String::as_str).collect();
    let meant = named.iter().map(|name| {
        let entry = cases.get(name).copied();
        entry.ok_or_else(|| MutationsError::NotThere(format!("no case is called `{name}`")))
    });
    let meant = meant.collect::<Result<Vec<&Entry>, _>>()?;
    let with = |fault: &str| sandbox.clone().with_env(VARIABLE, fault);
    say(&format!("{} cases without a fault\n", meant.len()));
    let verdicts = run::run(&meant, &with(NO_FAULT), masks, jobs, Mode::Compare, &|_, _| {})?;
    if let Some((entry, unfit)) = meant.iter().zip(&verdicts).find(|(_, v)| v.outcome != Outcome::Passed) {
        let why = match &unfit.outcome {
            Outcome::Skipped(reason) => format!("is skipped: {reason}"),
            Outcome::Failed(differences) => format!("fails: {}", first(differences)),
            Outcome::Passed => String::new(),
        };
        return Err(MutationsError::Unfit(format!("`{}` {why}", entry.name)));
    }
    let mut summary = Summary::default();
    let caught = parallel::map(
        faults,
        jobs,
        |fault| {
            let sandbox = with(&fault.id);
            for entry in fault.cases.iter().filter_map(|name| cases.get(name.as_str())) {
                if let Outcome::Failed(differences) = run::one(entry, &sandbox, masks, Mode::Compare)? {
                    return Ok(Some((entry.name.clone(), first(&differences))));
                }
            }
            Ok(None)
        },
        |fault, caught| match caught {
            Some((case, how)) => say(&format!("{}: caught by {case}: {how}\n", fault.id)),
            None => say(&format!("{}: SURVIVED {}: {}\n", fault.id, fault.cases.join(", "), fault.says)),
        },
    )?;
    summary.caught = caught.iter().flatten().count();
    summary.survived = caught.len() - summary.caught;
    say(&format!("{summary}\n"));
    Ok(summary)
}

/// Returns what the first difference is, without the output of steps that may follow it, on one line.
fn first(differences: &[Difference]) -> String {
    let what = differences.first().map(|d| d.what.replace('\n', " ")).unwrap_or_default();
    let line = what.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ");
    if line.chars().count() <= 100 { line } else { line.chars().take(99).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clauses::tests::entries;

    fn fault(id: &str, says: &str, cases: &str) -> String {
        format!("[[fault]]\nid = '{id}'\nsays = '{says}'\ncases = [{cases}]\n")
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = problems(&toml::from_str(text).unwrap(), &entries(&["a/b"]));
        let found: Vec<String> = found.iter().map(|p| format!("{}: {}", p.of, p.what)).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn each_fault_has_a_name_and_a_case() {
        check(&fault("label-lost", "x", "'a/b'"), &[]);
        check(&fault("label-lost", " ", ""), &["label-lost: needs one line", "label-lost: needs a case"]);
        check(&fault("Label", "x", "'a/c'"), &["Label: is no name", "Label: names the case `a/c`"]);
        check(&fault("none", "x", "'a/b'"), &["none: is no name"]);
        check(&fault("a", "x", "'a/b'").repeat(2), &["a: occurs twice"]);
        assert!(toml::from_str::<Mutations>("[[fault]]\nid = 'a'\nsays = 'x'\ncase = 'a/b'").is_err());
    }

    #[test]
    fn faults_are_meant_by_their_whole_names() {
        let text = fault("a", "x", "'a/b'") + &fault("a-b", "x", "'a/b'");
        let all: Mutations = toml::from_str(&text).unwrap();
        let named = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|o| (*o).to_owned()).collect();
            all.named(&only).map(|found| found.iter().map(|f| f.id.clone()).collect::<Vec<_>>())
        };
        assert_eq!(named(&[]).unwrap(), ["a", "a-b"]);
        assert_eq!(named(&["a"]).unwrap(), ["a"]);
        assert_eq!(named(&["b"]).unwrap_err().to_string(), "no fault is called `b`");
    }

    #[test]
    fn how_a_fault_was_caught_fits_on_a_line() {
        let difference = |what: &str| vec![Difference { what: what.to_owned(), diff: None }];
        assert_eq!(first(&difference("step 1: exit 1, expected 0: a: b\nc")), "step 1: exit 1, expected 0");
        assert_eq!(first(&difference("a\nb")), "a b");
        let long = first(&difference(&"é".repeat(200)));
        assert!(long.chars().count() == 100 && long.ends_with('…'), "{long}");
    }
}
