//! Ignore patterns: the languages of `.gitignore` and of `.dockerignore`, turned into globs.

use std::path::{Path, PathBuf};

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// The language a pattern is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// `.gitignore`: without a slash in it, a pattern matches at any depth.
    Git,
    /// `.dockerignore`: every pattern starts at the root.
    Docker,
}

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}invalid pattern `{pattern}`: {reason}", file.display(), line.map(|n| format!("line {n}: ")).unwrap_or_default())]
pub struct PatternError {
    /// The file that holds it.
    pub file: PathBuf,
    /// Its line, where there is one.
    pub line: Option<usize>,
    /// The pattern as written.
    pub pattern: String,
    /// Why.
    pub reason: String,
}

/// Patterns in order; the last that matches a path, or a directory above it, decides.
///
/// Git itself never looks below an ignored directory, so that `!dir/file` after `dir` has no effect there.
/// Docker and pack do look, and whoever writes such a line means it: so does this, in both languages.
#[derive(Debug)]
pub(super) struct Patterns {
    set: GlobSet,
    /// For each glob of the set, what it stands for.
    globs: Vec<Glob>,
    /// Whether a path below a matched directory can still be told apart from it.
    has_negation: bool,
}

#[derive(Clone, Copy, Debug)]
struct Glob {
    rank: usize,
    negated: bool,
    dirs_only: bool,
}

impl Patterns {
    /// Takes the lines of `file`; blank ones and comments are skipped.
    pub(super) fn parse<'l>(
        file: &Path,
        lines: impl IntoIterator<Item = &'l str>,
        language: Language,
        numbered: bool,
    ) -> Result<Self, PatternError> {
        let mut set = GlobSetBuilder::new();
        let mut globs = Vec::new();
        for (index, line) in lines.into_iter().enumerate() {
            let Some(pattern) = Pattern::parse(line, language) else { continue };
            let bad = |reason: String| PatternError {
                file: file.to_path_buf(),
                line: numbered.then_some(index + 1),
                pattern: line.to_owned(),
                reason,
            };
            let mut add = |glob: &str, dirs_only| {
                let glob = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
                set.add(glob.map_err(|e| bad(e.kind().to_string()))?);
                globs.push(Glob { rank: index, negated: pattern.negated, dirs_only });
                Ok::<(), PatternError>(())
            };
            add(&pattern.glob, pattern.dirs_only)?;
            // Whatever matches a directory matches all below it.
            add(&format!("{}/**", pattern.glob), false)?;
        }
        let has_negation = globs.iter().any(|g| g.negated);
        let set = set.build().map_err(|e| PatternError {
            file: file.to_path_buf(),
            line: None,
            pattern: e.glob().unwrap_or_default().to_owned(),
            reason: e.kind().to_string(),
        })?;
        Ok(Self { set, globs, has_negation })
    }

    /// Returns whether the last pattern that matches `path` (relative to the root) is a positive one.
    pub(super) fn matches(&self, path: &Path, is_dir: bool, scratch: &mut Vec<usize>) -> bool {
        self.set.matches_candidate_into(&Candidate::new(path), scratch);
        let matching = scratch.iter().map(|i| self.globs[*i]).filter(|g| is_dir || !g.dirs_only);
        matching.max_by_key(|g| g.rank).is_some_and(|g| !g.negated)
    }

    /// Returns whether a file matches whatever it is called.
    pub(super) fn leaves_out_all(&self) -> bool {
        self.matches(Path::new("a name that nobody gives"), true, &mut Vec::new())
    }

    /// Returns whether something below a matched directory may not match.
    pub(super) fn has_negation(&self) -> bool {
        self.has_negation
    }
}

struct Pattern {
    glob: String,
    negated: bool,
    dirs_only: bool,
}

impl Pattern {
    fn parse(line: &str, language: Language) -> Option<Self> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.starts_with('#') {
            return None;
        }
        let text = match language {
            Language::Docker => line.trim(),
            Language::Git => without_trailing_blanks(line),
        };
        let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let text = if language == Language::Docker { text.trim_start() } else { text };
        match language {
            Language::Git => {
                let (dirs_only, text) = text.strip_suffix('/').map_or((false, text), |rest| (true, rest));
                if text.is_empty() {
                    return None;
                }
                let anchored = text.contains('/');
                let text = text.trim_start_matches('/');
                let prefix = if anchored || text.starts_with("**/") { "" } else { "**/" };
                Some(Self { glob: format!("{prefix}{}", literal_braces(text)), negated, dirs_only })
            }
            Language::Docker => {
                // Docker cleans the path: `./a//b/` is `a/b`; `.` alone names the root, which always enters.
                let parts: Vec<&str> = text.split('/').filter(|p| !matches!(*p, "" | ".")).collect();
                if parts.is_empty() {
                    return None;
                }
                Some(Self { glob: literal_braces(&parts.join("/")), negated, dirs_only: false })
            }
        }
    }
}

/// Cuts blanks at the end, unless a backslash keeps them.
fn without_trailing_blanks(line: &str) -> &str {
    let mut kept = line;
    while let Some(shorter) = kept.strip_suffix([' ', '\t']) {
        let backslashes = shorter.len() - shorter.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            break;
        }
        kept = shorter;
    }
    kept
}

/// Braces mean nothing in ignore files, and alternatives to the glob library.
fn literal_braces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    let mut in_class = false;
    for c in text.chars() {
        if matches!(c, '{' | '}') && !escaped && !in_class {
            out.push('\\');
        }
        in_class = if in_class { c != ']' } else { c == '[' && !escaped };
        escaped = c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(language: Language, lines: &str, matching: &[&str], other: &[&str]) {
        let patterns = Patterns::parse(Path::new("f"), lines.lines(), language, true).unwrap();
        let is_match = |path: &str| {
            let is_dir = path.ends_with('/');
            patterns.matches(Path::new(path.trim_end_matches('/')), is_dir, &mut Vec::new())
        };
        for path in matching {
            assert!(is_match(path), "{lines:?} should match {path}");
        }
        for path in other {
            assert!(!is_match(path), "{lines:?} should not match {path}");
        }
    }

    #[test]
    fn git_patterns_without_a_slash_match_at_any_depth() {
        check(Language::Git, "*.log", &["a.log", "x/y/a.log"], &["a.logs", "log"]);
        check(Language::Git, "node_modules", &["node_modules/", "a/node_modules/b/c"], &["node_module"]);
    }

    #[test]
    fn git_patterns_with_a_slash_start_at_the_root() {
        check(Language::Git, "/a", &["a", "a/b"], &["b/a"]);
        check(Language::Git, "a/*.c", &["a/x.c"], &["b/a/x.c", "a/b/x.c"]);
        check(Language::Git, "a/**/z", &["a/z", "a/b/c/z"], &["z"]);
        check(Language::Git, "**/z", &["z", "a/z"], &["az"]);
    }

    #[test]
    fn git_patterns_that_end_in_a_slash_match_directories_only() {
        check(Language::Git, "build/", &["build/", "build/x", "a/build/"], &["build"]);
    }

    #[test]
    fn the_last_matching_pattern_decides_even_below_a_matched_directory() {
        check(Language::Git, "dir\n!dir/keep", &["dir/", "dir/x"], &["dir/keep"]);
        check(Language::Docker, "*\n!src\nsrc/*.o", &["x", "src/a.o"], &["src/", "src/a.c"]);
    }

    #[test]
    fn docker_patterns_start_at_the_root() {
        check(Language::Docker, "*.log", &["a.log"], &["x/a.log"]);
        check(Language::Docker, "**/*.log", &["a.log", "x/y/a.log"], &[]);
        check(Language::Docker, "/a/", &["a", "a/b"], &["b/a"]);
        check(Language::Docker, "./a//b", &["a/b"], &["a"]);
        check(Language::Docker, " ! x ", &[], &["x"]);
        check(Language::Docker, ".", &[], &["a"]);
    }

    #[test]
    fn comments_blanks_escapes_and_braces_are_taken_literally() {
        check(Language::Git, "# c\n\n  \n\\#x\n\\!y\nz\\ ", &["#x", "!y", "z "], &["# c", "c", "z"]);
        check(Language::Git, "{a,b}", &["{a,b}"], &["a", "b"]);
        check(Language::Git, "[!a]x", &["bx"], &["ax"]);
        check(Language::Git, "a  \r", &["a"], &["a  "]);
    }

    #[test]
    fn a_broken_pattern_names_file_and_line() {
        let error = Patterns::parse(Path::new(".cnbignore"), ["ok", "[a"], Language::Git, true).unwrap_err();
        assert!(error.to_string().starts_with(".cnbignore: line 2: invalid pattern `[a`: "), "{error}");
    }
}
