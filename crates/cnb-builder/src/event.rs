//! What a build tells while it runs, with the Go lifecycle's words.

use std::fmt;

use cnb_fs::GuestPath;

/// Something that happened.
///
/// `Display` gives the line that the lifecycle prints, but for [`Event::Output`], whose bytes are shown as
/// they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run image says nothing of its distribution, so the build container is asked.
    ReadingOsRelease,
    /// A buildpack's turn starts.
    Starting(String),
    /// A buildpack's turn ended well.
    Finished(String),
    /// A `bin/build` printed this.
    Output(Vec<u8>),
    /// A buildpack wrote a bill of materials in its old form (requirement A49).
    LegacyBom,
    /// A process has a `working-dir` that its API does not know (requirement A46).
    IgnoredWorkingDir(String),
    /// The type of the default process was given to another process (requirement B63).
    RedefinedDefault(String),
    /// A file named like a layer's metadata has no name for the layer; it is left alone (requirement J29).
    NamelessLayer(GuestPath),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadingOsRelease => {
                f.write_str("target distro name/version labels not found, reading /etc/os-release file")
            }
            Self::Starting(buildpack) => write!(f, "Running build for buildpack {buildpack}"),
            Self::Finished(buildpack) => write!(f, "Finished running build for buildpack {buildpack}"),
            Self::Output(_) => Ok(()),
            Self::LegacyBom => f.write_str(
                "BOM table is deprecated in this buildpack api version, though it remains supported for backwards \
                 compatibility. Buildpack authors should write BOM information to <layer>.sbom.<ext>, \
                 launch.sbom.<ext>, or build.sbom.<ext>.",
            ),
            Self::IgnoredWorkingDir(process_type) => write!(
                f,
                "Warning: process working directory isn't supported in this buildpack api version. Ignoring working \
                 directory for process '{process_type}'"
            ),
            Self::RedefinedDefault(process_type) => write!(
                f,
                "Warning: redefining the following default process type with a process not marked as default: {process_type}"
            ),
            Self::NamelessLayer(dir) => {
                write!(f, "a .toml file in `{dir}` has no name for a layer; it is left alone")
            }
        }
    }
}
