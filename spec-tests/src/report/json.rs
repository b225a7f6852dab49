//! The report for programs.

use serde::Serialize;

use super::{Report, Summary};
use crate::clauses::{Document, Level};
use crate::compare::Difference;
use crate::coverage::{Section, Status};
use crate::run::Outcome;

/// The version of the format.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct JsonReport<'a> {
    format: u32,
    lifecycle: &'a str,
    summary: Summary,
    cases: Vec<JsonCase<'a>>,
    clauses: Vec<JsonClause<'a>>,
    sections: &'a [Section<'a>],
}

#[derive(Serialize)]
struct JsonCase<'a> {
    name: &'a str,
    title: &'a str,
    outcome: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    differences: &'a [Difference],
    requirements: &'a [String],
    clauses: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonClause<'a> {
    id: &'a str,
    document: Document,
    section: &'a str,
    level: Level,
    who: &'a str,
    says: &'a str,
    requirements: &'a [String],
    status: Status,
    cases: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    untested: Option<&'a str>,
}

/// Returns the report as JSON, with a line end.
///
/// # Errors
/// Never: all of it can be written.
pub fn json(report: &Report<'_>) -> serde_json::Result<String> {
    let cases = report.verdicts.iter().map(|(entry, verdict)| {
        let (outcome, reason, differences): (_, _, &[Difference]) = match &verdict.outcome {
            Outcome::Passed => ("passed", None, &[]),
            Outcome::Failed(differences) => ("failed", None, differences),
            Outcome::Skipped(reason) => ("skipped", Some(reason.as_str()), &[]),
        };
        let clauses = report.clauses.iter().filter(|shown| shown.cases.contains(&entry.name.as_str()));
        JsonCase {
            name: &entry.name,
            title: &entry.case.title,
            outcome,
            // To the millisecond: more would be noise.
            seconds: (verdict.time.as_secs_f64() * 1000.0).round() / 1000.0,
            reason,
            differences,
            requirements: &entry.case.requirements,
            clauses: clauses.map(|shown| shown.clause.id.as_str()).collect(),
            differs: entry.case.differs.as_deref(),
        }
    });
    let clauses = report.clauses.iter().map(|shown| JsonClause {
        id: &shown.clause.id,
        document: shown.clause.document,
        section: &shown.clause.section,
        level: shown.clause.level,
        who: &shown.clause.who,
        says: &shown.clause.says,
        requirements: &shown.clause.requirements,
        status: shown.status,
        cases: &shown.cases,
        untested: shown.clause.untested.as_deref(),
    });
    let report = JsonReport {
        format: FORMAT,
        lifecycle: &report.lifecycle,
        summary: report.summary(),
        cases: cases.collect(),
        clauses: clauses.collect(),
        sections: &report.sections,
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

#[cfg(test)]
mod tests {
    use crate::coverage::tests;
    use crate::report::tests::sample;
    use serde_json::{Value, json};

    #[test]
    fn cases_and_clauses_are_told_with_all_that_came_of_them() {
        let (clauses, entries) = tests::sample();
        let text = super::json(&sample(&clauses, &entries)).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["summary"], json!({"passed": 1, "failed": 1, "skipped": 1}));
        let case = &report["cases"][1];
        assert_eq!(
            *case,
            json!({
                "name": "a/fail", "title": "the title of a/fail", "outcome": "failed", "seconds": 1.25,
                "differences": [{"what": "files/x: differs", "diff": "-a <b>\n+b"}],
                "requirements": ["A1"], "clauses": ["platform/a/fail"],
            })
        );
        assert_eq!(report["cases"][2]["reason"], "needs `x`");
        assert_eq!(
            report["clauses"][3],
            json!({
                "id": "distribution/a/untested", "document": "distribution", "section": "Three",
                "level": "SHALL", "who": "package", "says": "says <distribution/a/untested>",
                "requirements": [], "status": "untested", "cases": [], "untested": "no case can",
            })
        );
        assert_eq!(report["sections"].as_array().unwrap().len(), 6);
    }
}
