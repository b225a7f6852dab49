//! The report for readers: one page, with nothing from elsewhere.

use std::fmt::{Display, Formatter, Write};

use super::{Report, percent, table};
use crate::clauses::Document;
use crate::compare::Difference;
use crate::corpus::Entry;
use crate::coverage::{Counts, Section, Shown, Status};
use crate::run::{Outcome, Verdict};

const STYLE: &str = include_str!("style.css");

/// Returns the report as an HTML page.
pub fn html(report: &Report<'_>) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, report);
    page
}

fn write_page(page: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let summary = report.summary();
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Conformance: {summary}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Lifecycle conformance</h1>\n\
         <p>{summary} · <code>{}</code></p>\n",
        Text(&report.lifecycle)
    )?;
    writeln!(page, "<ul>")?;
    for section in report.sections.iter().filter(|section| section.section.is_none()) {
        writeln!(page, "<li>{}</li>", Text(&table::coverage(section.document, section)))?;
    }
    writeln!(page, "</ul>")?;
    failures(page, report)?;
    overview(page, report)?;
    writeln!(page, "<h2 id=\"clauses\">Clauses</h2>\n<div class=\"filter\">")?;
    for status in [Status::Passed, Status::Failed, Status::NotRun, Status::Untested] {
        let class = class(status);
        writeln!(page, "<label><input type=\"checkbox\" id=\"{class}\" checked> {}</label>", status.name())?;
    }
    writeln!(page, "</div>")?;
    for document in Document::ALL {
        clauses(page, report, document)?;
    }
    cases(page, report)?;
    writeln!(page, "</body>\n</html>")
}

fn failures(page: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let failed = report.verdicts.iter().filter_map(|(entry, verdict)| match &verdict.outcome {
        Outcome::Failed(differences) => Some((entry, differences)),
        _ => None,
    });
    let failed: Vec<(&&Entry, &Vec<Difference>)> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    writeln!(page, "<h2 id=\"failures\">Failed cases</h2>")?;
    for (entry, differences) in failed {
        writeln!(
            page,
            "<details id=\"failure-{}\"><summary><code>{}</code> {}</summary>",
            anchor(&entry.name),
            Text(&entry.name),
            Text(&entry.case.title)
        )?;
        for difference in differences {
            writeln!(page, "<p>{}</p>", Text(&difference.what))?;
            if let Some(diff) = &difference.diff {
                write!(page, "<pre>")?;
                for line in diff.lines() {
                    match line.as_bytes().first() {
                        Some(b'+') => writeln!(page, "<ins>{}</ins>", Text(line))?,
                        Some(b'-') => writeln!(page, "<del>{}</del>", Text(line))?,
                        _ => writeln!(page, "{}", Text(line))?,
                    }
                }
                writeln!(page, "</pre>")?;
            }
        }
        writeln!(page, "</details>")?;
    }
    Ok(())
}

fn overview(page: &mut String, report: &Report<'_>) -> std::fmt::Result {
    write!(page, "<h2 id=\"sections\">Sections</h2>\n<table>\n<tr><th>Section</th>")?;
    for heading in ["clauses", "covered", "passed", "failed", "not run", "untested", "MUSTs", "covered"] {
        write!(page, "<th class=\"n\">{heading}</th>")?;
    }
    writeln!(page, "<th></th></tr>")?;
    for section in &report.sections {
        let sum = if section.section.is_none() { " class=\"sum\"" } else { "" };
        let title = match (section.document, section.section) {
            (Some(document), Some(heading)) => {
                format!("<a href=\"#{}\">{}</a>", section_anchor(document, heading), Text(heading))
            }
            (Some(document), None) => format!("{} specification", document.title()),
            (None, _) => "All specifications".to_owned(),
        };
        write!(page, "<tr{sum}><td>{title}</td>")?;
        let Counts { clauses, covered, passed, failed, not_run, untested } = section.all;
        for count in [clauses, covered, passed, failed, not_run, untested, section.musts.clauses] {
            write!(page, "<td class=\"n\">{count}</td>")?;
        }
        writeln!(page, "<td class=\"n\">{}</td><td>{}</td></tr>", percent(section.musts), bar(section))?;
    }
    writeln!(page, "</table>")
}

/// Draws how the clauses of a section fared.
fn bar(section: &Section<'_>) -> String {
    let counts = section.all;
    let parts = [("passed", counts.passed), ("failed", counts.failed), ("not-run", counts.not_run)];
    let all = counts.clauses.max(1);
    let parts = parts.iter().filter(|(_, count)| *count > 0).map(|(class, count)| {
        // In thousandths, since a share is shown and nothing computed from it.
        let share = count * 1000 / all;
        format!("<i class=\"{class}\" style=\"width:{}.{}%\"></i>", share / 10, share % 10)
    });
    format!("<div class=\"bar\">{}</div>", parts.collect::<String>())
}

fn clauses(page: &mut String, report: &Report<'_>, document: Document) -> std::fmt::Result {
    let shown: Vec<&Shown<'_>> = report.clauses.iter().filter(|s| s.clause.document == document).collect();
    let headings = report.sections.iter().filter(|section| section.document == Some(document));
    for heading in headings.filter_map(|section| section.section) {
        writeln!(
            page,
            "<h3 id=\"{}\">{} › {}</h3>\n<table>",
            section_anchor(document, heading),
            document.title(),
            Text(heading)
        )?;
        for shown in shown.iter().filter(|shown| shown.clause.section == heading) {
            let (clause, class) = (shown.clause, class(shown.status));
            write!(
                page,
                "<tr class=\"{class}\"><td><span class=\"mark {class}\">{}</span></td><td>{}</td><td>{}</td>\
                 <td>{}<br><code class=\"quiet\">{}</code>",
                shown.status.name(),
                clause.level,
                Text(&clause.who),
                Text(&clause.says),
                Text(&clause.id)
            )?;
            if !clause.requirements.is_empty() {
                write!(page, " <span class=\"quiet\">{}</span>", Text(&clause.requirements.join(" ")))?;
            }
            write!(page, "</td><td>")?;
            for case in &shown.cases {
                write!(page, "<a href=\"#case-{}\"><code>{}</code></a> ", anchor(case), Text(case))?;
            }
            if let Some(reason) = &clause.untested {
                write!(page, "<span class=\"quiet\">{}</span>", Text(reason))?;
            }
            writeln!(page, "</td></tr>")?;
        }
        writeln!(page, "</table>")?;
    }
    Ok(())
}

fn cases(page: &mut String, report: &Report<'_>) -> std::fmt::Result {
    writeln!(page, "<h2 id=\"cases\">Cases</h2>\n<table>")?;
    for (entry, verdict) in &report.verdicts {
        case(page, entry, verdict)?;
    }
    writeln!(page, "</table>")
}

fn case(page: &mut String, entry: &Entry, verdict: &Verdict) -> std::fmt::Result {
    let (class, note) = match &verdict.outcome {
        Outcome::Passed => ("passed", String::new()),
        Outcome::Failed(_) => ("failed", format!(" <a href=\"#failure-{}\">why</a>", anchor(&entry.name))),
        Outcome::Skipped(reason) => ("skipped", format!(" <span class=\"quiet\">{}</span>", Text(reason))),
    };
    write!(
        page,
        "<tr class=\"{class}\" id=\"case-{}\"><td><span class=\"mark {class}\">{class}</span></td>\
         <td><code>{}</code></td><td>{}{note}",
        anchor(&entry.name),
        Text(&entry.name),
        Text(&entry.case.title)
    )?;
    if let Some(differs) = &entry.case.differs {
        write!(page, "<br><span class=\"quiet\">unlike the Go lifecycle: {}</span>", Text(differs))?;
    }
    let requirements = entry.case.requirements.join(" ");
    writeln!(
        page,
        "</td><td class=\"quiet\">{}</td><td class=\"n\">{:.2} s</td></tr>",
        Text(&requirements),
        verdict.time.as_secs_f64()
    )
}

fn class(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::NotRun => "not-run",
        Status::Untested => "untested",
    }
}

fn section_anchor(document: Document, heading: &str) -> String {
    format!("{}-{}", document.name(), anchor(heading))
}

/// Makes a name that may stand in an `id` and after `#`.
fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

/// Text as it stands in a page.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' => f.write_char(c)?,
                // Control characters may not stand in a page, whatever a program printed.
                c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::tests;
    use crate::report::tests::sample;

    #[test]
    fn the_page_shows_everything_and_loads_nothing() {
        let (clauses, entries) = tests::sample();
        let page = super::html(&sample(&clauses, &entries));
        for part in [
            "1 passed, 1 failed, 1 skipped",
            "/opt/&lt;lifecycle&gt;",
            "says &lt;platform/a/pass&gt;",
            "<details id=\"failure-a-fail\"><summary><code>a/fail</code> the title of a/fail</summary>",
            "<del>-a &lt;b&gt;</del>\n<ins>+b</ins>",
            "<a href=\"#platform-Two\">Two</a>",
            "<h3 id=\"platform-Two\">Platform › Two</h3>",
            "<a href=\"#case-a-skip\"><code>a/skip</code></a>",
            "no case can",
            "needs `x`",
            "1.25 s",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        for foreign in ["<script", "src=", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn every_tag_is_closed() {
        let (clauses, entries) = tests::sample();
        let page = super::html(&sample(&clauses, &entries));
        for tag in
            ["table", "tr", "td", "div", "span", "code", "details", "pre", "ul", "li", "a", "h3", "body"]
        {
            let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(Text("\x1b[31m<\n").to_string(), "\\x1b[31m&lt;\n");
    }
}
