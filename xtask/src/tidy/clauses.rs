//! The lists of `spec-tests` are whole: in `clauses.toml` each clause is shown by a case or says why not, and each
//! case shows something; `pending.toml` names cases that there are; `mutations.toml` names the faults that there are.

use std::path::Path;

use cnb_spec_tests::clauses::{Clauses, Problem, problems};
use cnb_spec_tests::corpus;
use cnb_spec_tests::mutations::Mutations;
use cnb_spec_tests::pending::{self, Pending};

use super::{Finding, TextFile, TidyError, faults};

/// The list of clauses.
pub const CLAUSES: &str = "spec-tests/clauses.toml";
/// The list of cases that wait for something.
pub const PENDING: &str = "spec-tests/pending.toml";

/// Checks the lists of the suite in `<root>/spec-tests` against its cases; `files` are those of the workspace.
pub fn check(root: &Path, files: &[TextFile]) -> Result<Vec<Finding>, TidyError> {
    let text = |path: &str| files.iter().find(|f| f.path == path).map_or("", |f| f.text.as_str());
    let suite = root.join("spec-tests");
    let unusable = |e: &dyn std::error::Error| {
        let cause = e.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        TidyError::Spec(format!("{e}{cause}"))
    };
    let entries = corpus::read(&suite).map_err(|e| unusable(&e))?;
    let clauses = Clauses::read(&suite).map_err(|e| unusable(&e))?;
    let pending = Pending::read(&suite).map_err(|e| unusable(&e))?;
    let found = |path: &'static str, problems: Vec<Problem>| {
        let text = text(path);
        problems.into_iter().map(move |problem| finding(path, &problem, text))
    };
    let of_clauses = found(CLAUSES, problems(&clauses, &entries));
    let mutations = Mutations::read(&suite).map_err(|e| unusable(&e))?;
    let of_faults = faults::check(&mutations, text(faults::MUTATIONS), &entries, files);
    let of_pending = found(PENDING, pending::problems(&pending, &entries));
    Ok(of_clauses.chain(of_pending).chain(of_faults).collect())
}

/// Returns a problem where it is written in the list `text`.
pub(super) fn finding(path: &str, problem: &Problem, text: &str) -> Finding {
    let quoted = format!("\"{}\"", problem.of);
    let line = text.lines().position(|line| line.contains(&quoted)).map_or(0, |at| at + 1);
    Finding::new(path, line, format!("`{}` {}", problem.of, problem.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_found_where_its_clause_is() {
        let problem = Problem { of: "platform/a/b".to_owned(), what: "occurs twice".to_owned() };
        let text = "[[clause]]\nid = \"platform/a/b\"\n";
        let shown = finding(CLAUSES, &problem, text).to_string();
        assert_eq!(shown, "spec-tests/clauses.toml:2: `platform/a/b` occurs twice");
    }
}
