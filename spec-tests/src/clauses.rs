//! `clauses.toml`: what the specifications say, clause by clause, and which cases show it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::corpus::Entry;

/// The list of clauses, in the order of the specifications.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clauses {
    /// What the specifications say.
    #[serde(default)]
    pub clause: Vec<Clause>,
    /// Cases that show more than any clause demands.
    #[serde(default)]
    pub beyond: Vec<Beyond>,
}

/// One normative statement, in our own words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// `<document>/<section>/<name>`, in lower case.
    pub id: String,
    /// Where it stands.
    pub document: Document,
    /// The headings above it, with ` › ` between them.
    pub section: String,
    /// Its keyword.
    pub level: Level,
    /// Who is bound by it.
    pub who: String,
    /// What it says, on one line.
    pub says: String,
    /// The requirements that restate it, by number.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// The cases of which at least one fails when a lifecycle breaks it.
    pub cases: Option<Vec<String>>,
    /// Why there is no such case.
    pub untested: Option<String>,
}

/// A case that shows more than any clause demands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beyond {
    /// The case.
    pub case: String,
    /// What it shows.
    pub shows: String,
}

/// A specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// Platform Interface Specification.
    Platform,
    /// Buildpack Interface Specification.
    Buildpack,
    /// Image Extension Specification.
    ImageExtension,
    /// Distribution Specification.
    Distribution,
}

impl Document {
    /// All specifications, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Platform, Self::Buildpack, Self::ImageExtension, Self::Distribution];

    /// Returns the name with which the IDs of its clauses begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Buildpack => "buildpack",
            Self::ImageExtension => "image-extension",
            Self::Distribution => "distribution",
        }
    }

    /// Returns the title for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Buildpack => "Buildpack",
            Self::ImageExtension => "Image Extension",
            Self::Distribution => "Distribution",
        }
    }
}

/// The keyword of a clause (RFC 2119), or `STATED` for a rule without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the keywords themselves")]
pub enum Level {
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    Shall,
    #[serde(rename = "SHALL NOT")]
    ShallNot,
    Required,
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    May,
    #[serde(rename = "MAY NOT")]
    MayNot,
    Optional,
    Stated,
}

impl Level {
    /// Returns whether a lifecycle that breaks the clause does not conform.
    pub fn is_must(self) -> bool {
        matches!(self, Self::Must | Self::MustNot | Self::Shall | Self::ShallNot | Self::Required)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Must => "MUST",
            Self::MustNot => "MUST NOT",
            Self::Shall => "SHALL",
            Self::ShallNot => "SHALL NOT",
            Self::Required => "REQUIRED",
            Self::Should => "SHOULD",
            Self::ShouldNot => "SHOULD NOT",
            Self::May => "MAY",
            Self::MayNot => "MAY NOT",
            Self::Optional => "OPTIONAL",
            Self::Stated => "STATED",
        })
    }
}

impl Clause {
    /// Returns whether a lifecycle or its launcher is bound by it, so that a case can show it.
    pub fn binds_lifecycle(&self) -> bool {
        matches!(self.who.as_str(), "lifecycle" | "launcher")
    }
}

/// Why there is no list of clauses.
#[derive(Debug, thiserror::Error)]
pub enum ClausesError {
    /// The file could not be read.
    #[error("failed to read the clauses")]
    Read(#[from] std::io::Error),
    /// The file is not TOML, or has other keys than it should.
    #[error("`{}` is not a list of clauses", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
}

impl Clauses {
    /// Reads `<suite>/clauses.toml`.
    ///
    /// # Errors
    /// If it cannot be read, or is no list of clauses.
    pub fn read(suite: &Path) -> Result<Self, ClausesError> {
        let path = suite.join("clauses.toml");
        let text = fs::read_to_string(&path)?;
        toml::from_str(&text).map_err(|source| ClausesError::Toml { path, source: Box::new(source) })
    }

    /// Returns the cases of each clause, sorted: those that it names and those that name it.
    pub fn cases<'a>(&'a self, entries: &'a [Entry]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let named = self.clause.iter().map(|clause| {
            let cases = clause.cases.iter().flatten().map(String::as_str);
            (clause.id.as_str(), cases.collect::<BTreeSet<_>>())
        });
        let mut cases: BTreeMap<_, _> = named.collect();
        for entry in entries {
            for id in &entry.case.clauses {
                if let Some(cases) = cases.get_mut(id.as_str()) {
                    cases.insert(&entry.name);
                }
            }
        }
        cases
    }
}

/// Something wrong with the list, or with a case's place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The ID of the clause, or the name of the case.
    pub of: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Returns what keeps the list from being whole: each clause is shown by cases that exist or says why it is not, and
/// each case shows a clause or says what it shows beyond them.
pub fn problems(clauses: &Clauses, entries: &[Entry]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |of: &str, what: String| problems.push(Problem { of: of.to_owned(), what });
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let mut ids = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for clause in &clauses.clause {
        let id = clause.id.as_str();
        if !ids.insert(id) {
            add(id, "occurs twice".to_owned());
        }
        if !is_id(id, clause.document) {
            add(id, format!("is no ID: write `{}/<section>/<name>` in lower case", clause.document.name()));
        }
        let texts = [("section", &clause.section), ("who", &clause.who), ("says", &clause.says)];
        for (key, _) in texts.iter().filter(|(_, text)| text.trim().is_empty() || text.contains('\n')) {
            add(id, format!("needs one line for `{key}`"));
        }
        match (&clause.cases, &clause.untested) {
            (Some(cases), None) if !cases.is_empty() => {}
            (None, Some(reason)) if !reason.trim().is_empty() => {}
            _ => add(id, "needs either `cases` or a reason why it is `untested`".to_owned()),
        }
        for case in clause.cases.iter().flatten() {
            shown.insert(case.as_str());
            if !known.contains(case.as_str()) {
                add(id, format!("names the case `{case}`, which is not there"));
            }
        }
    }
    for entry in entries {
        for id in &entry.case.clauses {
            match clauses.clause.iter().find(|clause| clause.id == *id) {
                None => add(&entry.name, format!("names the clause `{id}`, which is not there")),
                Some(clause) if clause.untested.is_some() => {
                    add(&entry.name, format!("covers the clause `{id}`, which calls itself untested"));
                }
                Some(_) => _ = shown.insert(&entry.name),
            }
        }
    }
    for beyond in &clauses.beyond {
        let case = beyond.case.as_str();
        if !known.contains(case) {
            add(case, "is said to show something, but is not there".to_owned());
        }
        if beyond.shows.trim().is_empty() {
            add(case, "needs a line for what it `shows`".to_owned());
        }
        if !shown.insert(case) {
            add(case, "is listed as beyond the clauses, and as showing one".to_owned());
        }
    }
    for case in known.difference(&shown) {
        add(
            case,
            "shows no clause: name it in `clauses.toml`, or name a clause in its `case.toml`".to_owned(),
        );
    }
    problems
}

fn is_id(id: &str, document: Document) -> bool {
    let parts: Vec<&str> = id.split('/').collect();
    let part = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    };
    parts.len() >= 3 && parts[0] == document.name() && parts.iter().all(part)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::Case;

    fn clause(id: &str, rest: &str) -> String {
        let document = id.split('/').next().unwrap();
        format!(
            "[[clause]]\nid = '{id}'\ndocument = '{document}'\nsection = 'S › T'\nlevel = 'MUST NOT'\n\
             who = 'lifecycle'\nsays = 'x'\n{rest}\n"
        )
    }

    /// Makes cases from `name` or `name:clause`.
    pub(crate) fn entries(cases: &[&str]) -> Vec<Entry> {
        let entry = |text: &&str| {
            let (name, clauses) = text.split_once(':').unwrap_or((text, ""));
            let dir = tempfile::tempdir().unwrap();
            let clauses: Vec<String> = clauses.split_whitespace().map(|c| format!("'{c}'")).collect();
            let text = format!("title = 'a'\nclauses = [{}]\n[[step]]\nsh = ''\n", clauses.join(","));
            fs::write(dir.path().join("case.toml"), text).unwrap();
            let case = Case::read(dir.path()).unwrap();
            Entry { name: name.to_owned(), folder: PathBuf::new(), case, needs: Vec::new() }
        };
        cases.iter().map(entry).collect()
    }

    #[track_caller]
    fn check(text: &str, cases: &[&str], expected: &[&str]) {
        let clauses: Clauses = toml::from_str(text).unwrap();
        let found = problems(&clauses, &entries(cases));
        let found: Vec<String> = found.iter().map(|p| format!("{}: {}", p.of, p.what)).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn each_clause_has_cases_or_a_reason() {
        let text = clause("platform/a/b", "cases = ['e/x']") + &clause("buildpack/a/b.1", "untested = 'why'");
        check(&text, &["e/x"], &[]);
        check(&clause("platform/a/b", ""), &[], &["platform/a/b: needs either"]);
        check(&clause("platform/a/b", "cases = []"), &[], &["platform/a/b: needs either"]);
        check(&clause("platform/a/b", "untested = ' '"), &[], &["platform/a/b: needs either"]);
        let both = clause("platform/a/b", "cases = ['e/x']\nuntested = 'why'");
        check(&both, &["e/x"], &["platform/a/b: needs either"]);
    }

    #[test]
    fn each_case_is_there_and_shows_something() {
        let text = clause("platform/a/b", "cases = ['e/x']");
        check(&text, &["e/y"], &["platform/a/b: names the case `e/x`", "e/y: shows no clause"]);
        check(&text, &["e/x", "e/y:platform/a/b"], &[]);
        check(&text, &["e/x:platform/c/d"], &["e/x: names the clause `platform/c/d`"]);
        check(
            &clause("platform/a/b", "untested = 'why'"),
            &["e/x:platform/a/b"],
            &["e/x: covers the clause `platform/a/b`", "e/x: shows no clause"],
        );
    }

    #[test]
    fn what_is_beyond_the_clauses_shows_none() {
        let beyond = |case: &str| format!("[[beyond]]\ncase = '{case}'\nshows = 'y'\n");
        let text = clause("platform/a/b", "cases = ['e/x']");
        check(&(text.clone() + &beyond("e/y")), &["e/x", "e/y"], &[]);
        check(&(text.clone() + &beyond("e/x")), &["e/x"], &["e/x: is listed as beyond"]);
        check(&(text + &beyond("e/z")), &["e/x"], &["e/z: is said to show something"]);
    }

    #[test]
    fn ids_are_unique_and_well_formed() {
        let twice = clause("platform/a/b", "untested = 'x'").repeat(2);
        check(&twice, &[], &["platform/a/b: occurs twice"]);
        for id in ["platform/a", "platform/A/b", "platform//b"] {
            check(&clause(id, "untested = 'x'"), &[], &[&format!("{id}: is no ID")]);
        }
        let other = clause("platform/a/b", "untested = 'x'")
            .replace("document = 'platform'", "document = 'buildpack'");
        check(&other, &[], &["platform/a/b: is no ID: write `buildpack/"]);
    }
}
