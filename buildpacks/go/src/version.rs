//! Which Go an app asks for beside its `go.mod`, which only says what it needs at least.

use std::path::Path;

use cnb_buildpack::log::Log;
use cnb_buildpack::wanted::{self, Wanted};
use cnb_spec::env::Env;

use crate::go_mod::GoVersion;

/// A version that is asked for: as far as it is written, `1.22` being any of that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The numbers that are written.
    pub numbers: Vec<u32>,
    /// As it is written.
    pub text: String,
    /// Where.
    pub source: String,
}

impl Wish {
    /// Returns whether a version is what was asked for.
    pub fn fits(&self, version: GoVersion) -> bool {
        let GoVersion(major, minor, patch) = version;
        self.numbers.iter().zip([major, minor, patch]).all(|(wanted, is)| *wanted == is)
    }

    /// The lowest version that fits.
    pub fn lowest(&self) -> GoVersion {
        let number = |at: usize| self.numbers.get(at).copied().unwrap_or_default();
        GoVersion(number(0), number(1), number(2))
    }
}

/// Lists what the app asks for, in the order in which it counts.
pub fn wishes(app: &Path, env: &Env) -> Vec<Option<Wanted>> {
    let asked =
        |name: &'static str| Wanted::new(cnb_buildpack::context::var(env, name).unwrap_or_default(), name);
    vec![
        asked("CNB_GO_VERSION"),
        asked("BP_GO_VERSION"),
        Wanted::in_file(app, ".go-version"),
        Wanted::in_version_managers(app, &["golang", "go"]),
    ]
}

/// Returns the version that counts; one that is no version of Go is told and does not.
pub fn wish(app: &Path, env: &Env, log: &Log) -> Option<Wish> {
    let wanted = wanted::choose(log, "Go", wishes(app, env))?;
    let read = read(&wanted.version);
    if read.is_none() && !is_any(&wanted.version) {
        log.warning(format!(
            "`{}` in {} is no version of Go that is understood here, so it does not count; write one such as `1.22`",
            wanted.version, wanted.source
        ));
    }
    Some(Wish { numbers: read?, text: wanted.version, source: wanted.source })
}

fn is_any(text: &str) -> bool {
    matches!(text, "latest" | "stable" | "oldstable" | "*" | "system")
}

/// Reads `1.22`, `1.22.3`, `go1.22.3`, `1.22.x`, `1.22.*`, `~1.22`, `^1.22` and `>=1.22` (any of these is a line).
fn read(text: &str) -> Option<Vec<u32>> {
    let text = text.trim().trim_start_matches(['~', '^', '=', 'v', ' ']);
    let text = text.strip_prefix("go").unwrap_or(text);
    let parts: Vec<&str> = text.split('.').take_while(|p| !matches!(*p, "x" | "X" | "*")).collect();
    let numbers = parts.iter().map(|p| p.parse().ok()).collect::<Option<Vec<u32>>>()?;
    (1..=3).contains(&numbers.len()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::{GoVersion, Log, Wish, read, wish};

    #[test]
    fn a_line_is_any_version_of_it() {
        let wish =
            |text: &str| Wish { numbers: read(text).unwrap(), text: text.to_owned(), source: String::new() };
        for text in ["1.22", "1.22.x", "go1.22", "~1.22"] {
            assert!(wish(text).fits(GoVersion(1, 22, 9)) && !wish(text).fits(GoVersion(1, 23, 0)), "{text}");
        }
        assert!(wish("1.22.3").fits(GoVersion(1, 22, 3)) && !wish("1.22.3").fits(GoVersion(1, 22, 4)));
        assert_eq!(read("tip"), None);
    }

    #[test]
    fn the_nearest_wish_counts() {
        let dir = tempfile::tempdir().unwrap();
        let source = |asked: &str| {
            let env = [("BP_GO_VERSION".into(), asked.into())].into();
            wish(dir.path(), &env, &Log::new(|_| {})).map(|w| w.source)
        };
        assert_eq!(source(""), None);
        fs_err::write(dir.path().join(".tool-versions"), "golang 1.21.0\n").unwrap();
        assert_eq!(source("").as_deref(), Some(".tool-versions"));
        fs_err::write(dir.path().join(".go-version"), "1.22\n").unwrap();
        assert_eq!(source("").as_deref(), Some(".go-version"));
        assert_eq!(source("1.20").as_deref(), Some("BP_GO_VERSION"));
        assert_eq!(source("latest"), None);
    }
}
