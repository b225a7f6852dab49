//! Why a build failed.

use std::io;

use cnb_dirs::layers::LayerFileError;
use cnb_dirs::store::{LookUpError, UnsupportedApi};
use cnb_fs::toml_file::TomlFileError;
use cnb_fs::{FsError, GuestPath};
use cnb_sandbox::Exit;
use cnb_spec::buildpack::launch_toml::ProcessError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A buildpack of the group speaks a Buildpack API that we do not; nothing has run yet (exit code 12).
    #[error(transparent)]
    Api(#[from] UnsupportedApi),
    /// A `bin/build` exited with another code than 0, or a signal ended it (exit code 51).
    #[error("buildpack `{buildpack}` failed to build: {}", exit_text(*exit))]
    Failed {
        /// `id@version`.
        buildpack: String,
        /// How it ended.
        exit: Exit,
    },
    /// A `bin/build` could not be started (exit code 51).
    #[error("failed to start `{program}`")]
    Start {
        /// The program.
        program: GuestPath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A buildpack is missing or unreadable.
    #[error(transparent)]
    LookUp(#[from] LookUpError),
    /// A file could not be read, written or renamed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file that a buildpack left is not what it should be.
    #[error(transparent)]
    Toml(#[from] TomlFileError),
    /// The metadata of a layer is not what it should be.
    #[error("failed to process buildpack layer: failed to decode layer metadata file")]
    LayerFile(#[source] LayerFileError),
    /// A layer without types is to be set aside, but its place is taken (requirement J29).
    #[error("failed to process buildpack layer: failed to rename layer directory: `{0}` exists")]
    IgnoredExists(GuestPath),
    /// The env files of a layer cannot be applied.
    #[error("apply env files from dir '{dir}'")]
    LayerEnv {
        /// The directory.
        dir: GuestPath,
        /// Why.
        #[source]
        source: FsError,
    },
    /// A process of `launch.toml` is not valid at the buildpack's API.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A `launch.toml` has two default processes.
    #[error("multiple default process types aren't allowed")]
    SeveralDefaults,
    /// An unmet entry has no name.
    #[error("unmet.name is required")]
    UnmetWithoutName,
    /// An unmet entry was not asked for.
    #[error("unmet.name '{0}' must match a requested dependency")]
    UnmetNotRequested(String),
    /// An entry of a legacy bill of materials has a version in the wrong place.
    #[error(
        "bom entry '{0}' has a top level version which is not allowed. The buildpack should instead set metadata.version"
    )]
    BomVersion(String),
    /// An SBOM file is of a format that nobody knows.
    #[error("unsupported SBOM file format: '{0}'")]
    UnknownSbom(GuestPath),
    /// An SBOM file is of a format that the buildpack does not declare.
    #[error(
        "validating SBOM file '{path}' for buildpack: '{buildpack}': undeclared SBOM media type: '{media_type}'"
    )]
    UndeclaredSbom {
        /// The file.
        path: GuestPath,
        /// `id@version`.
        buildpack: String,
        /// The media type.
        media_type: &'static str,
    },
    /// A legacy bill of materials cannot be written as JSON.
    #[error("failed to encode the legacy bill of materials: {0}")]
    EncodeBom(String),
}

fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
    }
}
