//! `ARCHITECTURE.md` is the map: it names every crate and every format, and nothing that is not there.

use std::collections::BTreeSet;

use super::Finding;

/// The directories of `cnb-spec` that hold one format per file.
const FORMATS: &[&str] = &["platform", "buildpack", "project", "extension", "distribution"];

/// Checks the map at `path` against the crates in `crates/` and the files of the workspace.
pub fn check(path: &str, text: &str, crates: &[&str], files: &[&str]) -> Vec<Finding> {
    if text.is_empty() {
        return vec![Finding::new(path, 0, "is missing: it is the map that a newcomer needs")];
    }
    let mut findings = Vec::new();
    let rows: Vec<(usize, &str)> =
        text.lines().enumerate().filter_map(|(n, l)| Some((n + 1, crate_row(l)?))).collect();
    for name in crates.iter().filter(|name| !rows.iter().any(|(_, row)| row == *name)) {
        findings.push(Finding::new(path, 0, format!("has no row for the crate `{name}`")));
    }
    for (line, row) in rows.iter().filter(|(_, row)| !crates.contains(row)) {
        findings.push(Finding::new(path, *line, format!("has a row for `{row}`, which is no crate")));
    }
    let modules: BTreeSet<String> = files.iter().filter_map(|file| format_module(file)).collect();
    let spans: Vec<(usize, &str)> =
        text.lines().enumerate().flat_map(|(n, l)| code(l).map(move |s| (n + 1, s))).collect();
    for module in modules.iter().filter(|module| !spans.iter().any(|(_, span)| names(span, module))) {
        findings.push(Finding::new(path, 0, format!("does not name the format `{module}`")));
    }
    for (line, span) in spans {
        let is_format =
            span.split_once("::").is_some_and(|(dir, name)| FORMATS.contains(&dir) && is_name(name));
        if is_format && !modules.contains(span) {
            findings.push(Finding::new(path, line, format!("names the format `{span}`, which is not there")));
        }
    }
    findings
}

/// Returns the crate of a table row that begins with one.
fn crate_row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")
        .and_then(|rest| rest.split_once("` |"))
        .map(|(name, _)| name)
        .filter(|n| n.starts_with("cnb-"))
}

/// Returns the module of a file that holds a format: `platform::group_toml`.
fn format_module(file: &str) -> Option<String> {
    let (dir, name) = file.strip_prefix("crates/cnb-spec/src/")?.strip_suffix(".rs")?.split_once('/')?;
    (FORMATS.contains(&dir) && name != "mod" && !name.contains('/')).then(|| format!("{dir}::{name}"))
}

/// Returns whether a code span names the module, in full or by its last part.
fn names(span: &str, module: &str) -> bool {
    span == module || Some(span) == module.rsplit("::").next()
}

/// Returns the code spans of a line of Markdown.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_map(text: &str, expected: &[&str]) {
        let files = [
            "crates/cnb-spec/src/platform/group_toml.rs",
            "crates/cnb-spec/src/platform/mod.rs",
            "README.md",
        ];
        let found: Vec<_> =
            check("A.md", text, &["cnb-spec"], &files).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_crate_and_format_is_on_the_map() {
        check_map("| `cnb-spec` | words |\n\n`platform::group_toml`", &[]);
        check_map("| `cnb-spec` | `group_toml` |", &[]);
        check_map(
            "nothing",
            &[
                "A.md:1: has no row for the crate `cnb-spec`",
                "A.md:1: does not name the format `platform::group_toml`",
            ],
        );
    }

    #[test]
    fn the_map_shows_nothing_that_is_not_there() {
        check_map(
            "| `cnb-spec` | `group_toml` |\n| `cnb-gone` | `platform::gone_toml` |",
            &[
                "A.md:2: has a row for `cnb-gone`, which is no crate",
                "A.md:2: names the format `platform::gone_toml`, which is not there",
            ],
        );
    }

    #[test]
    fn a_missing_map_is_a_finding() {
        check_map("", &["A.md:1: is missing: it is the map that a newcomer needs"]);
    }
}
