//! Version ranges as npm writes them: `^18 || >=20.1`, `18.x`, `1.2 - 2.0`, `~16.3`, `lts/iron`.
//!
//! Only released versions are chosen, so that a range is a union of half-open intervals over number triples.

use std::fmt;

/// A released version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64, pub u64, pub u64);

impl Version {
    /// Reads `v20.11.1` or `20.11.1`; `None` for anything else, also for pre-releases.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').split('.').map(|p| p.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The versions from one, inclusive, to another, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from: Version,
    to: Option<Version>,
}

/// A set of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    intervals: Vec<Interval>,
}

/// Code names of Node.js lines with long-term support.
const CODE_NAMES: &[(&str, u64)] = &[
    ("argon", 4),
    ("boron", 6),
    ("carbon", 8),
    ("dubnium", 10),
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
];
/// Lines with long-term support that `lts/*` may mean: any of them is what the user asked for.
const SUPPORTED: &[u64] = &[20, 22, 24];

const ZERO: Version = Version(0, 0, 0);
const ALL: Interval = Interval { from: ZERO, to: None };

impl Range {
    /// Reads a range, or a name of a Node.js line such as `lts/*`, `lts/iron` and `node`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(intervals) = alias(&text.to_ascii_lowercase()) {
            return Some(Self { intervals });
        }
        let intervals = text.split("||").map(comparators).collect::<Option<Vec<_>>>()?;
        Some(Self { intervals })
    }

    /// Returns whether a version is in the range.
    pub fn contains(&self, version: Version) -> bool {
        self.intervals.iter().any(|i| version >= i.from && i.to.is_none_or(|to| version < to))
    }

    /// Returns the newest of `versions` that is in the range.
    pub fn newest(&self, versions: impl IntoIterator<Item = Version>) -> Option<Version> {
        versions.into_iter().filter(|v| self.contains(*v)).max()
    }

    /// Returns the range up to the next major version, for one that cannot be had as it is.
    #[must_use]
    pub fn relaxed(&self) -> Self {
        let relax = |i: &Interval| Interval {
            from: i.from,
            to: i.to.map(|_| Version(i.from.0.saturating_add(1), 0, 0)),
        };
        Self { intervals: self.intervals.iter().map(relax).collect() }
    }
}

fn alias(text: &str) -> Option<Vec<Interval>> {
    let line = |major: u64| Interval { from: Version(major, 0, 0), to: Some(Version(major + 1, 0, 0)) };
    match text {
        "node" | "latest" | "current" | "stable" => Some(vec![ALL]),
        "lts" | "lts/*" | "lts/latest" => Some(SUPPORTED.iter().copied().map(line).collect()),
        _ => {
            let name = text.strip_prefix("lts/").unwrap_or(text);
            let (_, major) = CODE_NAMES.iter().find(|(n, _)| *n == name)?;
            Some(vec![line(*major)])
        }
    }
}

/// Reads comparators that all must hold.
fn comparators(text: &str) -> Option<Interval> {
    if let Some((from, to)) = text.split_once(" - ") {
        let (from, to) = (Partial::parse(from.trim())?, Partial::parse(to.trim())?);
        return Some(Interval { from: from.first(), to: to.after() });
    }
    let mut all = ALL;
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let version_at = word.find(|c: char| !"<>=^~".contains(c)).unwrap_or(word.len());
        let (operator, version) = word.split_at(version_at);
        // npm allows a space between the two.
        let version = if version.is_empty() { words.next()? } else { version };
        let one = interval(operator, Partial::parse(version)?)?;
        all.from = all.from.max(one.from);
        all.to = match (all.to, one.to) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Some(all)
}

fn interval(operator: &str, version: Partial) -> Option<Interval> {
    let first = version.first();
    Some(match operator {
        "" | "=" => Interval { from: first, to: version.after() },
        ">=" => Interval { from: first, to: None },
        ">" => Interval { from: version.after()?, to: None },
        "<" => Interval { from: ZERO, to: Some(first) },
        "<=" => Interval { from: ZERO, to: version.after() },
        "~" | "~>" => Interval { from: first, to: Partial { patch: None, ..version }.after() },
        "^" => Interval { from: first, to: version.caret() },
        _ => return None,
    })
}

/// A version of which later parts may be missing.
#[derive(Clone, Copy, Debug)]
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(['v', '=']);
        // What marks a pre-release or a build is of no account among released versions.
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = text.split('.');
        let mut next = || match parts.next() {
            None | Some("" | "*" | "x" | "X") => Some(None),
            Some(number) => number.parse().ok().map(Some),
        };
        let (major, minor, patch) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return None;
        }
        // After a wildcard the rest is one, too.
        let minor = major.and(minor);
        Some(Self { major, minor, patch: minor.and(patch) })
    }

    fn first(self) -> Version {
        Version(self.major.unwrap_or(0), self.minor.unwrap_or(0), self.patch.unwrap_or(0))
    }

    /// The first version after all that this one stands for.
    fn after(self) -> Option<Version> {
        Some(match (self.major?, self.minor, self.patch) {
            (major, None, _) => Version(major.checked_add(1)?, 0, 0),
            (major, Some(minor), None) => Version(major, minor.checked_add(1)?, 0),
            (major, Some(minor), Some(patch)) => Version(major, minor, patch.checked_add(1)?),
        })
    }

    /// The first version that changes the leftmost number which is not zero.
    fn caret(self) -> Option<Version> {
        Some(match (self.major?, self.minor, self.patch) {
            (0, Some(0), Some(patch)) => Version(0, 0, patch.checked_add(1)?),
            (0, Some(minor), _) => Version(0, minor.checked_add(1)?, 0),
            (major, ..) => Version(major.checked_add(1)?, 0, 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Version};

    #[track_caller]
    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed = Range::parse(range).unwrap_or_else(|| panic!("`{range}` is not read"));
        for v in inside {
            assert!(parsed.contains(Version::parse(v).unwrap()), "{v} in `{range}`");
        }
        for v in outside {
            assert!(!parsed.contains(Version::parse(v).unwrap()), "{v} not in `{range}`");
        }
    }

    #[test]
    fn every_form_of_npm_is_read() {
        check("18", &["18.0.0", "18.20.4"], &["17.9.9", "19.0.0"]);
        check("18.x", &["18.0.0"], &["19.0.0"]);
        check("18.2", &["18.2.9"], &["18.3.0"]);
        check("v18.2.1", &["18.2.1"], &["18.2.2"]);
        check("=18.2.1", &["18.2.1"], &["18.2.0"]);
        check(">=14", &["14.0.0", "26.1.0"], &["13.9.9"]);
        check(">= 14 <21", &["20.9.9"], &["21.0.0", "13.0.0"]);
        check(">14", &["15.0.0"], &["14.21.3"]);
        check(">14.2.0", &["14.2.1"], &["14.2.0"]);
        check("<=16", &["16.20.0", "1.0.0"], &["17.0.0"]);
        check("<16", &["15.9.9"], &["16.0.0"]);
        check("^18 || ^20", &["18.1.0", "20.1.0"], &["19.1.0", "21.0.0"]);
        check("^18||>=20.3.1", &["18.1.0", "22.1.0"], &["20.3.0"]);
        check("~16.3", &["16.3.9"], &["16.4.0"]);
        check("~16", &["16.9.0"], &["17.0.0"]);
        check("^0.2.3", &["0.2.9"], &["0.3.0"]);
        check("14 - 16.2", &["14.0.0", "16.2.9"], &["16.3.0", "13.0.0"]);
        check("*", &["0.1.0", "99.0.0"], &[]);
        check("", &["1.0.0"], &[]);
        check("x", &["1.0.0"], &[]);
        check(">=18.0.0-0", &["18.0.0"], &["17.0.0"]);
    }

    #[test]
    fn names_of_lines_are_read() {
        check("lts/*", &["20.1.0", "22.1.0"], &["21.0.0", "19.0.0"]);
        check("lts/Iron", &["20.1.0"], &["22.0.0"]);
        check("hydrogen", &["18.1.0"], &["20.0.0"]);
        check("node", &["23.1.0"], &[]);
    }

    #[test]
    fn what_is_no_range_is_not_read() {
        for text in ["banana", "1.2.3.4", ">=a", "><1", "^", "lts/none", "18,20"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_newest_that_fits_is_chosen_and_a_pin_can_be_relaxed() {
        let all = ["18.1.0", "18.20.4", "20.1.0"].map(|v| Version::parse(v).unwrap());
        let pick = |r: &Range| r.newest(all).map(|v| v.to_string());
        assert_eq!(pick(&Range::parse("18").unwrap()).as_deref(), Some("18.20.4"));
        let pin = Range::parse("18.17.1").unwrap();
        assert_eq!(pick(&pin), None);
        assert_eq!(pick(&pin.relaxed()).as_deref(), Some("18.20.4"));
    }
}
