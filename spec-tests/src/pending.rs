//! `pending.toml`: cases that this project's own lifecycle does not pass yet, each with what is missing.
//!
//! Only the gate of this project reads it: anybody's lifecycle is put to all cases.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use crate::clauses::Problem;
use crate::compare::Difference;
use crate::corpus::Entry;
use crate::run::Outcome;

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// The cases.
    #[serde(default)]
    pub pending: Vec<PendingCase>,
}

/// A case that must fail, until what it needs is there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingCase {
    /// The case.
    pub case: String,
    /// What is missing.
    pub why: String,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// The file could not be read.
    #[error("failed to read the pending cases")]
    Read(#[from] std::io::Error),
    /// The file is not TOML, or has other keys than it should.
    #[error("`{}` is not a list of pending cases", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
}

/// What a pending case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It failed, as it must while what it needs is missing; not to be counted.
    Pending,
    /// This is to be counted: a pending case that passes fails.
    Counts(Outcome),
}

impl Pending {
    /// Reads `<suite>/pending.toml`.
    ///
    /// # Errors
    /// If it cannot be read, or is no list of pending cases.
    pub fn read(suite: &Path) -> Result<Self, PendingError> {
        let path = suite.join("pending.toml");
        let text = fs::read_to_string(&path)?;
        toml::from_str(&text).map_err(|source| PendingError::Toml { path, source: Box::new(source) })
    }

    /// Returns what the case `name` waits for, if it is pending.
    pub fn why(&self, name: &str) -> Option<&str> {
        self.pending.iter().find(|pending| pending.case == name).map(|pending| pending.why.as_str())
    }

    /// Returns what the `outcome` of the case `name` means.
    pub fn settle(&self, name: &str, outcome: &Outcome) -> Settled {
        match (self.why(name), outcome) {
            (Some(_), Outcome::Failed(_)) => Settled::Pending,
            (Some(why), Outcome::Passed) => {
                let what = format!("passes although it is pending ({why}): take it out of pending.toml");
                Settled::Counts(Outcome::Failed(vec![Difference { what, diff: None }]))
            }
            (_, outcome) => Settled::Counts(outcome.clone()),
        }
    }
}

/// Returns what keeps the list from being whole: each case is there, once, and waits for something.
pub fn problems(pending: &Pending, entries: &[Entry]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |of: &str, what: &str| problems.push(Problem { of: of.to_owned(), what: what.to_owned() });
    for (n, PendingCase { case, why }) in pending.pending.iter().enumerate() {
        if !entries.iter().any(|entry| entry.name == *case) {
            add(case, "is pending, but is not there");
        }
        if why.trim().is_empty() {
            add(case, "needs a line for `why` it is pending");
        }
        if pending.pending[..n].iter().any(|other| other.case == *case) {
            add(case, "is pending twice");
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clauses::tests::entries;

    fn read(text: &str) -> Pending {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_pending_case_must_fail() {
        let pending = read("[[pending]]\ncase = 'a/b'\nwhy = 'no c yet'");
        let failed = Outcome::Failed(vec![Difference { what: "x".to_owned(), diff: None }]);
        let skipped = Outcome::Skipped("needs `x`".to_owned());
        assert_eq!(pending.settle("a/b", &failed), Settled::Pending);
        assert_eq!(pending.settle("a/b", &skipped), Settled::Counts(skipped));
        assert_eq!(pending.settle("a/c", &failed), Settled::Counts(failed));
        assert_eq!(pending.settle("a/c", &Outcome::Passed), Settled::Counts(Outcome::Passed));
        let Settled::Counts(Outcome::Failed(why)) = pending.settle("a/b", &Outcome::Passed) else { panic!() };
        assert_eq!(why[0].what, "passes although it is pending (no c yet): take it out of pending.toml");
    }

    #[test]
    fn pending_cases_are_there_once_and_wait_for_something() {
        let text = "[[pending]]\ncase = 'a/b'\nwhy = 'x'\n[[pending]]\ncase = 'a/b'\nwhy = ' '\n\
                    [[pending]]\ncase = 'a/c'\nwhy = 'x'\n";
        let found = problems(&read(text), &entries(&["a/b"]));
        let found: Vec<String> = found.iter().map(|p| format!("{}: {}", p.of, p.what)).collect();
        let expected = [
            "a/b: needs a line for `why` it is pending",
            "a/b: is pending twice",
            "a/c: is pending, but is not there",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_list_of_this_suite_can_be_read() {
        assert!(Pending::read(crate::cli::suite()).is_ok());
    }
}
