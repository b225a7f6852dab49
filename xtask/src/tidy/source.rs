//! What every Rust file of the project keeps to.

use super::Finding;
use super::tokens::{Kind, Piece, pieces};

/// Files longer than [`LONGEST`] lines, each with the reason why it is still one idea.
const LONG_FILES: &[(&str, &str)] = &[];

/// The most lines of a file that needs no reason.
const LONGEST: usize = 600;

/// The only place that may contain code that the compiler cannot check.
const UNSAFE_ADDRESS: &str = "crates/cnb-sandbox/src/";

/// How far above unchecked code its reason may begin.
const REASON_WITHIN: usize = 6;

/// The only place that may name versions of the Platform and Buildpack APIs.
const VERSIONS_ADDRESS: &str = "crates/cnb-spec/src/api.rs";

/// Returns whether the file is Rust that we wrote, rather than an application that a test builds.
pub fn is_ours(path: &str) -> bool {
    path.rsplit('.').next() == Some("rs")
        && !path.split('/').any(|part| matches!(part, "fixtures" | "testdata" | "cases"))
}

/// Checks one Rust file.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line, what: &str| findings.push(Finding::new(path, line, what));
    if !text.starts_with("//!") {
        found(1, "starts without `//!`: say what the file is");
    }
    let lines = text.lines().count();
    if lines > LONGEST && !LONG_FILES.iter().any(|(long, _)| *long == path) {
        found(
            lines,
            &format!("more than {LONGEST} lines: split it, or give a reason in xtask/src/tidy/source.rs"),
        );
    }
    let pieces = pieces(text);
    let tests = first_test_line(path, &pieces);
    for line in unexplained(&pieces) {
        found(line, "is `unsafe` without `// SAFETY:` above it: name what makes it right");
    }
    for piece in &pieces {
        match piece.kind {
            Kind::Code => check_code(path, piece, &mut found),
            Kind::Comment => check_comment(piece, &mut found),
            Kind::Literal if piece.line < tests && path != VERSIONS_ADDRESS && is_api_version(piece.text) => {
                found(piece.line, "names an API version: ask `cnb_spec::api` a question that has a name");
            }
            Kind::Literal => {}
        }
    }
    findings
}

fn check_code(path: &str, piece: &Piece, found: &mut impl FnMut(usize, &str)) {
    let code = piece.text;
    if code.contains("#[ignore") {
        found(piece.line, "ignores a test: make it run, or delete it");
    }
    if code.contains("#[allow(") || code.contains("#![allow(") {
        found(piece.line, "allows a lint: use `#[expect(lint, reason = \"…\")]`");
    }
    if ["todo", "unimplemented"].iter().any(|name| has_word(code, name) && code.contains(&format!("{name}!")))
    {
        found(piece.line, "is unfinished");
    }
    if has_word(code, "unsafe") && !path.starts_with(UNSAFE_ADDRESS) {
        found(piece.line, &format!("is `unsafe` outside `{UNSAFE_ADDRESS}`"));
    }
}

/// Returns the lines of unchecked blocks that have no reason in the [`REASON_WITHIN`] lines up to them.
fn unexplained(pieces: &[Piece]) -> Vec<usize> {
    let blocks =
        pieces.iter().filter(|p| p.kind == Kind::Code && has_word(p.text, "unsafe") && p.text.contains('{'));
    let reasons = pieces.iter().filter(|p| p.kind == Kind::Comment && p.text.contains("SAFETY:"));
    let reasons: Vec<usize> = reasons.map(|p| p.line).collect();
    let explained =
        |line: usize| reasons.iter().any(|r| (line.saturating_sub(REASON_WITHIN)..=line).contains(r));
    blocks.map(|p| p.line).filter(|line| !explained(*line)).collect()
}

fn check_comment(piece: &Piece, found: &mut impl FnMut(usize, &str)) {
    // In two halves, so that this file keeps its own rule when it is quoted.
    for word in [["TO", "DO"], ["FIX", "ME"], ["X", "XX"]].map(|halves| halves.concat()) {
        if has_word(piece.text, &word) {
            found(piece.line, &format!("has a `{word}`: do it, or open an issue"));
        }
    }
}

/// Returns whether `text` is a version of one of the two APIs, and nothing else.
fn is_api_version(text: &str) -> bool {
    let minor = text.strip_prefix('v').unwrap_or(text).strip_prefix("0.");
    minor.and_then(|m| m.parse().ok()).is_some_and(|m: u32| (7..=15).contains(&m))
}

/// Returns the line where tests begin: in test files the first, elsewhere that of `#[cfg(test)]`.
fn first_test_line(path: &str, pieces: &[Piece]) -> usize {
    if path.split('/').any(|part| matches!(part, "tests" | "benches" | "cnb-testkit" | "xtask")) {
        return 0;
    }
    let begin = pieces.iter().find(|p| p.kind == Kind::Code && p.text.contains("#[cfg(test)]"));
    begin.map_or(usize::MAX, |p| p.line)
}

fn has_word(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(part_of_name) && !text[at + word.len()..].starts_with(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_at(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<_> =
            check(path, text).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn every_file_starts_by_saying_what_it_is() {
        check_at("crates/a/src/lib.rs", "//! A.\n", &[]);
        check_at("crates/a/src/lib.rs", "// A.\n", &["1: starts without"]);
    }

    #[test]
    fn attributes_count_in_code_only() {
        let code = [
            "#[",
            "ignore]\n#[",
            "allow(x)]\nfn f() {} // #[",
            "allow(x)]\nconst S: &str = \"#[",
            "ignore]\";",
        ];
        check_at("crates/a/src/lib.rs", &format!("//! A.\n{}", code.concat()), &["2: ignores", "3: allows"]);
    }

    #[test]
    fn unfinished_work_is_found_in_comments_and_code() {
        let text = format!("//! A.\n// {}{}: later\nfn f() {{ {}!() }}\nlet todos = 1;", "TO", "DO", "todo");
        check_at("crates/a/src/lib.rs", &text, &["2: has a", "3: is unfinished"]);
    }

    #[test]
    fn unchecked_code_has_one_address() {
        let text = "//! A.\n#![deny(unsafe_code)]\n// SAFETY: f is.\nunsafe { f() }";
        check_at("crates/a/src/lib.rs", text, &["4: is `unsafe` outside"]);
        check_at("crates/cnb-sandbox/src/linux/init.rs", text, &[]);
    }

    #[test]
    fn unchecked_code_has_a_reason() {
        let text = "//! A.\nunsafe { f() }\n// SAFETY: too late.";
        check_at("crates/cnb-sandbox/src/linux/init.rs", text, &["2: is `unsafe` without"]);
    }

    #[test]
    fn versions_are_named_in_tests_and_in_one_file_only() {
        let text =
            "//! 0.12\nlet v = \"0.12\"; // \"0.9\"\nlet w = \"0.2\";\n#[cfg(test)]\nlet x = \"0.12\";";
        check_at("crates/a/src/lib.rs", text, &["2: names an API version"]);
        check_at("crates/cnb-spec/src/api.rs", text, &[]);
        check_at("crates/a/tests/x.rs", text, &[]);
    }

    #[test]
    fn long_files_need_a_reason() {
        check_at(
            "crates/a/src/lib.rs",
            &format!("//! A.\n{}", "\n".repeat(600)),
            &["601: more than 600 lines"],
        );
    }

    #[test]
    fn what_tests_build_is_not_ours() {
        assert!(is_ours("crates/a/build.rs") && is_ours("examples/embed/src/main.rs"));
        assert!(!is_ours("buildpacks/rust/tests/fixtures/app/src/main.rs") && !is_ours("README.md"));
    }
}
