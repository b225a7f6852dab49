//! Why nothing was started, and the exit code for it (requirements B3, B11, B98, I3).

use cnb_spec::fault;
use std::error::Error;

use crate::exec_d::ExecDError;
use crate::launch::{SelectError, UnknownProvider};
use crate::layers::LayerError;
use crate::lookup::LookupError;
use crate::metadata::ReadError;
use crate::system::{SystemError, reason};

/// Why the launcher failed; after the app has been started, the exit code is the app's own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired platform API version"
    )]
    NoPlatformApi,
    #[error("failed to parse platform API '{0}'")]
    UnreadablePlatformApi(String),
    #[error("failed to set platform API: platform API version '{0}' is incompatible with the lifecycle")]
    UnsupportedPlatformApi(String),
    #[error("failed to parse buildpack API '{api}' for buildpack '{id}'")]
    UnreadableBuildpackApi { api: String, id: String },
    #[error(
        "failed to set API for buildpack '{id}': buildpack API version '{api}' is incompatible with the lifecycle"
    )]
    UnsupportedBuildpackApi { api: String, id: String },
    #[error("failed to read metadata")]
    Metadata(#[from] ReadError),
    #[error("failed to launch")]
    Launch(#[from] LaunchError),
}

impl Failure {
    /// Returns the exit code that the Platform Interface Specification has for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoPlatformApi | Self::UnreadablePlatformApi(_) | Self::UnsupportedPlatformApi(_) => 11,
            Self::UnreadableBuildpackApi { .. } | Self::UnsupportedBuildpackApi { .. } => 12,
            Self::Metadata(_) => 1,
            Self::Launch(_) if fault::is("launch-exit-code") => 1,
            Self::Launch(_) => 82,
        }
    }
}

/// Which step of the launch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("determine start command")]
    Select(#[source] SelectError),
    #[error("change to app directory")]
    AppDir(#[source] SystemError),
    #[error("modify env")]
    Env(#[source] LayerError),
    #[error("exec.d")]
    ExecD(#[source] ExecDError),
    #[error("no command provided for process type {0:?}")]
    NoCommand(String),
    #[error("path lookup")]
    Lookup(#[source] LookupError),
    #[error("change directory")]
    WorkingDir(#[source] SystemError),
    #[error("find profiles")]
    Profiles(#[source] LayerError),
    #[error(transparent)]
    UnknownProvider(UnknownProvider),
    #[error("direct exec: {}", reason(&(*.0).into()))]
    DirectExec(nix::Error),
    #[error("bash exec: {}", reason(&(*.0).into()))]
    ShellExec(nix::Error),
}

/// Returns an error with its sources on one line, as the Go program prints it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}
