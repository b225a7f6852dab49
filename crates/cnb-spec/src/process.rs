//! Processes, slices and labels: what a build says about its app image.

use serde::{Deserialize, Deserializer};

use crate::exec_env::ExecEnvs;
use crate::gotoml::{Node, Table};

/// A process as the builder records it and the launcher reads it (requirement A36).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// The process type, such as `web`; the name of its link in `/cnb/process`.
    #[serde(rename = "type", default)]
    pub process_type: String,
    /// The program and the arguments that users cannot replace.
    #[serde(default, deserialize_with = "command")]
    pub command: Vec<String>,
    /// The arguments that users can replace; `None` when the buildpack gave none (requirement A39).
    pub args: Option<Vec<String>>,
    /// Whether the program is executed as it is; otherwise through `bash`.
    #[serde(default)]
    pub direct: bool,
    /// Whether the buildpack called it the default; cleared in what is stored.
    #[serde(default)]
    pub default: bool,
    /// The buildpack that gave it.
    #[serde(default, rename = "buildpack-id")]
    pub buildpack_id: String,
    /// The directory to start in; the app's when absent.
    #[serde(default, rename = "working-dir")]
    pub working_dir: String,
    /// Where the process can run; everywhere when empty.
    #[serde(default, rename = "exec-env")]
    pub exec_env: ExecEnvs,
}

impl Process {
    /// Returns whether the type can be a file name in `/cnb/process` (requirement C66).
    pub fn has_usable_type(&self) -> bool {
        !self.process_type.is_empty() && !self.process_type.contains(['/', '>', '<', ':', '|', '&', '\\'])
    }

    /// Returns the table in `metadata.toml`, `command` as a list when `list` (requirements A36 to A39).
    pub fn to_toml(&self, list: bool) -> Table {
        let (command, args) = if list {
            (Node::JsonList(self.command.clone()), self.args.clone())
        } else {
            let (first, rest) = self.split_command();
            (Node::JsonText(first), Some(rest))
        };
        Table::new()
            .with("type", self.process_type.as_str())
            .with("command", command)
            .with_some("args", args.as_deref().map(Node::from))
            .with("direct", self.direct)
            .with_some("default", self.default.then_some(true))
            .with("buildpack-id", self.buildpack_id.as_str())
            .with_text("working-dir", &self.working_dir)
            .with_some(
                "exec-env",
                (!self.exec_env.names.is_empty()).then(|| Node::from(&self.exec_env.names[..])),
            )
    }

    /// Returns the first entry of the command, and what follows it before the arguments (requirement A38).
    pub fn split_command(&self) -> (String, Vec<String>) {
        let mut command = self.command.iter().cloned();
        let first = command.next().unwrap_or_default();
        (first, command.chain(self.args.iter().flatten().cloned()).collect())
    }
}

/// Reads a command given as a text or as a list of anything (requirement A40).
fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = |value: toml::Value| match value {
        toml::Value::String(s) => s,
        other => other.to_string(),
    };
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(s) => Ok(vec![s]),
        toml::Value::Array(items) => Ok(items.into_iter().map(text).collect()),
        other => Err(serde::de::Error::custom(format!(
            "command: expected a string or a list, found {}",
            other.type_str()
        ))),
    }
}

/// Paths of the app that become a layer of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Slice {
    /// Globs, relative to the app directory; `None` when the key was absent, which is kept (requirement A42).
    pub paths: Option<Vec<String>>,
}

/// A label of the app image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// The key.
    #[serde(default)]
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(toml::from_str::<Process>(text).unwrap().command, expected);
    }

    #[test]
    fn a_command_is_a_text_or_a_list_of_anything() {
        check("command = 'a b'", &["a b"]);
        check("command = ['a', 1, true]", &["a", "1", "true"]);
        check("", &[]);
    }

    #[test]
    fn types_that_cannot_be_file_names_are_told() {
        for (process_type, usable) in
            [("web", true), ("a.b-c_d", true), ("", false), ("a/b", false), ("a:b", false)]
        {
            let process = Process { process_type: process_type.into(), ..Process::default() };
            assert_eq!(process.has_usable_type(), usable, "{process_type}");
        }
    }
}
