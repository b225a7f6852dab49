//! What a case left beside what it should have left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use regex::Regex;
use serde::Serialize;
use similar::TextDiff;

use crate::case::{Case, Step};
use crate::observed::{Observed, ObservedStep, read};
use crate::toml_values::Masks;

/// How many lines of a diff are shown.
const LINES: usize = 40;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What, on one line.
    pub what: String,
    /// The lines that differ, as a unified diff; often absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Difference {
    fn new(what: String) -> Self {
        Self { what, diff: None }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let lines = self.diff.iter().flat_map(|diff| diff.lines());
        lines.into_iter().try_for_each(|line| write!(f, "\n      {line}"))
    }
}

/// Compares `got`, what the inside left, with `expected`, the folder `expect` of the case.
///
/// # Errors
/// If a file cannot be read.
pub fn differences(
    case: &Case,
    expected: &Path,
    got: &Path,
    masks: &Masks,
) -> std::io::Result<Vec<Difference>> {
    let observed = Observed::read(got)?;
    let mut found = Vec::new();
    for (n, (step, observed)) in case.steps.iter().zip(&observed.steps).enumerate() {
        compare_step(n + 1, step, observed, &mut found);
    }
    for kind in ["files", "images"] {
        let (expected, got) = (files(expected, kind)?, files(got, kind)?);
        let names: BTreeSet<&PathBuf> = expected.keys().chain(got.keys()).collect();
        for name in names.into_iter().filter(|name| !name.ends_with("config.pretty.json")) {
            let shown = name.display();
            match (expected.get(name), got.get(name)) {
                (_, None) => found.push(Difference::new(format!("{shown}: missing"))),
                (None, _) => found.push(Difference::new(format!("{shown}: not expected"))),
                (Some(a), Some(b)) => compare_file(&shown.to_string(), (a, b), case, masks, &mut found)?,
            }
        }
    }
    Ok(found)
}

fn compare_step(n: usize, step: &Step, observed: &ObservedStep, found: &mut Vec<Difference>) {
    let output = format!("{}{}", observed.stdout, observed.stderr);
    let mut add = |what: String| found.push(Difference::new(format!("step {n}: {what}")));
    if observed.exit != step.exit {
        let lines: Vec<&str> = output.trim().lines().collect();
        let last = lines[lines.len().saturating_sub(3)..].join(" | ");
        add(format!("exit {}, expected {}: {last}", observed.exit, step.exit));
    }
    if let Some(expected) = step.stdout.as_ref().filter(|expected| **expected != observed.stdout) {
        add(format!("stdout {:?}, expected {expected:?}", observed.stdout));
    }
    for wanted in step.says.iter().filter(|wanted| !wanted.is_match(&output)) {
        add(format!("nothing printed matches {}", shown(wanted)));
    }
    for never in step.never_says.iter().filter(|never| never.is_match(&output)) {
        add(format!("printed what matches {}", shown(never)));
    }
}

/// Shows an expression on one line.
fn shown(expression: &Regex) -> String {
    format!("`{}`", expression.as_str().replace('\n', "\\n"))
}

fn compare_file(
    name: &str,
    (expected, got): (&PathBuf, &PathBuf),
    case: &Case,
    masks: &Masks,
    found: &mut Vec<Difference>,
) -> std::io::Result<()> {
    let (mut a, mut b) = (read(expected)?, read(got)?);
    if a == b {
        return Ok(());
    }
    let mut what = format!("{name}: differs");
    if has_extension(name, "toml") && !case.bytes.iter().any(|bytes| bytes == name) {
        match (masks.value(&a), masks.value(&b)) {
            (Ok(x), Ok(y)) if x == y => return Ok(()),
            (Ok(x), Ok(y)) => (a, b) = (serde_json::to_vec_pretty(&x)?, serde_json::to_vec_pretty(&y)?),
            (x, y) => {
                let error = x.err().or(y.err()).unwrap_or_default();
                what = format!("{name}: {error}");
            }
        }
    }
    if name.ends_with("config.json") {
        let pretty = |file: &PathBuf| read(&file.with_file_name("config.pretty.json"));
        // What was recorded by hand may have no readable twin.
        if let (Ok(x), Ok(y)) = (pretty(expected), pretty(got)) {
            (a, b) = (x, y);
        }
        let same = if a == b { " (same JSON, other bytes)" } else { "" };
        what = format!("{name}: bytes differ{same}");
    }
    let diff = unified(&String::from_utf8_lossy(&a), &String::from_utf8_lossy(&b));
    found.push(Difference { what, diff: Some(diff).filter(|diff| !diff.is_empty()) });
    Ok(())
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end == extension)
}

/// Returns the first lines of a unified diff.
fn unified(expected: &str, got: &str) -> String {
    let diff = TextDiff::from_lines(expected, got);
    let text = diff.unified_diff().context_radius(1).header("expected", "got").to_string();
    let lines = text.lines().count();
    let mut shown: Vec<String> = text.lines().take(LINES).map(str::to_owned).collect();
    if lines > LINES {
        shown.push(format!("… {} more lines", lines - LINES));
    }
    shown.join("\n")
}

/// Returns the files below `<dir>/<kind>`, links to files included, by their path relative to `dir`.
fn files(dir: &Path, kind: &str) -> std::io::Result<BTreeMap<PathBuf, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = [dir.join(kind)].into_iter().filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_file() {
                let relative = path.strip_prefix(dir).unwrap_or(&path).to_owned();
                files.insert(relative, path);
            } else if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "title = 'a'\nbytes = ['files/exact.toml']\n[[step]]\nsh = ''\nexit = 3\n\
                        stdout = \"out\\n\"\nsays = ['o.t', 'err$']\nnever_says = ['panic']\n";

    /// Compares what a step printed and two sets of files, as `name=text` each.
    fn compare(exit: i32, stdout: &str, expected: &[&str], got: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("case.toml", CASE);
        put("suite/base/passwd", "");
        put("got/steps.json", &format!("[{exit}]"));
        put("got/step-1.stdout", stdout);
        put("got/step-1.stderr", "err");
        for (side, files) in [("expect", expected), ("got", got)] {
            for (name, text) in files.iter().map(|file| file.split_once('=').unwrap()) {
                put(&format!("{side}/{name}"), text);
            }
        }
        let case = Case::read(dir.path()).unwrap();
        let masks = Masks::read(&dir.path().join("suite")).unwrap();
        let found = differences(&case, &dir.path().join("expect"), &dir.path().join("got"), &masks).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_step_is_judged_by_exit_code_and_output() {
        assert_eq!(compare(3, "out\r\n", &[], &[]), [""; 0]);
        let found = compare(-9, "a\npanic\n", &[], &[]);
        assert_eq!(
            found,
            [
                "step 1: exit -9, expected 3: a | panic | err",
                "step 1: stdout \"a\\npanic\\n\", expected \"out\\n\"",
                "step 1: nothing printed matches `o.t`",
                "step 1: printed what matches `panic`"
            ]
        );
    }

    #[test]
    fn files_must_be_there_and_no_others() {
        let found = compare(3, "out\n", &["files/a=1", "images/i/config.pretty.json=1"], &["files/b=1"]);
        assert_eq!(found, ["files/a: missing", "files/b: not expected"]);
    }

    #[test]
    fn toml_is_compared_by_value_unless_its_bytes_are_asked_for() {
        let (a, b) = (["files/a.toml=x = 3", "files/exact.toml=x = 3"], ["files/a.toml=x = 3.0"]);
        let found = compare(3, "out\n", &a, &[b[0], "files/exact.toml=x = 3.0"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("files/exact.toml: differs\n"), "{}", found[0]);
        let found = compare(3, "out\n", &["files/a.toml=x = 3"], &["files/a.toml=x = "]);
        assert!(found[0].starts_with("files/a.toml: "), "{}", found[0]);
    }

    #[test]
    fn configs_are_compared_by_bytes_and_shown_readably() {
        let image = |config: &str, pretty: &str| {
            [format!("images/i/config.json={config}"), format!("images/i/config.pretty.json={pretty}")]
        };
        let (a, b, c) = (image("{}", "{}"), image("{ }", "{}"), image("{1}", "{\n1\n}"));
        let compare = |b: &[String; 2]| {
            compare(3, "out\n", &a.each_ref().map(String::as_str), &b.each_ref().map(String::as_str))
        };
        assert_eq!(compare(&b), ["images/i/config.json: bytes differ (same JSON, other bytes)"]);
        let found = compare(&c);
        assert!(
            found[0].starts_with("images/i/config.json: bytes differ\n      --- expected"),
            "{}",
            found[0]
        );
    }

    #[test]
    fn long_diffs_are_cut() {
        let long: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let diff = unified("", &long.join("\n"));
        assert_eq!(diff.lines().count(), LINES + 1);
        assert!(diff.ends_with("more lines"), "{diff}");
    }
}
