//! The result of a run, for terminals, programs and readers.

pub mod html;
pub mod json;
pub mod table;

use crate::corpus::Entry;
use crate::coverage::{Section, Shown};
use crate::run::{Outcome, Verdict};

/// All that came of a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// Which lifecycle was put to the cases, for people.
    pub lifecycle: String,
    /// Whether all cases were meant.
    pub whole: bool,
    /// The cases that were run or skipped, by name.
    pub verdicts: Vec<(&'a Entry, Verdict)>,
    /// The clauses, in order.
    pub clauses: Vec<Shown<'a>>,
    /// The counts of each section.
    pub sections: Vec<Section<'a>>,
}

/// How many cases passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Everything was as it should be.
    pub passed: usize,
    /// Something was not.
    pub failed: usize,
    /// Something that the case needs was not there.
    pub skipped: usize,
}

impl Report<'_> {
    /// Counts the cases.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for (_, verdict) in &self.verdicts {
            match verdict.outcome {
                Outcome::Passed => summary.passed += 1,
                Outcome::Failed(_) => summary.failed += 1,
                Outcome::Skipped(_) => summary.skipped += 1,
            }
        }
        summary
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Returns a share for people; nothing at all if it is a share of nothing.
fn percent(counts: crate::coverage::Counts) -> String {
    if counts.clauses == 0 { String::new() } else { format!("{:.1} %", counts.coverage()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clauses::Clauses;
    use crate::coverage::{sections, shown, tests};

    pub(super) fn sample<'a>(clauses: &'a Clauses, entries: &'a [Entry]) -> Report<'a> {
        let verdicts = tests::verdicts(entries);
        let clauses = shown(clauses, entries, &verdicts);
        let sections = sections(&clauses);
        Report { lifecycle: "/opt/<lifecycle>".to_owned(), whole: true, verdicts, clauses, sections }
    }

    #[test]
    fn the_closing_line_counts_the_cases() {
        let (clauses, entries) = tests::sample();
        assert_eq!(sample(&clauses, &entries).summary().to_string(), "1 passed, 1 failed, 1 skipped");
    }
}
