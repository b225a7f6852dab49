//! Exit codes, decided in this one place; `docs/errors.md` lists them.

use cnb_platform::{FailureKind, Phase};

use crate::error::CliError;

/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// The user stopped the program.
pub(crate) const INTERRUPTED: u8 = 130;

/// Returns the exit code for `error`: the failing phase's as the Platform specification has it (B11), 2 for a
/// command line that makes no sense, 130 for an interruption, else 1.
pub(crate) fn code(error: &CliError) -> u8 {
    match error {
        CliError::Usage(_) => USAGE,
        CliError::Platform(failure) => of_kind(failure.kind),
        CliError::GivenUp => INTERRUPTED,
        CliError::Home(_)
        | CliError::Config(_)
        | CliError::CurrentFolder(_)
        | CliError::EnvFile { .. }
        | CliError::Binding(_)
        | CliError::BindingFile { .. }
        | CliError::Signals(_)
        | CliError::Credentials(_)
        | CliError::Registry(_)
        | CliError::Stdin(_)
        | CliError::Stdout(_) => 1,
    }
}

fn of_kind(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::NoGroupDetected => 20,
        FailureKind::DetectErrored => 21,
        FailureKind::Phase(Phase::Detect) => 22,
        FailureKind::Phase(Phase::Analyze) => 32,
        FailureKind::Phase(Phase::Restore) => 42,
        FailureKind::BuildpackFailed => 51,
        FailureKind::Phase(Phase::Build) => 52,
        FailureKind::Phase(Phase::Export) => 62,
        FailureKind::Interrupted => INTERRUPTED,
        FailureKind::Request | FailureKind::TimedOut | FailureKind::Other => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Usage;

    /// All kinds, with the codes that `docs/errors.md` promises.
    const KINDS: [(FailureKind, u8); 12] = [
        (FailureKind::Request, 1),
        (FailureKind::NoGroupDetected, 20),
        (FailureKind::DetectErrored, 21),
        (FailureKind::Phase(Phase::Detect), 22),
        (FailureKind::Phase(Phase::Analyze), 32),
        (FailureKind::Phase(Phase::Restore), 42),
        (FailureKind::BuildpackFailed, 51),
        (FailureKind::Phase(Phase::Build), 52),
        (FailureKind::Phase(Phase::Export), 62),
        (FailureKind::Interrupted, 130),
        (FailureKind::TimedOut, 1),
        (FailureKind::Other, 1),
    ];

    #[test]
    fn each_kind_of_failure_has_its_code() {
        for (kind, code) in KINDS {
            assert_eq!(of_kind(kind), code, "{kind:?}");
        }
        assert_eq!(code(&Usage::new("no").into()), 2);
        assert_eq!(code(&CliError::GivenUp), 130);
    }

    #[test]
    fn every_code_is_documented() {
        let documented = include_str!("../../../docs/errors.md");
        for (kind, code) in KINDS {
            assert!(
                documented.contains(&format!("| {code} |")),
                "docs/errors.md has no row for {code} ({kind:?})"
            );
        }
    }
}
