//! `launch.toml`, `build.toml` and `store.toml`, as the buildpack writes them (requirements A43 to A50).

use serde::Serialize;

use crate::{BuildContext, Failure};

/// A process that the image can start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// The process type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The program and its fixed arguments.
    pub command: Vec<String>,
    /// Arguments that a user's own replace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Whether the image starts it when nothing else is asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Where it starts; the app directory unless set.
    #[serde(rename = "working-dir", skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}

impl Process {
    /// Makes a process of the given type that runs `command` as it is, without a shell.
    pub fn new(kind: impl Into<String>, command: &[&str]) -> Self {
        Self {
            kind: kind.into(),
            command: command.iter().map(|&c| c.to_owned()).collect(),
            args: Vec::new(),
            default: false,
            working_dir: None,
        }
    }

    /// Makes a process of the given type whose command is a line for bash.
    pub fn shell(kind: impl Into<String>, line: &str) -> Self {
        Self::new(kind, &["bash", "-c", line])
    }

    /// Makes it the one that the image starts when nothing else is asked for.
    #[must_use]
    pub fn default(mut self) -> Self {
        self.default = true;
        self
    }
}

impl BuildContext {
    /// Declares the processes of the image.
    pub fn write_launch(&self, processes: Vec<Process>) -> Result<(), Failure> {
        self.write_sliced_launch(processes, Vec::new())
    }

    /// Declares the processes of the image, and which paths of the app are layers of their own (requirement A43): each
    /// slice a list of patterns, the one that changes least first.
    pub fn write_sliced_launch(
        &self,
        processes: Vec<Process>,
        slices: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Slice {
            paths: Vec<String>,
        }
        #[derive(Serialize)]
        struct Launch {
            processes: Vec<Process>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            slices: Vec<Slice>,
        }
        let slices = slices.into_iter().map(|paths| Slice { paths }).collect();
        self.write_toml("launch.toml", &Launch { processes, slices })
    }

    /// Declares which entries of the Buildpack Plan another buildpack has to provide instead.
    pub fn write_unmet(&self, names: &[&str]) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Unmet {
            name: String,
        }
        #[derive(Serialize)]
        struct Build {
            unmet: Vec<Unmet>,
        }
        let unmet = names.iter().map(|&name| Unmet { name: name.to_owned() }).collect();
        self.write_toml("build.toml", &Build { unmet })
    }

    /// Keeps `metadata` for the next build of this image.
    pub fn write_store(&self, metadata: toml::Table) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Store {
            metadata: toml::Table,
        }
        self.write_toml("store.toml", &Store { metadata })
    }

    pub(crate) fn write_toml(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        let text = toml::to_string(value).map_err(Failure::on(format!("failed to write `{name}`")))?;
        Ok(fs_err::write(self.layers_dir.join(name), text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn a_process_is_written_with_its_words_of_the_specification() {
        let process = Process::shell("web", "echo hi").default();
        let text = toml::to_string(&process).unwrap();
        assert_eq!(text, "type = \"web\"\ncommand = [\"bash\", \"-c\", \"echo hi\"]\ndefault = true\n");
    }
}
