//! The table by document and section.

use super::{Report, percent};
use crate::clauses::Document;
use crate::coverage::{Counts, Section};

/// How wide the first column may become.
const WIDEST: usize = 58;

/// Returns the table, with a line for each section, each document and all together, and what share of the MUSTs is
/// covered. If not all cases were meant, sections without a verdict are left out.
pub fn table(report: &Report<'_>) -> String {
    let mut lines = vec![row(
        "clauses of the specifications",
        &[
            "all", "covered", "passed", "failed", "not run", "untested", "MUSTs", "covered", "  ours",
            "covered",
        ]
        .map(str::to_owned),
    )];
    let mut last = None;
    for section in report.sections.iter().filter(|s| report.whole || s.all.passed + s.all.failed > 0) {
        if section.document != last {
            lines.push(String::new());
            lines.extend(section.document.map(|document| format!("{} specification", document.title())));
            last = section.document;
        }
        lines.push(row(&label(section), &cells(section)));
    }
    lines.push(String::new());
    if report.whole {
        let wholes = report.sections.iter().filter(|section| section.section.is_none());
        lines.extend(wholes.map(|section| coverage(section.document, section)));
    }
    lines.push(
        "A MUST is a MUST, MUST NOT, SHALL, SHALL NOT or REQUIRED; ours bind the lifecycle or its launcher."
            .to_owned(),
    );
    lines.join("\n")
}

fn label(section: &Section<'_>) -> String {
    match (section.document, section.section) {
        (Some(_), Some(heading)) => format!("  {heading}"),
        (Some(_), None) => "  together".to_owned(),
        (None, _) => "all specifications".to_owned(),
    }
}

fn cells(section: &Section<'_>) -> [String; 10] {
    let number = |count: usize| if count == 0 { "·".to_owned() } else { count.to_string() };
    let Counts { clauses, covered, passed, failed, not_run, untested } = section.all;
    let [clauses, covered, passed, failed, not_run, untested] =
        [clauses, covered, passed, failed, not_run, untested].map(number);
    let (musts, own) = (section.musts, section.own_musts);
    let (must, own_must) = (number(musts.clauses), number(own.clauses));
    [clauses, covered, passed, failed, not_run, untested, must, percent(musts), own_must, percent(own)]
}

fn row(label: &str, cells: &[String; 10]) -> String {
    let length = label.chars().count();
    let label = if length > WIDEST {
        // The end of a heading tells more than its beginning.
        let tail: String = label.chars().skip(length - WIDEST + 3).collect();
        format!("  …{tail}")
    } else {
        label.to_owned()
    };
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>8}")).collect();
    format!("{label:<WIDEST$} {}", cells.join(" ")).trim_end().to_owned()
}

/// Returns the line about coverage of a document, for people.
pub fn coverage(document: Option<Document>, section: &Section<'_>) -> String {
    let title = document.map_or("All specifications", Document::title);
    let (musts, own) = (section.musts, section.own_musts);
    format!(
        "{title}: {} of {} MUSTs have a case ({}), {} passed here; of those that bind the lifecycle, {} of {} ({})",
        musts.covered,
        musts.clauses,
        percent(musts),
        musts.passed,
        own.covered,
        own.clauses,
        percent(own)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::tests;
    use crate::report::tests::sample;

    #[test]
    fn every_section_has_a_line_and_every_document_a_sum() {
        let (clauses, entries) = tests::sample();
        let table = table(&sample(&clauses, &entries));
        let squeezed: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            squeezed[1..11],
            [
                "",
                "Platform specification",
                "One 2 2 1 · 1 · 1 100.0 % 1 100.0 %",
                "Two 1 1 · 1 · · 1 100.0 % 1 100.0 %",
                "together 3 3 1 1 1 · 2 100.0 % 2 100.0 %",
                "",
                "Distribution specification",
                "Three 1 · · · · 1 1 0.0 % ·",
                "together 1 · · · · 1 1 0.0 % ·",
                "",
            ]
        );
        assert!(
            table.contains("All specifications: 2 of 3 MUSTs have a case (66.7 %), 1 passed here; "),
            "{table}"
        );
        assert_eq!(squeezed[11], "all specifications 4 3 1 1 1 1 3 66.7 % 2 100.0 %");
    }

    #[test]
    fn sections_without_a_verdict_are_left_out_if_only_some_cases_were_meant() {
        let (clauses, entries) = tests::sample();
        let report = crate::report::Report { whole: false, ..sample(&clauses, &entries) };
        let table = table(&report);
        assert!(
            table.contains("  One") && !table.contains("Three") && !table.contains("MUSTs have a case"),
            "{table}"
        );
    }

    #[test]
    fn long_headings_keep_their_end() {
        let line = row(&format!("  {}end", "x".repeat(100)), &[const { String::new() }; 10]);
        assert!(line.starts_with("  …x") && line.ends_with("xend"), "{line}");
        assert!(line.chars().count() <= WIDEST, "{line}");
    }
}
