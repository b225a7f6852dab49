//! Why credentials could not be found, kept or erased: never with a secret in it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cnb_fs::FsError;

/// Why credentials could not be found, kept or erased.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// `CNB_REGISTRY_AUTH` is no JSON object of strings (requirement J5).
    #[error("failed to parse CNB_REGISTRY_AUTH value: {reason}")]
    Environment {
        /// What is wrong with it.
        reason: String,
    },
    /// `CNB_REGISTRY_AUTH` has a header for a registry that is none of the kinds that we know (requirement J5).
    #[error("unknown auth type from header for `{registry}` in CNB_REGISTRY_AUTH")]
    UnknownScheme {
        /// The registry.
        registry: String,
    },
    /// A file cannot be read.
    #[error("failed to read the credentials in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file, or a variable that stands for one, is not what it should be.
    #[error("failed to parse the credentials in `{place}`: {reason}")]
    Malformed {
        /// The path of the file, or the name of the variable.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential helper did not do what it was asked for.
    #[error(
        "the credential helper `docker-credential-{helper}`, which `{place}` names, failed for `{registry}`"
    )]
    Helper {
        /// The helper, as configuration files name it.
        helper: String,
        /// The file that names it.
        place: String,
        /// The key of the registry that it was asked for.
        registry: String,
        /// Why.
        #[source]
        problem: HelperProblem,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] FsError),
    /// There is no place for a login.
    #[error("no place for credentials: neither DOCKER_CONFIG nor HOME is set")]
    NoPlace,
}

/// What went wrong with a credential helper.
#[derive(Debug, thiserror::Error)]
pub enum HelperProblem {
    /// Its name is no part of the name of a program.
    #[error("its name is not one of a program")]
    Name,
    /// There is no such program.
    #[error("there is no such program in the folders of PATH")]
    Missing,
    /// It could not be run.
    #[error("failed to run it")]
    Run(#[source] io::Error),
    /// It took too long, and was ended.
    #[error("it did not answer within {} seconds", .0.as_secs_f32())]
    TimedOut(Duration),
    /// It ended with an error.
    #[error("it ended with {status}{}", said(.stderr))]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said on standard error. What it said on standard output is for us alone: it may be secret.
        stderr: String,
    },
    /// What it printed is not what it should be.
    #[error("its answer cannot be understood: {0}")]
    Answer(String),
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { " and said nothing on standard error".to_owned() } else { format!(": {stderr}") }
}

impl CredentialsError {
    /// Returns what can be done about it, as a sentence that can be followed.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Environment { .. } => {
                "CNB_REGISTRY_AUTH is a JSON object with the header for each registry: \
                 `{\"registry.example.com\": \"Basic …\"}`"
                    .to_owned()
            }
            Self::UnknownScheme { .. } => {
                "start the header with `Basic`, `Bearer` or `X-Identity`, and a space".to_owned()
            }
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("`cnb login --authfile {}` makes it", path.display())
            }
            Self::Read { path, .. } => format!("allow this user to read it: `chmod u+r {}`", path.display()),
            Self::Malformed { place, .. } => {
                format!("correct `{place}`, or remove it and log in again with `cnb login`")
            }
            Self::Helper { helper, place, problem: HelperProblem::Missing | HelperProblem::Name, .. } => {
                format!(
                    "install `docker-credential-{helper}`, or take `{helper}` out of `credsStore` and `credHelpers` in `{place}`"
                )
            }
            Self::Helper { helper, problem: HelperProblem::TimedOut(_), .. } => {
                format!("see what it waits for: `docker-credential-{helper} list`")
            }
            Self::NoPlace => "name a file with `--authfile`".to_owned(),
            Self::Helper { .. } | Self::Write(_) => return None,
        })
    }
}
