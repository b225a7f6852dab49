//! What the user can do about an error, where the error itself does not say.

use cnb_platform::{FailureKind, Phase};
use cnb_registry::RegistryErrorKind;

use crate::error::CliError;

/// Returns a sentence that can be followed, or nothing where there is none.
pub(crate) fn hint(error: &CliError) -> Option<String> {
    match error {
        CliError::Usage(usage) => usage.advice().map(str::to_owned),
        CliError::Platform(failure) => {
            failure.hint.clone().or_else(|| of_kind(failure.kind).map(str::to_owned))
        }
        CliError::Home(_) => Some("set CNB_HOME to a folder that you can write".to_owned()),
        CliError::Config(_) => Some("`docs/config.md` describes what may be in it".to_owned()),
        CliError::CurrentFolder(_) => Some("change to a folder that exists".to_owned()),
        CliError::Credentials(error) => error.hint(),
        CliError::Registry(error) => of_registry(error.kind).map(str::to_owned),
        CliError::Binding(_) => {
            Some("a binding is a folder with a file `type` and one file for each key".to_owned())
        }
        CliError::BindingFile { .. } => {
            Some("`@` means a file; write `@@` for a value that begins with `@`".to_owned())
        }
        CliError::EnvFile { .. }
        | CliError::Signals(_)
        | CliError::Stdin(_)
        | CliError::GivenUp
        | CliError::Stdout(_) => None,
    }
}

fn of_registry(kind: RegistryErrorKind) -> Option<&'static str> {
    match kind {
        RegistryErrorKind::Unauthorized | RegistryErrorKind::Denied => Some(
            "check the user and the password; many registries want an access token in place of the password",
        ),
        RegistryErrorKind::Unreachable => {
            Some("check the name and the port; a registry without https needs `--insecure-registry`")
        }
        _ => None,
    }
}

fn of_kind(kind: FailureKind) -> Option<&'static str> {
    match kind {
        FailureKind::NoGroupDetected => {
            Some("check that this is the application's folder, or name the buildpacks with `--buildpack`")
        }
        FailureKind::DetectErrored => Some("`--verbose` shows what the buildpacks printed"),
        FailureKind::BuildpackFailed => Some("the lines that the buildpack printed, above, say why"),
        FailureKind::TimedOut => Some("allow more time with `--timeout`"),
        FailureKind::Phase(Phase::Restore) => Some("`--clear-cache` builds without what is cached"),
        FailureKind::Phase(Phase::Analyze | Phase::Detect | Phase::Build | Phase::Export)
        | FailureKind::Request
        | FailureKind::Interrupted
        | FailureKind::Other => None,
    }
}
