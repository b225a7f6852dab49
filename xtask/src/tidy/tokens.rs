//! Rust source taken apart just far enough to tell code, comments and literals from each other.

/// What a piece of source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything that is neither of the others.
    Code,
    /// A comment, with its slashes.
    Comment,
    /// The inside of a string, byte string or character literal.
    Literal,
}

/// A piece of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The line, from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
    /// Its text, without line ends.
    pub text: &'a str,
}

/// Takes `source` apart; a piece never spans lines.
pub fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while !rest.is_empty() {
        let (kind, before, inside, after) = next(rest);
        let (code, literal) = (&rest[..before], &rest[before..before + inside]);
        let end = &rest[before + inside..before + inside + after];
        for (kind, text) in [(Kind::Code, code), (kind, literal), (Kind::Code, end)] {
            for (n, text) in text.split('\n').enumerate() {
                line += usize::from(n > 0);
                if !text.is_empty() {
                    pieces.push(Piece { line, kind, text });
                }
            }
        }
        rest = &rest[before + inside + after..];
    }
    pieces
}

/// Returns the next comment or literal: its kind, and the lengths of the code before it, of its inside, and of
/// what closes it.
fn next(source: &str) -> (Kind, usize, usize, usize) {
    let bytes = source.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if !byte.is_ascii() {
            continue;
        }
        let tail = &source[at..];
        match byte {
            b'/' if tail.starts_with("//") => {
                return (Kind::Comment, at, tail.find('\n').unwrap_or(tail.len()), 0);
            }
            b'/' if tail.starts_with("/*") => return (Kind::Comment, at, block_comment(tail), 0),
            b'"' => {
                let (open, inside) = (at + 1, &source[at + 1..]);
                let close = raw_hashes(&source[..at]).map(|count| format!("\"{}", "#".repeat(count)));
                let end = close.as_ref().map_or_else(|| until_quote(inside, b'"'), |c| until(inside, c));
                let close = close.map_or(1, |c| c.len());
                return (Kind::Literal, open, end, close.min(inside.len() - end));
            }
            b'\'' => {
                if let Some(inside) = character(&source[at + 1..]) {
                    return (Kind::Literal, at + 1, inside, 1);
                }
            }
            _ => {}
        }
    }
    (Kind::Code, source.len(), 0, 0)
}

fn block_comment(tail: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    let bytes = tail.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    tail.len()
}

/// Returns how many `#` stand between an `r` and the quote that follows `before`; `None` for a plain string.
fn raw_hashes(before: &str) -> Option<usize> {
    let name = before.trim_end_matches('#');
    let prefix = name.strip_suffix('r')?;
    let prefix = prefix.strip_suffix(['b', 'c']).unwrap_or(prefix);
    let is_name = prefix.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    (!is_name).then(|| before.len() - name.len())
}

fn until(tail: &str, close: &str) -> usize {
    tail.find(close).unwrap_or(tail.len())
}

fn until_quote(tail: &str, quote: u8) -> usize {
    let mut escaped = false;
    let end = tail.bytes().position(|b| {
        let found = b == quote && !escaped;
        escaped = b == b'\\' && !escaped;
        found
    });
    end.unwrap_or(tail.len())
}

/// Returns the length of a character literal after its opening quote; `None` for a lifetime.
fn character(tail: &str) -> Option<usize> {
    let first = tail.chars().next()?;
    let length = if first == '\\' { until_quote(tail, b'\'') } else { first.len_utf8() };
    (tail.as_bytes().get(length) == Some(&b'\'') && first != '\'').then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` has a line per piece: its line, `c`ode, `/` comment or `"` literal, its text.
    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found: Vec<_> = pieces(source)
            .iter()
            .map(|p| {
                let kind = match p.kind {
                    Kind::Code => 'c',
                    Kind::Comment => '/',
                    Kind::Literal => '"',
                };
                format!("{}{kind}{}", p.line, p.text)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        check("a // b \"c\"\nd", &["1ca ", "1/// b \"c\"", "2cd"]);
        check("a /* b /* c */ \n d */ e", &["1ca ", "1//* b /* c */ ", "2/ d */", "2c e"]);
        check(r#"f("a\"b", c)"#, &["1cf(\"", r#"1"a\"b"#, "1c\"", "1c, c)"]);
        check(r##"r#"a"b"# c"##, &["1cr#\"", "1\"a\"b", "1c\"#", "1c c"]);
        check("\"\"", &["1c\"", "1c\""]);
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        check(
            "<'a> 'b' '\\'' '\"'",
            &["1c<'a> '", "1\"b", "1c'", "1c '", "1\"\\'", "1c'", "1c '", "1\"\"", "1c'"],
        );
    }

    #[test]
    fn what_never_ends_ends_with_the_file() {
        check("\"a", &["1c\"", "1\"a"]);
        check("/* é", &["1//* é"]);
        check("é r\"é", &["1cé r\"", "1\"é"]);
    }
}
