//! The processes of all buildpacks, merged (requirements B62, B63).

use std::collections::BTreeMap;

use cnb_spec::fault;
use cnb_spec::process::Process;

/// The processes so far: one of each type.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    by_type: BTreeMap<String, Process>,
    default_type: String,
}

impl Processes {
    /// Adds the processes of one buildpack, which replace earlier ones of the same type.
    ///
    /// Returns the type of the default process when it was redefined by a process that is none; then there is
    /// no default any more.
    pub fn add(&mut self, processes: Vec<Process>) -> Option<String> {
        let mut redefined = None;
        for process in processes {
            if process.default && !fault::is("default-process-lost") {
                self.default_type.clone_from(&process.process_type);
                redefined = None;
            } else if process.process_type == self.default_type {
                // As in the Go lifecycle, no default and a process without a type are alike here (J19).
                redefined = Some(std::mem::take(&mut self.default_type));
            }
            self.by_type.insert(process.process_type.clone(), process);
        }
        redefined
    }

    /// Returns the processes sorted by type, none marked as default, and the type of the default process.
    pub fn finish(self) -> (Vec<Process>, String) {
        let unmarked = self.by_type.into_values().map(|p| Process { default: false, ..p });
        (unmarked.collect(), self.default_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads buildpacks separated by `|`, their processes by blanks, `!` marking defaults.
    #[track_caller]
    fn check(text: &str, types: &str, default: &str, warnings: &[&str]) {
        let mut processes = Processes::default();
        let mut found = Vec::new();
        for buildpack in text.split('|') {
            let process = |word: &str| Process {
                process_type: word.trim_start_matches('!').to_owned(),
                default: word.starts_with('!'),
                ..Process::default()
            };
            found.extend(processes.add(buildpack.split_whitespace().map(process).collect()));
        }
        let (all, found_default) = processes.finish();
        let all: Vec<_> = all.into_iter().map(|p| p.process_type).collect();
        assert_eq!((all.join(" ").as_str(), found_default.as_str()), (types, default), "{text}");
        assert_eq!(found, warnings, "{text}");
    }

    #[test]
    fn the_last_default_wins_and_types_are_sorted() {
        check("worker !web | !cli", "cli web worker", "cli", &[]);
        check("b a", "a b", "", &[]);
    }

    #[test]
    fn a_default_that_is_redefined_is_none_any_more() {
        check("!web | web", "web", "", &["web"]);
        check("!web | web !cli", "cli web", "cli", &[]);
        check("!web | !web", "web", "web", &[]);
    }
}
