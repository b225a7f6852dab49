//! Execution environments: `production`, `test`, and whatever a platform calls its own (Buildpack API 0.12).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::fault;

/// Why a text is no execution environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid execution environment `{0}`: it must not contain `/`")]
pub struct ExecEnvError(String);

/// The execution environment of this build or process: the value of `CNB_EXEC_ENV`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecEnv(String);

impl ExecEnv {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ExecEnv {
    /// `production`, the specification's default.
    fn default() -> Self {
        Self("production".to_owned())
    }
}

impl FromStr for ExecEnv {
    type Err = ExecEnvError;

    fn from_str(text: &str) -> Result<Self, ExecEnvError> {
        if text.contains('/') { Err(ExecEnvError(text.to_owned())) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for ExecEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The execution environments that something supports; nothing named means all of them.
///
/// Read from a list of strings, as the Go programs write it, or of tables with a `name`, as the
/// specification does (Δ2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecEnvs {
    /// The names as written, in order; empty when the key was absent.
    pub names: Vec<String>,
}

impl ExecEnvs {
    /// Returns whether `env` is among them; `*` and an empty list mean any.
    pub fn contains(&self, env: &ExecEnv) -> bool {
        self.names.is_empty()
            || fault::is("exec-env-ignored")
            || self.names.iter().any(|n| n == "*" || n == env.as_str())
    }

    /// Returns the names without order and duplicates.
    pub fn set(&self) -> BTreeSet<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

impl<'de> Deserialize<'de> for ExecEnvs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let items = Vec::<toml::Value>::deserialize(deserializer)?;
        let names = items.into_iter().map(|item| match item {
            toml::Value::String(name) => Ok(name),
            toml::Value::Table(mut table) => match table.remove("name") {
                Some(toml::Value::String(name)) => Ok(name),
                _ => Err(D::Error::custom("an exec-env table needs a `name`")),
            },
            other => {
                Err(D::Error::custom(format!("exec-env: expected a string, found {}", other.type_str())))
            }
        });
        Ok(Self { names: names.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default, rename = "exec-env")]
        exec_env: ExecEnvs,
    }

    #[track_caller]
    fn check(text: &str, env: &str, expected: bool) {
        let file: File = toml::from_str(text).unwrap();
        assert_eq!(file.exec_env.contains(&env.parse().unwrap()), expected, "{text}");
    }

    #[test]
    fn both_written_forms_are_read() {
        check("exec-env = ['test']", "test", true);
        check("exec-env = ['test']", "production", false);
        check("[[exec-env]]\nname = 'test'", "test", true);
        check("[[exec-env]]\nname = 'test'", "production", false);
    }

    #[test]
    fn a_star_or_nothing_means_all() {
        check("", "any", true);
        check("exec-env = []", "any", true);
        check("exec-env = ['test', '*']", "any", true);
    }

    #[test]
    fn a_slash_is_refused() {
        assert!("a/b".parse::<ExecEnv>().is_err());
    }
}
