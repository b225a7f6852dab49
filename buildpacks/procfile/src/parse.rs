//! The lines of a `Procfile`: `<type>: <command>`.

use std::fmt;

/// A declared process type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The process type.
    pub kind: String,
    /// The line for the shell.
    pub line: String,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    line: usize,
    reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Reads the process types in the order of the file; all problems are reported together.
///
/// Empty lines and lines that start with `#` say nothing.
/// A type consists of letters, digits, `.`, `_` and `-` (requirement C66) and may stand once.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Vec<Problem>> {
    let mut entries: Vec<(usize, Entry)> = Vec::new();
    let mut problems = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (n, line) in bytes.split(|b| *b == b'\n').enumerate().map(|(n, l)| (n + 1, l)) {
        match entry(line) {
            Ok(None) => {}
            Ok(Some(entry)) => match entries.iter().find(|(_, e)| e.kind == entry.kind) {
                Some((first, _)) => problems.push(Problem {
                    line: n,
                    reason: format!("the process type `{}` already stands in line {first}", entry.kind),
                }),
                None => entries.push((n, entry)),
            },
            Err(reason) => problems.push(Problem { line: n, reason }),
        }
    }
    if problems.is_empty() { Ok(entries.into_iter().map(|(_, e)| e).collect()) } else { Err(problems) }
}

/// Returns the type that the image starts by default: `web`, or the only one; never `release`, which runs only when it
/// is asked for.
pub fn default_type(entries: &[Entry]) -> Option<&str> {
    match entries {
        [only] if only.kind != "release" => Some(&only.kind),
        _ => entries.iter().map(|e| e.kind.as_str()).find(|k| *k == "web"),
    }
}

fn entry(line: &[u8]) -> Result<Option<Entry>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (kind, command) = text.split_once(':').ok_or_else(|| format!("`{text}` has no `:`"))?;
    let (kind, command) = (kind.trim_end(), command.trim_start());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if kind.is_empty() {
        return Err("the process type before `:` is missing".to_owned());
    }
    if let Some(c) = kind.chars().find(|c| !allowed(*c)) {
        return Err(format!(
            "the process type `{kind}` contains `{c}`; letters, digits, `.`, `_` and `-` may stand there"
        ));
    }
    if command.is_empty() {
        return Err(format!("the process type `{kind}` has no command"));
    }
    if command.contains('\0') {
        return Err(format!("the command of `{kind}` contains a NUL byte"));
    }
    Ok(Some(Entry { kind: kind.to_owned(), line: command.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::{default_type, parse};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match parse(text.as_bytes()) {
            Ok(entries) => {
                entries.iter().map(|e| format!("{}={}", e.kind, e.line)).collect::<Vec<_>>().join("|")
            }
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn a_line_is_a_type_and_the_rest_of_the_line() {
        check("web: ./a --b :c\nworker:run", "web=./a --b :c|worker=run");
        check("\u{feff}web : a && b\r\n\r\n  # no\n", "web=a && b");
        check("", "");
    }

    #[test]
    fn every_bad_line_is_reported_with_its_number() {
        check(
            "web ./a\n:x\na b: c\nw:\nw: ",
            "line 1: `web ./a` has no `:`|line 2: the process type before `:` is missing|line 3: the process type `a b` contains ` `; letters, digits, `.`, `_` and `-` may stand there|line 4: the process type `w` has no command|line 5: the process type `w` has no command",
        );
        check("web: a\n\nweb: b", "line 3: the process type `web` already stands in line 1");
        assert_eq!(parse(b"a: \xff").unwrap_err()[0].to_string(), "line 1: it is not UTF-8");
    }

    #[test]
    fn web_or_the_only_one_is_the_default() {
        let default = |text: &str| default_type(&parse(text.as_bytes()).unwrap()).map(str::to_owned);
        assert_eq!(default("a: 1\nweb: 2").as_deref(), Some("web"));
        assert_eq!(default("a: 1").as_deref(), Some("a"));
        assert_eq!(default("a: 1\nb: 2"), None);
        assert_eq!(default(""), None);
        assert_eq!(default("release: migrate"), None);
        assert_eq!(default("release: migrate\nweb: 2").as_deref(), Some("web"));
    }
}
