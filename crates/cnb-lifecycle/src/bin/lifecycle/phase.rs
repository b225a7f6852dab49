//! The phases: their names, and how many arguments each takes (requirements B1, B23, B34, B44, B57, B65).

use std::ffi::OsString;
use std::path::Path;

use crate::exit::Failure;

/// A phase of the lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Reads what there is: previous image, run image.
    Analyzer,
    /// Chooses buildpacks.
    Detector,
    /// Brings cached layers back.
    Restorer,
    /// Applies extensions' Dockerfiles.
    Extender,
    /// Runs buildpacks.
    Builder,
    /// Makes the app image.
    Exporter,
    /// Puts an app image on another run image.
    Rebaser,
    /// All phases of a build without extensions.
    Creator,
}

/// Program, sub-command, and whether the phase refuses to run as root.
const NAMES: &[(Phase, &str, &str)] = &[
    (Phase::Analyzer, "analyzer", "analyze"),
    (Phase::Detector, "detector", "detect"),
    (Phase::Restorer, "restorer", "restore"),
    (Phase::Extender, "extender", "extend"),
    (Phase::Builder, "builder", "build"),
    (Phase::Exporter, "exporter", "export"),
    (Phase::Rebaser, "rebaser", "rebase"),
    (Phase::Creator, "creator", "create"),
];

impl Phase {
    /// Returns the phase that a program of this name is; an extension of the name does not count.
    pub(crate) fn of_program(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        NAMES.iter().find(|(_, program, _)| *program == stem).map(|(phase, ..)| *phase)
    }

    /// Returns the phase of a sub-command.
    pub(crate) fn of_command(command: &str) -> Option<Self> {
        NAMES.iter().find(|(_, _, name)| *name == command).map(|(phase, ..)| *phase)
    }

    /// Returns the name of the program.
    pub(crate) fn program(self) -> &'static str {
        NAMES.iter().find(|(phase, ..)| *phase == self).map_or("lifecycle", |(_, program, _)| program)
    }

    /// Returns the sub-command, which is also the verb in messages.
    pub(crate) fn command(self) -> &'static str {
        NAMES.iter().find(|(phase, ..)| *phase == self).map_or("run", |(_, _, command)| command)
    }

    /// Returns whether the phase runs what others wrote and so refuses to be root (requirement B16).
    pub(crate) fn runs_unprivileged(self) -> bool {
        matches!(self, Self::Detector | Self::Builder)
    }

    /// Checks the number of arguments, with the Go program's words.
    pub(crate) fn check_arguments(self, arguments: &[OsString]) -> Result<(), Failure> {
        let count = arguments.len();
        let problem = match self {
            Self::Analyzer | Self::Creator if count != 1 => {
                format!("received {count} arguments, but expected 1")
            }
            Self::Exporter | Self::Rebaser if count == 0 => {
                "at least one image argument is required".to_owned()
            }
            Self::Restorer if count > 0 => "received unexpected Args".to_owned(),
            Self::Detector | Self::Builder | Self::Extender if count > 0 => {
                "received unexpected arguments".to_owned()
            }
            _ if arguments.first().is_some_and(|image| image.is_empty()) => {
                return Err(Failure::Inputs("image argument is required".to_owned()));
            }
            _ => return Ok(()),
        };
        Err(Failure::Arguments(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_told_by_the_name_of_the_program() {
        assert_eq!(Phase::of_program(Path::new("/x/detector.exe")), Some(Phase::Detector));
        assert_eq!(Phase::of_program(Path::new("builder")), Some(Phase::Builder));
        assert_eq!(Phase::of_program(Path::new("/cnb/lifecycle/lifecycle")), None);
        assert_eq!(Phase::of_command("detect"), Some(Phase::Detector));
        assert_eq!(Phase::of_command("detector"), None);
    }
}
