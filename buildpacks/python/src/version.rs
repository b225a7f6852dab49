//! Versions of Python, and the ranges that apps ask for: PEP 440, with Poetry's `^` and `~`.

use std::fmt;

/// A version of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Reads `3.11.7`, also with more behind it, such as `3.13.0rc1`.
    pub fn parse(text: &str) -> Option<Self> {
        let Wildcard(parts) = Wildcard::parse(text)?;
        let part = |n: usize| parts.get(n).copied().unwrap_or_default();
        Some(Self(part(0), part(1), part(2)))
    }
}

/// What an app accepts: alternatives (`||`), each a list of conditions that hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range(Vec<Vec<Condition>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Any,
    /// The version begins with these numbers.
    Is(Vec<u32>),
    Not(Vec<u32>),
    From(Version),
    Above(Version),
    Below(Version),
    UpTo(Version),
}

/// Numbers of a version, without what a wildcard leaves open.
struct Wildcard(Vec<u32>);

impl Wildcard {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let mut parts = Vec::new();
        for part in text.split('.').take(3) {
            if matches!(part, "*" | "x" | "X") {
                break;
            }
            let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            if digits.is_empty() {
                break;
            }
            parts.push(digits.parse().ok()?);
            if digits.len() < part.len() {
                break;
            }
        }
        (!parts.is_empty()).then_some(Self(parts))
    }

    fn version(&self) -> Version {
        let part = |n: usize| self.0.get(n).copied().unwrap_or_default();
        Version(part(0), part(1), part(2))
    }

    /// The first version behind all that begin with the first `n` numbers.
    fn after(&self, n: usize) -> Version {
        let part = |i: usize| self.0.get(i).copied().unwrap_or_default();
        if n <= 1 { Version(part(0) + 1, 0, 0) } else { Version(part(0), part(1) + 1, 0) }
    }
}

impl Range {
    /// What accepts every version.
    pub fn any() -> Self {
        Self(vec![vec![Condition::Any]])
    }

    /// Reads a range; a version alone means that version, or all that begin with it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text, "" | "*" | "latest" | "python" | "python3" | "3") {
            return Some(Self::any());
        }
        let text = text.strip_prefix("cpython").or_else(|| text.strip_prefix("python")).unwrap_or(text);
        let text = text.trim_start_matches(['-', '@']);
        let alternatives = text.split("||").map(|group| {
            // `>= 3.9 <4` has spaces on both sides of what belongs together.
            let mut group = group.to_owned();
            for operator in ["=", "<", ">", "~", "^", "!"] {
                while group.contains(&format!("{operator} ")) {
                    group = group.replace(&format!("{operator} "), operator);
                }
            }
            group.split([',', ' ']).filter(|c| !c.is_empty()).map(condition).collect::<Option<Vec<_>>>()
        });
        alternatives
            .collect::<Option<Vec<_>>>()
            .map(|all| Self(all.into_iter().map(|c| c.concat()).collect()))
    }

    /// Whether the app accepts a version.
    pub fn contains(&self, version: Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|c| c.holds(version)))
    }

    /// The first version that is named in it, if any.
    pub fn named(&self) -> Option<Version> {
        self.0.iter().flatten().find_map(|c| match c {
            Condition::Is(parts) => Some(Wildcard(parts.clone()).version()),
            Condition::From(v) | Condition::Above(v) | Condition::UpTo(v) | Condition::Below(v) => Some(*v),
            Condition::Any | Condition::Not(_) => None,
        })
    }

    /// The same wish with its patch number left open: what is nearest when the exact version cannot be had.
    #[must_use]
    pub fn relaxed(&self) -> Self {
        let relax = |c: &Condition| match c {
            Condition::Is(parts) => Condition::Is(parts.iter().copied().take(2).collect()),
            other => other.clone(),
        };
        Self(self.0.iter().map(|all| all.iter().map(relax).collect()).collect())
    }
}

/// Reads one condition, which may stand for two (`^3.9`, `~=3.9`).
fn condition(text: &str) -> Option<Vec<Condition>> {
    let (operator, rest) = text.split_at(text.find(|c: char| !"=<>!~^".contains(c))?);
    if operator.is_empty() && rest == "*" {
        return Some(vec![Condition::Any]);
    }
    let parts = Wildcard::parse(rest)?;
    let version = parts.version();
    Some(match operator {
        "" | "=" | "==" | "===" => vec![Condition::Is(parts.0)],
        "!=" => vec![Condition::Not(parts.0)],
        ">=" => vec![Condition::From(version)],
        // `>3.9` means no version of 3.9 at all.
        ">" => vec![if parts.0.len() < 3 {
            Condition::From(parts.after(parts.0.len()))
        } else {
            Condition::Above(version)
        }],
        "<" => vec![Condition::Below(version)],
        "<=" => vec![Condition::UpTo(version)],
        "^" => vec![Condition::From(version), Condition::Below(parts.after(1))],
        "~" => vec![Condition::From(version), Condition::Below(parts.after(parts.0.len().min(2)))],
        "~=" => {
            vec![Condition::From(version), Condition::Below(parts.after(parts.0.len().saturating_sub(1)))]
        }
        _ => return None,
    })
}

impl Condition {
    fn holds(&self, version: Version) -> bool {
        let begins =
            |parts: &[u32]| parts.iter().zip([version.0, version.1, version.2]).all(|(a, b)| *a == b);
        match self {
            Self::Any => true,
            Self::Is(parts) => begins(parts),
            Self::Not(parts) => !begins(parts),
            Self::From(v) => version >= *v,
            Self::Above(v) => version > *v,
            Self::Below(v) => version < *v,
            Self::UpTo(v) => version <= *v,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Version};

    #[track_caller]
    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let parsed = Range::parse(range).unwrap_or_else(|| panic!("{range}"));
        for version in inside {
            assert!(parsed.contains(Version::parse(version).unwrap()), "{version} in {range}");
        }
        for version in outside {
            assert!(!parsed.contains(Version::parse(version).unwrap()), "{version} not in {range}");
        }
    }

    #[test]
    fn ranges_mean_what_their_tools_say() {
        check("3.11", &["3.11.0", "3.11.7"], &["3.10.9", "3.12.0"]);
        check("python-3.11.7", &["3.11.7"], &["3.11.8"]);
        check(">=3.9,<3.12", &["3.9.0", "3.11.9"], &["3.8.20", "3.12.0"]);
        check(">= 3.9 < 4", &["3.9.0", "3.14.1"], &["3.8.0", "4.0.0"]);
        check("^3.10", &["3.10.0", "3.13.1"], &["3.9.9", "4.0.0"]);
        check("~3.10", &["3.10.4"], &["3.11.0"]);
        check("~=3.10", &["3.10.0", "3.12.0"], &["3.9.0", "4.0.0"]);
        check("~=3.10.2", &["3.10.2", "3.10.9"], &["3.10.1", "3.11.0"]);
        check("3.11.*", &["3.11.4"], &["3.12.0"]);
        check(">3.9", &["3.10.0"], &["3.9.5"]);
        check(">=3.8,!=3.9.*", &["3.8.1", "3.10.0"], &["3.9.7"]);
        check("<3.11 || >=3.12", &["3.10.0", "3.12.3"], &["3.11.5"]);
        check("*", &["3.6.0"], &[]);
        check("3.13.0rc1", &["3.13.0"], &["3.12.9"]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["three", ">=", "pypy3.9-7.3", "=>x"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_pinned_patch_is_relaxed_to_its_line() {
        let relaxed = Range::parse("3.11.2").unwrap().relaxed();
        assert!(relaxed.contains(Version(3, 11, 9)) && !relaxed.contains(Version(3, 12, 0)));
    }
}
