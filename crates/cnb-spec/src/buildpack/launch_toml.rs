//! `launch.toml`: processes, slices and labels that a buildpack gives the app image.
//!
//! Written by `bin/build`, read by the builder.
//! Buildpack Interface Specification, "`launch.toml` (TOML)"; requirements A43 to A47.

use serde::Deserialize;
use toml::Value;

use crate::api::BuildpackApi;
use crate::exec_env::ExecEnvs;
use crate::gotoml::{Node, Table};
use crate::process::{Label, Process, Slice};
use crate::value::Metadata;

/// The contents of `launch.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct LaunchToml {
    /// Legacy bill of materials.
    #[serde(default)]
    pub bom: Vec<BomItem>,
    /// Labels for the app image.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Process types.
    #[serde(default)]
    pub processes: Vec<ProcessEntry>,
    /// Slices of the app directory.
    #[serde(default)]
    pub slices: Vec<Slice>,
}

/// An item of a legacy bill of materials as a buildpack writes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct BomItem {
    /// The dependency.
    #[serde(default)]
    pub name: String,
    /// A version at the top level: an error at every supported API (requirement A49).
    #[serde(default)]
    pub version: String,
    /// What the buildpack tells about it.
    pub metadata: Option<Metadata>,
}

/// A process as a buildpack writes it: its form depends on the Buildpack API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ProcessEntry {
    /// The process type.
    #[serde(rename = "type", default)]
    pub process_type: String,
    /// A text before Buildpack API 0.9, a list since.
    pub command: Option<Value>,
    /// The arguments.
    pub args: Option<Vec<String>>,
    /// Only before Buildpack API 0.9.
    pub direct: Option<bool>,
    /// Whether it is the default process.
    #[serde(default)]
    pub default: bool,
    /// The directory to start in.
    #[serde(default, rename = "working-dir")]
    pub working_dir: String,
    /// Where it can run.
    #[serde(default, rename = "exec-env")]
    pub exec_env: ExecEnvs,
}

/// Why a process entry is not valid at its API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// `direct` is gone since 0.9.
    #[error("process.direct is not supported on this buildpack version")]
    Direct,
    /// The command has the other API's form.
    #[error("process `{process_type}`: `command` must be {expected} at buildpack API {api}")]
    Command {
        /// Which process.
        process_type: String,
        /// The form that the API wants.
        expected: &'static str,
        /// The API.
        api: String,
    },
}

impl ProcessEntry {
    /// Returns the process with the form that `api` gives it (requirements A44, A45).
    ///
    /// `working-dir` is taken as it is; the builder drops it below 0.8 with a warning (A46).
    pub fn resolve(self, api: BuildpackApi) -> Result<Process, ProcessError> {
        let lists = api.has_command_list();
        let wrong = || ProcessError::Command {
            process_type: self.process_type.clone(),
            expected: if lists { "a list of strings" } else { "a string" },
            api: api.to_string(),
        };
        let command = match (&self.command, lists) {
            (None, _) => Vec::new(),
            (Some(Value::Array(items)), true) => {
                let texts = items.iter().map(|i| i.as_str().map(str::to_owned).ok_or_else(wrong));
                texts.collect::<Result<_, _>>()?
            }
            (Some(Value::String(text)), false) => vec![text.clone()],
            _ => return Err(wrong()),
        };
        if lists && self.direct.is_some() {
            return Err(ProcessError::Direct);
        }
        Ok(Process {
            process_type: self.process_type,
            command,
            args: self.args,
            direct: if lists { true } else { self.direct.unwrap_or(false) },
            default: self.default,
            buildpack_id: String::new(),
            working_dir: self.working_dir,
            exec_env: self.exec_env,
        })
    }
}

/// Returns the text of a `launch.toml` at the newest API, as the author's side writes it.
pub fn to_toml(processes: &[Process], slices: &[Slice], labels: &[Label]) -> String {
    let process = |p: &Process| {
        Table::new()
            .with("type", p.process_type.as_str())
            .with("command", Node::from(&p.command[..]))
            .with_some("args", p.args.as_deref().map(Node::from))
            .with_some("default", p.default.then_some(true))
            .with_text("working-dir", &p.working_dir)
            .with_some("exec-env", (!p.exec_env.names.is_empty()).then(|| Node::from(&p.exec_env.names[..])))
    };
    let label = |l: &Label| Table::new().with("key", l.key.as_str()).with("value", l.value.as_str());
    Table::new()
        .with_tables("labels", labels.iter().map(label))
        .with_tables("processes", processes.iter().map(process))
        .with_tables(
            "slices",
            slices.iter().map(|s| Table::new().with_some("paths", s.paths.as_deref().map(Node::from))),
        )
        .write()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(api: &str, text: &str, expected: Result<(&[&str], bool), ProcessError>) {
        let entry: ProcessEntry = toml::from_str(text).unwrap();
        let found = entry.resolve(api.parse().unwrap());
        let expected = expected.map(|(c, d)| (c.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), d));
        assert_eq!(found.map(|p| (p.command, p.direct)), expected, "{api}: {text}");
    }

    #[test]
    fn the_form_of_a_command_depends_on_the_api() {
        check("0.8", "command = 'a'", Ok((&["a"], false)));
        check("0.8", "command = 'a'\ndirect = true", Ok((&["a"], true)));
        check("0.9", "command = ['a', 'b']", Ok((&["a", "b"], true)));
        check("0.9", "command = ['a']\ndirect = true", Err(ProcessError::Direct));
        let wrong = |expected, api: &str| {
            Err(ProcessError::Command { process_type: String::new(), expected, api: api.into() })
        };
        check("0.8", "command = ['a']", wrong("a string", "0.8"));
        check("0.12", "command = 'a'", wrong("a list of strings", "0.12"));
        check("0.12", "command = [1]", wrong("a list of strings", "0.12"));
    }

    #[test]
    fn what_an_author_writes_is_read() {
        let process = Process {
            process_type: "web".into(),
            command: vec!["a".into()],
            default: true,
            ..Process::default()
        };
        let text = to_toml(&[process], &[Slice { paths: Some(vec!["*".into()]) }], &[]);
        let read: LaunchToml = toml::from_str(&text).unwrap();
        assert!(read.processes[0].default && read.slices[0].paths.as_deref() == Some(&["*".to_owned()][..]));
    }
}
