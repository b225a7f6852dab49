//! Flags as Go's `flag` package reads them (requirement B5).
//!
//! `-x v`, `-x=v`, `--x v` and `--x=v` are the same; a switch takes its value only behind `=`; reading stops
//! at the first word that is no flag, or behind `--`; the last of several wins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What kind of value a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory: made absolute and clean.
    Dir,
    /// A file: taken as given.
    File,
    /// Any text.
    Text,
    /// On or off.
    Switch,
    /// A whole number.
    Number,
    /// A length of time, such as `336h`.
    Duration,
    /// Texts; each use adds one.
    List,
}

/// A flag that a phase knows.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// Its name, without the dash.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What it is for.
    pub(crate) usage: &'static str,
    /// Its value when it is not given, for the usage text.
    pub(crate) default: String,
}

/// The words of a command line, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The values of the flags that were given; several only for lists.
    pub(crate) values: BTreeMap<&'static str, Vec<OsString>>,
    /// The words behind the flags.
    pub(crate) arguments: Vec<OsString>,
}

impl Parsed {
    /// Returns whether a switch is on.
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.values.get(name).and_then(|v| v.last()).and_then(|v| truth(v)).unwrap_or(false)
    }
}

/// Why the command line was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// `-h` or `-help`: no problem, but nothing is run.
    Help,
    /// A bad flag, in the Go program's words.
    Bad(String),
}

impl Problem {
    /// Returns what is printed: the problem, if it is one, and the usage.
    pub(crate) fn text(&self, flags: &[Flag]) -> String {
        match self {
            Self::Help => usage(flags),
            Self::Bad(reason) => format!("{reason}\n{}", usage(flags)),
        }
    }

    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Help => 0,
            Self::Bad(_) => 2,
        }
    }
}

/// Reads a command line.
pub(crate) fn parse(flags: &[Flag], words: &[OsString]) -> Result<Parsed, Problem> {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.clone().next() {
        let bytes = word.as_bytes();
        if bytes.len() < 2 || bytes[0] != b'-' {
            break;
        }
        words.next();
        if bytes == b"--" {
            break;
        }
        let body = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")).unwrap_or(bytes);
        if body.is_empty() || body[0] == b'-' || body[0] == b'=' {
            return Err(Problem::Bad(format!("bad flag syntax: {}", word.to_string_lossy())));
        }
        let split = body.iter().position(|b| *b == b'=');
        let name = String::from_utf8_lossy(&body[..split.unwrap_or(body.len())]).into_owned();
        let given = split.map(|at| OsString::from_vec(body[at + 1..].to_vec()));
        let Some(flag) = flags.iter().find(|f| f.name == name) else {
            let help = name == "help" || name == "h";
            return Err(if help {
                Problem::Help
            } else {
                Problem::Bad(format!("flag provided but not defined: -{name}"))
            });
        };
        let value = match (given, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => OsString::from("true"),
            (None, _) => match words.next() {
                Some(value) => value.clone(),
                None => return Err(Problem::Bad(format!("flag needs an argument: -{name}"))),
            },
        };
        check(flag, &value)?;
        let values = parsed.values.entry(flag.name).or_default();
        if flag.kind != Kind::List {
            values.clear();
        }
        values.push(value);
    }
    parsed.arguments = words.cloned().collect();
    Ok(parsed)
}

fn check(flag: &Flag, value: &OsStr) -> Result<(), Problem> {
    let (name, shown) = (flag.name, value.to_string_lossy());
    let valid = match flag.kind {
        Kind::Switch => truth(value).is_some(),
        Kind::Number => number(&shown).is_some(),
        Kind::Duration => is_duration(&shown),
        Kind::Dir | Kind::File | Kind::Text | Kind::List => true,
    };
    match (valid, flag.kind) {
        (true, _) => Ok(()),
        (false, Kind::Switch) => {
            Err(Problem::Bad(format!("invalid boolean value {shown:?} for -{name}: parse error")))
        }
        (false, _) => Err(Problem::Bad(format!("invalid value {shown:?} for flag -{name}: parse error"))),
    }
}

/// Returns what a word means for a switch, `None` when it means nothing (requirement B7).
pub(crate) fn truth(value: &OsStr) -> Option<bool> {
    match value.to_str()? {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Reads a whole number as Go does: `0x`, `0o`, `0b`, a leading 0 for octal, `_` between digits.
pub(crate) fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(p, base)| Some((lower.strip_prefix(p)?, base)));
    let (rest, base) = match prefixed {
        Some(found) => found,
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    if rest.starts_with(['-', '+']) || rest.ends_with('_') || rest.contains("__") {
        return None;
    }
    // A `_` directly behind a prefix is allowed, in front of a decimal number it is not.
    if base == 10 && rest.starts_with('_') {
        return None;
    }
    i64::from_str_radix(&rest.replace('_', ""), base).ok().map(|n| n * sign)
}

/// Returns whether the text is a length of time in Go's form: numbers with units, such as `1h30m`, or `0`.
pub(crate) fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if number.matches('.').count() > 1 || !number.contains(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let unit =
            ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].into_iter().filter_map(|u| after.strip_prefix(u));
        let Some(after) = unit.min_by_key(|after| after.len()) else { return false };
        rest = after;
    }
    true
}

/// Returns the usage, flags sorted by name.
fn usage(flags: &[Flag]) -> String {
    let mut sorted: Vec<&Flag> = flags.iter().collect();
    sorted.sort_by_key(|f| f.name);
    let mut text = String::from("Usage of lifecycle:\n");
    for flag in sorted {
        let value = match flag.kind {
            Kind::Dir | Kind::File | Kind::Text => " string",
            Kind::Switch => "",
            Kind::Number => " int",
            Kind::Duration => " duration",
            Kind::List => " value",
        };
        let zero = matches!(flag.default.as_str(), "" | "false" | "0");
        let default = match flag.kind {
            _ if zero => String::new(),
            Kind::Dir | Kind::File | Kind::Text => format!(" (default {:?})", flag.default),
            _ => format!(" (default {})", flag.default),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  -{}{value}\n    \t{}{default}", flag.name, flag.usage);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Vec<Flag> {
        let flag = |name, kind| Flag { name, kind, usage: "a flag", default: String::new() };
        vec![flag("s", Kind::Switch), flag("x", Kind::Text), flag("n", Kind::Number), flag("l", Kind::List)]
    }

    /// The values and the words behind them, or the problem.
    type Expected<'a> = Result<(&'a [(&'a str, &'a str)], &'a [&'a str]), &'a str>;

    #[track_caller]
    fn check(line: &str, expected: Expected<'_>) {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let found = parse(&flags(), &words).map_err(|p| match p {
            Problem::Help => "help".to_owned(),
            Problem::Bad(reason) => reason,
        });
        let expected = expected.map_err(str::to_owned).map(|(values, arguments)| {
            let mut parsed =
                Parsed { arguments: arguments.iter().map(OsString::from).collect(), ..Parsed::default() };
            for (name, value) in values {
                let name = flags().iter().find(|f| f.name == *name).map(|f| f.name).unwrap();
                parsed.values.entry(name).or_default().push(OsString::from(value));
            }
            parsed
        });
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        check("-x a --x=b c", Ok((&[("x", "b")], &["c"])));
        check("-x= c", Ok((&[("x", "")], &["c"])));
        check("-s false", Ok((&[("s", "true")], &["false"])));
        check("-s=false -l 1 -l 2 -- -x", Ok((&[("s", "false"), ("l", "1"), ("l", "2")], &["-x"])));
        check("- -x", Ok((&[], &["-", "-x"])));
        check("a -x b", Ok((&[], &["a", "-x", "b"])));
        check("-x", Err("flag needs an argument: -x"));
        check("-y", Err("flag provided but not defined: -y"));
        check("---x", Err("bad flag syntax: ---x"));
        check("-=x", Err("bad flag syntax: -=x"));
        check("-s=maybe", Err("invalid boolean value \"maybe\" for -s: parse error"));
        check("-n 1.5", Err("invalid value \"1.5\" for flag -n: parse error"));
        check("--help", Err("help"));
    }

    #[test]
    fn numbers_have_gos_bases() {
        for (text, expected) in [
            ("10", Some(10)),
            ("-3", Some(-3)),
            ("0x3e9", Some(1001)),
            ("01750", Some(1000)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("0x_1", Some(1)),
            ("0", Some(0)),
            ("", None),
            ("1_0", Some(10)),
            ("_1", None),
            ("1__0", None),
            ("abc", None),
            ("08", None),
            ("--1", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_need_units() {
        for (text, expected) in [
            ("336h", true),
            ("1h30m", true),
            ("1.5s", true),
            ("0", true),
            ("5", false),
            ("h", false),
            ("", false),
            ("1x", false),
            ("1ms", true),
        ] {
            assert_eq!(is_duration(text), expected, "{text}");
        }
    }
}
