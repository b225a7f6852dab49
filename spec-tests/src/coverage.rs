//! What the verdicts on the cases say about the clauses.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clauses::{Clause, Clauses, Document};
use crate::corpus::Entry;
use crate::run::{Outcome, Verdict};

/// How a clause fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All its cases passed.
    Passed,
    /// One of its cases failed.
    Failed,
    /// It has cases, but one was not run or skipped, and none failed.
    NotRun,
    /// It has no cases, and says why.
    Untested,
}

impl Status {
    /// Returns the word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotRun => "not run",
            Self::Untested => "untested",
        }
    }
}

/// A clause, its cases, and how it fared.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// The clause.
    pub clause: &'a Clause,
    /// Its cases, sorted.
    pub cases: Vec<&'a str>,
    /// How it fared.
    pub status: Status,
}

/// How many clauses there are, and how they fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub clauses: usize,
    /// Those that have cases.
    pub covered: usize,
    /// Those whose cases all passed.
    pub passed: usize,
    /// Those with a case that failed.
    pub failed: usize,
    /// Those with a case that was not run, and none that failed.
    pub not_run: usize,
    /// Those without cases.
    pub untested: usize,
}

impl Counts {
    fn add(&mut self, status: Status) {
        self.clauses += 1;
        self.covered += usize::from(status != Status::Untested);
        match status {
            Status::Passed => self.passed += 1,
            Status::Failed => self.failed += 1,
            Status::NotRun => self.not_run += 1,
            Status::Untested => self.untested += 1,
        }
    }

    /// Returns the share of clauses that have cases, in percent; 100 if there are no clauses.
    #[expect(clippy::cast_precision_loss, reason = "there are hundreds of clauses")]
    pub fn coverage(&self) -> f64 {
        if self.clauses == 0 { 100.0 } else { self.covered as f64 * 100.0 / self.clauses as f64 }
    }
}

/// A section of a specification, or several together.
#[derive(Clone, Debug, Serialize)]
pub struct Section<'a> {
    /// The specification; absent for all together.
    pub document: Option<Document>,
    /// The headings; absent for the whole.
    pub section: Option<&'a str>,
    /// Its clauses.
    pub all: Counts,
    /// Of these, the MUSTs and SHALLs.
    pub musts: Counts,
    /// Of these, those that bind a lifecycle or its launcher.
    pub own_musts: Counts,
}

impl<'a> Section<'a> {
    fn new(document: Option<Document>, section: Option<&'a str>) -> Self {
        let none = Counts::default();
        Self { document, section, all: none, musts: none, own_musts: none }
    }

    fn add(&mut self, shown: &Shown<'_>) {
        self.all.add(shown.status);
        if shown.clause.level.is_must() {
            self.musts.add(shown.status);
            if shown.clause.binds_lifecycle() {
                self.own_musts.add(shown.status);
            }
        }
    }
}

/// Returns how each clause fared, in the order of the list; `verdicts` are those of the cases that were run.
pub fn shown<'a>(
    clauses: &'a Clauses,
    entries: &'a [Entry],
    verdicts: &[(&Entry, Verdict)],
) -> Vec<Shown<'a>> {
    let verdicts: BTreeMap<&str, &Outcome> =
        verdicts.iter().map(|(entry, verdict)| (entry.name.as_str(), &verdict.outcome)).collect();
    let mut cases = clauses.cases(entries);
    let show = |clause: &'a Clause| {
        let cases: Vec<&str> = cases.remove(clause.id.as_str()).unwrap_or_default().into_iter().collect();
        let outcomes: Vec<_> = cases.iter().map(|case| verdicts.get(case)).collect();
        let status = if cases.is_empty() {
            Status::Untested
        } else if outcomes.iter().any(|outcome| matches!(outcome, Some(Outcome::Failed(_)))) {
            Status::Failed
        } else if outcomes.iter().all(|outcome| matches!(outcome, Some(Outcome::Passed))) {
            Status::Passed
        } else {
            Status::NotRun
        };
        Shown { clause, cases, status }
    };
    clauses.clause.iter().map(show).collect()
}

/// Returns the counts of each section, in the order of the list, each document's followed by those of the whole
/// document, and the counts of all documents at the end.
pub fn sections<'a>(shown: &[Shown<'a>]) -> Vec<Section<'a>> {
    let mut rows = Vec::new();
    let mut total = Section::new(None, None);
    for document in Document::ALL {
        let mut whole = Section::new(Some(document), None);
        let mut sections: Vec<Section<'a>> = Vec::new();
        for shown in shown.iter().filter(|shown| shown.clause.document == document) {
            let heading = Some(shown.clause.section.as_str());
            let at = sections.iter().position(|section| section.section == heading).unwrap_or_else(|| {
                sections.push(Section::new(Some(document), heading));
                sections.len() - 1
            });
            for section in [&mut sections[at], &mut whole, &mut total] {
                section.add(shown);
            }
        }
        if whole.all.clauses > 0 {
            rows.append(&mut sections);
            rows.push(whole);
        }
    }
    rows.push(total);
    rows
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::case::Case;
    use crate::compare::Difference;

    /// A list with a clause of each status, if `a/pass` passes, `a/fail` fails and `a/skip` is skipped.
    pub(crate) fn sample() -> (Clauses, Vec<Entry>) {
        let clause = |id: &str, section: &str, level: &str, who: &str, rest: &str| {
            let document = id.split('/').next().unwrap();
            format!(
                "[[clause]]\nid = '{id}'\ndocument = '{document}'\nsection = '{section}'\nlevel = '{level}'\n\
                 who = '{who}'\nsays = 'says <{id}>'\n{rest}\n"
            )
        };
        let text = [
            clause("platform/a/pass", "One", "MUST", "lifecycle", "cases = ['a/pass']"),
            clause("platform/a/fail", "Two", "MUST NOT", "launcher", "cases = ['a/pass', 'a/fail']"),
            clause("platform/a/skip", "One", "SHOULD", "lifecycle", "cases = ['a/pass', 'a/skip']"),
            clause("distribution/a/untested", "Three", "SHALL", "package", "untested = 'no case can'"),
        ];
        let clauses = toml::from_str(&text.concat()).unwrap();
        let entries = ["a/pass", "a/fail", "a/skip"].map(|name| {
            let dir = tempfile::tempdir().unwrap();
            let text = format!("title = 'the title of {name}'\nrequirements = ['A1']\n[[step]]\nsh = ''\n");
            fs_err::write(dir.path().join("case.toml"), text).unwrap();
            let case = Case::read(dir.path()).unwrap();
            Entry { name: name.to_owned(), folder: "/".into(), case, needs: Vec::new() }
        });
        (clauses, entries.into())
    }

    pub(crate) fn verdicts(entries: &[Entry]) -> Vec<(&Entry, Verdict)> {
        let diff = Some("-a <b>\n+b".to_owned());
        let outcomes = [
            Outcome::Passed,
            Outcome::Failed(vec![Difference { what: "files/x: differs".to_owned(), diff }]),
            Outcome::Skipped("needs `x`".to_owned()),
        ];
        let verdict = |outcome| Verdict { outcome, time: Duration::from_millis(1250) };
        entries.iter().zip(outcomes.map(verdict)).collect()
    }

    #[test]
    fn a_clause_fares_as_its_worst_case() {
        let (clauses, entries) = sample();
        let verdicts = verdicts(&entries);
        let status =
            |verdicts| shown(&clauses, &entries, verdicts).iter().map(|s| s.status).collect::<Vec<_>>();
        assert_eq!(status(&verdicts), [Status::Passed, Status::Failed, Status::NotRun, Status::Untested]);
        let none = [Status::NotRun, Status::NotRun, Status::NotRun, Status::Untested];
        assert_eq!(status(&[]), none);
    }

    #[test]
    fn sections_are_counted_and_summed_up() {
        let (clauses, entries) = sample();
        let verdicts = verdicts(&entries);
        let shown = shown(&clauses, &entries, &verdicts);
        let rows: Vec<String> = sections(&shown)
            .iter()
            .map(|row| {
                let (document, section) =
                    (row.document.map_or("all", Document::name), row.section.unwrap_or("all"));
                let (all, musts, own) = (row.all, row.musts, row.own_musts);
                format!(
                    "{document} {section}: {} of {}, {} passed; musts {} of {} ({:.0} %); own {} of {}",
                    all.covered,
                    all.clauses,
                    all.passed,
                    musts.covered,
                    musts.clauses,
                    musts.coverage(),
                    own.covered,
                    own.clauses
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                "platform One: 2 of 2, 1 passed; musts 1 of 1 (100 %); own 1 of 1",
                "platform Two: 1 of 1, 0 passed; musts 1 of 1 (100 %); own 1 of 1",
                "platform all: 3 of 3, 1 passed; musts 2 of 2 (100 %); own 2 of 2",
                "distribution Three: 0 of 1, 0 passed; musts 0 of 1 (0 %); own 0 of 0",
                "distribution all: 0 of 1, 0 passed; musts 0 of 1 (0 %); own 0 of 0",
                "all all: 3 of 4, 1 passed; musts 2 of 3 (67 %); own 2 of 2",
            ]
        );
    }
}
