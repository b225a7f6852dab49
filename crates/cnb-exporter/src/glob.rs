//! The globs of slices: what Go's `filepath.Match` accepts (requirement C70).
//!
//! `*` and `?` stay inside one level, `[^x]` negates (and `[!x]` does not), `\` escapes, braces are literal,
//! dotfiles are nothing special, and `**` is the same as `*`. A class, however, may match a `/`.

/// The pattern is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// A glob that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    /// Runs of tokens without a star between them.
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Piece {
    after_star: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    pub(crate) fn parse(pattern: &str) -> Result<Self, BadPattern> {
        let mut pieces = vec![Piece::default()];
        let mut rest = pattern;
        while let Some(c) = next_char(&mut rest) {
            let tokens = match pieces.last_mut() {
                Some(piece) => &mut piece.tokens,
                None => return Err(BadPattern),
            };
            match c {
                '*' => pieces.push(Piece { after_star: true, tokens: Vec::new() }),
                '?' => tokens.push(Token::Any),
                '[' => tokens.push(class(&mut rest)?),
                '\\' => literal(tokens, next_char(&mut rest).ok_or(BadPattern)?),
                c => literal(tokens, c),
            }
        }
        Ok(Self { pieces })
    }

    /// Returns whether the pattern matches all of `name`.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let mut name = name;
        for (number, piece) in self.pieces.iter().enumerate() {
            let is_last = number + 1 == self.pieces.len();
            if piece.tokens.is_empty() && piece.after_star {
                if is_last {
                    return !name.contains(&b'/');
                }
                // A star before a star adds nothing.
                continue;
            }
            let reach =
                if piece.after_star { name.iter().position(|b| *b == b'/').unwrap_or(name.len()) } else { 0 };
            // The first place that fits is taken, as Go does.
            let found = (0..=reach)
                .filter_map(|skip| piece.matches(&name[skip..]))
                .find(|rest| !is_last || rest.is_empty());
            match found {
                Some(rest) => name = rest,
                None => return false,
            }
        }
        name.is_empty()
    }
}

impl Piece {
    /// Returns what of `name` is left behind the tokens, `None` when they do not fit.
    fn matches<'n>(&self, mut name: &'n [u8]) -> Option<&'n [u8]> {
        for token in &self.tokens {
            let first = *name.first()?;
            name = match token {
                Token::Byte(byte) => (first == *byte).then(|| &name[1..])?,
                Token::Any => (first != b'/').then(|| &name[decode(name).1..])?,
                Token::Class { negated, ranges } => {
                    let (c, length) = decode(name);
                    let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    (is_in != *negated).then(|| &name[length..])?
                }
            };
        }
        Some(name)
    }
}

fn literal(tokens: &mut Vec<Token>, c: char) {
    let mut buffer = [0; 4];
    tokens.extend(c.encode_utf8(&mut buffer).bytes().map(Token::Byte));
}

fn class(rest: &mut &str) -> Result<Token, BadPattern> {
    let negated = rest.strip_prefix('^').is_some_and(|after| {
        *rest = after;
        true
    });
    let mut ranges = Vec::new();
    loop {
        if let (Some(after), false) = (rest.strip_prefix(']'), ranges.is_empty()) {
            *rest = after;
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_char(rest)?;
        let high = match rest.strip_prefix('-') {
            Some(after) => {
                *rest = after;
                class_char(rest)?
            }
            None => low,
        };
        ranges.push((low, high));
    }
}

/// Takes one character of a class; something must follow it.
fn class_char(rest: &mut &str) -> Result<char, BadPattern> {
    let c = match next_char(rest).ok_or(BadPattern)? {
        '-' | ']' => return Err(BadPattern),
        '\\' => next_char(rest).ok_or(BadPattern)?,
        c => c,
    };
    if rest.is_empty() { Err(BadPattern) } else { Ok(c) }
}

fn next_char(rest: &mut &str) -> Option<char> {
    let mut chars = rest.chars();
    let c = chars.next()?;
    *rest = chars.as_str();
    Some(c)
}

/// Returns the first character and its length; a byte that is no UTF-8 counts as U+FFFD.
fn decode(name: &[u8]) -> (char, usize) {
    let end = name.len().min(4);
    (1..=end)
        .find_map(|length| {
            let c = std::str::from_utf8(&name[..length]).ok()?.chars().next()?;
            Some((c, length))
        })
        .unwrap_or((char::REPLACEMENT_CHARACTER, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for name in yes {
            assert!(glob.matches(name.as_bytes()), "{pattern} should match {name}");
        }
        for name in no {
            assert!(!glob.matches(name.as_bytes()), "{pattern} should not match {name}");
        }
    }

    #[test]
    fn stars_and_question_marks_stay_inside_one_level() {
        check("*", &["a", ".a", ""], &["a/b"]);
        check("*.rb", &["a.rb", ".rb"], &["a/b.rb", "a.rbx"]);
        check("a/?", &["a/b", "a/é"], &["a/", "a/bc", "a//"]);
        check("a?b", &["axb"], &["a/b"]);
        check("**/x", &["a/x"], &["a/b/x", "x"]);
        check("a**", &["a", "abc"], &["a/b"]);
        check("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "aXb/c"]);
    }

    #[test]
    fn classes_escapes_and_braces_are_gos() {
        check("[^2].rb", &["1.rb"], &["2.rb"]);
        check("[!2].rb", &["2.rb", "!.rb"], &["1.rb"]);
        check("x.j[r-t]", &["x.js"], &["x.ju"]);
        check("a[^b]c", &["a/c"], &["abc"]);
        check("[é-ü]", &["ö"], &["a"]);
        check(r"in\dex", &["index"], &["in\\dex"]);
        check(r"\*", &["*"], &["a"]);
        check("{a,b}", &["{a,b}"], &["a"]);
        check(r"[\]]", &["]"], &["a"]);
    }

    #[test]
    fn a_malformed_pattern_is_an_error() {
        for pattern in ["[", "[a", "[a-", "[]a]", "[-a]", "[a-]", "a\\", "[^", "[\\", "[]"] {
            assert_eq!(Glob::parse(pattern), Err(BadPattern), "{pattern}");
        }
    }

    #[test]
    fn names_that_are_no_utf8_count_byte_by_byte() {
        assert!(Glob::parse("a?b").unwrap().matches(b"a\xffb"));
        assert!(!Glob::parse("a?b").unwrap().matches(b"a\xff\xfeb"));
    }
}
