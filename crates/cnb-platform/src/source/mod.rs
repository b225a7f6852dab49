//! The application's source, copied into the build's workspace; the original is never written.
//!
//! Which files enter is decided by the first that exists of: `include` or `exclude` in `project.toml`,
//! `.cnbignore`, `.dockerignore` (requirements G3, G4). Reading order: [`copy`], `rules`, `walk`, `secrets`.

mod pattern;
mod rules;
mod secrets;
mod walk;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, HostPath, Owner};
use cnb_spec::project::project_toml::Files;
use rustix::fs::{Mode, OFlags};

pub use pattern::PatternError;
pub use rules::RuleSource;

/// What to copy, and for whom.
#[derive(Clone, Debug)]
pub struct SourceConfig<'a> {
    /// The application's folder.
    pub source: &'a HostPath,
    /// What `project.toml` says about the files.
    pub files: &'a Files,
    /// Who owns the copies; whoever runs the build when there is nobody to name.
    pub owner: Option<Owner>,
    /// Directories that are left out wherever they lie: the store of this program, when it is in the app.
    pub leave_out: &'a [HostPath],
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceReport {
    /// Regular files.
    pub files: u64,
    /// Directories, without the top one.
    pub dirs: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// What decided which files enter.
    pub rules: RuleSource,
}

/// Something the user should know about the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A device, FIFO or socket was left out.
    SpecialFile {
        /// Its path in the source.
        path: PathBuf,
    },
    /// Files that look like secrets, or the repository, are on their way into the image; said once.
    Sensitive {
        /// The first few of them.
        paths: Vec<PathBuf>,
        /// How many more there are.
        more: usize,
        /// The file to write their names into.
        remedy: Remedy,
    },
}

/// Where a path is written so that it stays out of the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A line in `.cnbignore`, which may have to be made.
    CnbIgnore,
    /// A line in `.dockerignore`, which decides already.
    DockerIgnore,
    /// The lists of `project.toml`, which decide already.
    ProjectToml,
}

impl fmt::Display for SourceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpecialFile { path } => {
                write!(f, "`{}` is a device, FIFO or socket and is left out", path.display())
            }
            Self::Sensitive { paths, more, remedy } => {
                f.write_str("these look private and become part of the image:")?;
                for (i, path) in paths.iter().enumerate() {
                    write!(f, "{} `{}`", if i == 0 { "" } else { "," }, path.display())?;
                }
                if *more > 0 {
                    write!(f, " and {more} more")?;
                }
                let place = match remedy {
                    Remedy::CnbIgnore => "a file `.cnbignore` beside the app",
                    Remedy::DockerIgnore => "`.dockerignore`",
                    Remedy::ProjectToml => "`exclude` in project.toml, or take them out of `include`",
                };
                write!(f, "; to keep them out, name them in {place}")
            }
        }
    }
}

/// Why the source could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such folder.
    #[error("the app `{0}` does not exist; name the folder that holds its source")]
    Missing(HostPath),
    /// Not a folder.
    #[error(
        "the app `{0}` is not a folder; archives are not unpacked, name the folder that holds its source"
    )]
    NotAFolder(HostPath),
    /// A pattern that cannot be understood.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A file or folder could not be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Copies the source to `dest`, which is made when it is missing.
///
/// Links are copied as links, wherever they lead. Modes and times are kept, contents are shared with the
/// original where the file system can do that.
pub fn copy(
    config: &SourceConfig<'_>,
    dest: &Path,
    events: &dyn Fn(SourceEvent),
) -> Result<SourceReport, SourceError> {
    let path = config.source.as_path();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match e {
        rustix::io::Errno::NOENT => SourceError::Missing(config.source.clone()),
        rustix::io::Errno::NOTDIR => SourceError::NotAFolder(config.source.clone()),
        e => SourceError::Fs(FsError::on("read", path)(io::Error::from(e))),
    })?;
    let rules = rules::Rules::read(path, config.files)?;
    walk::copy(config, &source, &rules, dest, events)
}

#[cfg(test)]
mod tests;
