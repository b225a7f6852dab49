//! Every way to fail: its exit code and its words, decided here and nowhere else (requirements B11 to B13, H9).

use std::error::Error;
use std::io;

use cnb_builder::BuildError;
use cnb_detector::{DetectError, GenerateError};
use cnb_dirs::store::UnsupportedApi;
use cnb_fs::toml_file::TomlFileError;
use cnb_fs::{FsError, Owner};
use cnb_sandbox::Exit;
use cnb_spec::fault;

use crate::phase::Phase;

/// Why the lifecycle ends with a failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// `lifecycle` without a word.
    NoArguments,
    /// `lifecycle` with a word that is no phase.
    UnknownPhase(String),
    /// A wrong number of arguments.
    Arguments(String),
    /// An input that cannot be used.
    Inputs(String),
    /// `CNB_PLATFORM_API` is not set.
    NoPlatformApi,
    /// `CNB_PLATFORM_API` is not one that we speak.
    PlatformApi {
        /// Whether it is no version at all.
        unreadable: bool,
        /// What it is.
        requested: String,
    },
    /// A buildpack's API is not one that we speak.
    BuildpackApi(UnsupportedApi),
    /// No such log level.
    LogLevel,
    /// The working directory is gone.
    CurrentDirectory {
        /// Why.
        source: io::Error,
    },
    /// A phase that runs buildpacks was started as root.
    Privileged(Phase),
    /// An experimental feature was asked for without being allowed.
    Experimental(&'static str),
    /// A file or directory could not be read or written.
    File {
        /// What was to be done, as it reads after "failed to".
        action: &'static str,
        /// Why.
        source: Box<dyn Error>,
    },
    /// Detection failed.
    Detect(DetectError),
    /// Generation failed.
    Generate(GenerateError),
    /// The build failed.
    Build(BuildError),
    /// The process could not become another user.
    RunAs {
        /// The user.
        owner: Owner,
        /// Why.
        source: io::Error,
    },
    /// The user is not in `/etc/passwd`.
    UserEnvironment {
        /// The user.
        uid: u32,
        /// Why.
        source: io::Error,
    },
    /// An image could not be read.
    Image {
        /// What was to be done.
        action: &'static str,
        /// With which image.
        name: String,
        /// Why.
        source: Box<dyn Error>,
    },
    /// The run image cannot be used, all said in one sentence.
    RunImage(String),
    /// The creator met image extensions, which it does not apply.
    CreatorExtensions,
    /// The extender does not know what to extend.
    ExtendKind(String),
    /// An image could not be extended.
    Extend {
        /// `build` or `run`.
        kind: String,
        /// Why.
        source: Box<dyn Error>,
    },
    /// Analysis failed.
    Analyze {
        /// What was to be done.
        action: &'static str,
        /// Why.
        source: Box<dyn Error>,
    },
    /// Restoring failed.
    Restore(Box<dyn Error>),
    /// The export failed.
    Export {
        /// What was to be done.
        action: &'static str,
        /// Why.
        source: Box<dyn Error>,
    },
    /// The rebase failed.
    Rebase {
        /// What was to be done.
        action: &'static str,
        /// Why.
        source: Box<dyn Error>,
    },
}

/// What was being done when something failed.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Context {
    /// What was being done, or all there is to say.
    pub(crate) text: String,
    /// Why it failed.
    pub(crate) source: Box<dyn Error>,
}

impl Context {
    /// Says what was being done.
    pub(crate) fn new(text: &str, source: impl Into<Box<dyn Error>>) -> Self {
        Self { text: text.to_owned(), source: source.into() }
    }
}

/// A failure that needs no cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Plain(pub(crate) String);

impl Failure {
    /// Returns a failure to do `action`, for `map_err`.
    pub(crate) fn file<E: Error + 'static>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::File { action, source: Box::new(source) }
    }

    /// Returns a failure to do `action` with the image `name`, for `map_err`.
    pub(crate) fn image<E: Into<Box<dyn Error>>>(action: &'static str, name: &str) -> impl FnOnce(E) -> Self {
        move |source| Self::Image { action, name: name.to_owned(), source: source.into() }
    }

    /// Returns a failure to analyze, for `map_err`.
    pub(crate) fn analyze<E: Into<Box<dyn Error>>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Analyze { action, source: source.into() }
    }

    /// Returns a failure to export, for `map_err`.
    pub(crate) fn export<E: Into<Box<dyn Error>>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Export { action, source: source.into() }
    }

    /// Returns a failure to rebase, for `map_err`.
    pub(crate) fn rebase<E: Into<Box<dyn Error>>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Rebase { action, source: source.into() }
    }

    /// Returns the exit code (Platform Interface Specification, "Exit Codes").
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::LogLevel
            | Self::CurrentDirectory { .. }
            | Self::Privileged(_)
            | Self::Experimental(_)
            | Self::File { .. }
            | Self::RunAs { .. }
            | Self::UserEnvironment { .. }
            | Self::Image { .. }
            | Self::RunImage(_)
            | Self::Detect(DetectError::Order(_)) => 1,
            Self::NoArguments
            | Self::UnknownPhase(_)
            | Self::Arguments(_)
            | Self::Inputs(_)
            | Self::ExtendKind(_) => 3,
            Self::NoPlatformApi | Self::PlatformApi { .. } => 11,
            Self::BuildpackApi(_)
            | Self::Detect(DetectError::Api(_))
            | Self::Generate(GenerateError::Api(_))
            | Self::Build(BuildError::Api(_)) => 12,
            Self::Detect(_) if fault::is("detect-exit-code") => 21,
            Self::Detect(DetectError::NothingPassed { .. }) => 20,
            Self::Detect(DetectError::BuildpackBroke { .. }) => 21,
            Self::Detect(DetectError::Cycle { .. } | DetectError::TooDeep(_) | DetectError::Nested(_))
            | Self::CreatorExtensions => 22,
            Self::Analyze { .. } => 32,
            Self::Restore(_) => 42,
            Self::Build(_) if fault::is("build-exit-code") => 52,
            Self::Build(BuildError::Failed { .. } | BuildError::Start { .. }) => 51,
            Self::Build(_) => 52,
            Self::Export { .. } => 62,
            Self::Rebase { .. } => 72,
            Self::Generate(GenerateError::Failed(_) | GenerateError::Start { .. }) => 91,
            Self::Generate(_) => 92,
            Self::Extend { .. } => 102,
        }
    }

    /// Returns what is said, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        const NOTHING: &str = "No buildpack groups passed detection.";
        let failed =
            |action: &str, error: &(dyn Error + 'static)| format!("failed to {action}: {}", describe(error));
        match self {
            Self::NoArguments => vec!["failed to parse arguments".to_owned()],
            Self::UnknownPhase(name) => vec![format!(
                "failed to recognize phase: {name} \nValid phases: detect, analyze, restore, build, export, rebase, create, extend"
            )],
            Self::Arguments(problem) => vec![format!("failed to parse arguments: {problem}")],
            Self::Inputs(problem) => vec![format!("failed to resolve inputs: {problem}")],
            Self::NoPlatformApi => vec![
                "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired platform API version"
                    .to_owned(),
            ],
            Self::PlatformApi { unreadable: true, requested } => vec![format!("failed to parse platform API '{requested}'")],
            Self::PlatformApi { unreadable: false, requested } => vec![format!(
                "failed to set platform API: platform API version '{requested}' is incompatible with the lifecycle"
            )],
            Self::BuildpackApi(api)
            | Self::Detect(DetectError::Api(api))
            | Self::Generate(GenerateError::Api(api))
            | Self::Build(BuildError::Api(api)) => vec![format!("failed to {api}")],
            Self::LogLevel => vec!["failed to parse log level: invalid level".to_owned()],
            Self::CurrentDirectory { source } => vec![failed("resolve inputs", source)],
            Self::Privileged(phase) => vec![format!("failed to {}: refusing to run as root", phase.command())],
            Self::Experimental(feature) => vec![
                format!("Platform requested experimental feature '{feature}'"),
                "experimental features are disabled by CNB_EXPERIMENTAL_MODE=error".to_owned(),
            ],
            Self::File { action, source }
            | Self::Analyze { action, source }
            | Self::Export { action, source }
            | Self::Rebase { action, source } => vec![failed(action, source.as_ref())],
            Self::Restore(source) => vec![failed("restore", source.as_ref())],
            Self::RunAs { owner, source } => {
                vec![failed(&format!("exec as user {}:{}", owner.uid, owner.gid), source)]
            }
            Self::UserEnvironment { uid, source } => {
                vec![failed(&format!("set environment for user {uid}"), source)]
            }
            Self::Image { action, name, source } => vec![failed(&format!("{action} {name}"), source.as_ref())],
            Self::RunImage(text) => vec![text.clone()],
            Self::CreatorExtensions => vec![
                "failed to detect: detected order contains extensions which is not supported by the creator".to_owned(),
            ],
            Self::ExtendKind(kind) => vec![format!(
                "failed to parse arguments: `{kind}` is no kind of image to extend: expected `build` or `run`"
            )],
            Self::Extend { kind, source } => vec![failed(&format!("extend {kind} image"), source.as_ref())],
            Self::Detect(error @ DetectError::Order(_)) => vec![failed("initialize detector", error)],
            Self::Detect(error @ DetectError::NothingPassed { .. }) => vec![
                NOTHING.to_owned(),
                "Please check that you are running against the correct path.".to_owned(),
                failed("detect", error),
            ],
            Self::Detect(error @ DetectError::BuildpackBroke { .. }) => vec![NOTHING.to_owned(), failed("detect", error)],
            Self::Detect(error) => vec![failed("detect", error)],
            // The Go program calls generation a build, too (requirement D17).
            Self::Generate(GenerateError::Failed(exit)) | Self::Build(BuildError::Failed { exit, .. }) => {
                vec![format!("failed to build: {}", ended(*exit))]
            }
            Self::Generate(error) => vec![failed("build", error)],
            Self::Build(error) => vec![failed("build", error)],
        }
    }
}

/// Returns an error with its causes, as one line, system errors in the Go program's words.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    if let Some(TomlFileError::Fs(inner)) = error.downcast_ref() {
        return describe(inner);
    }
    if let Some(FsError { action: "read", path, source }) = error.downcast_ref() {
        return format!("open {}: {}", path.display(), system_error(source));
    }
    let own = error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), system_error);
    match error.source() {
        Some(cause) => format!("{own}: {}", describe(cause)),
        None => own,
    }
}

/// Returns a system error as C and Go name it: `permission denied`.
fn system_error(error: &io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_none() {
        return text;
    }
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Says how a command ended, in the Go program's words.
fn ended(exit: Exit) -> String {
    let name = match exit {
        Exit::Code(code) => return format!("exit status {code}"),
        Exit::Signal(signal) => signal,
    };
    let name = match name {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        other => return format!("signal: signal {other}"),
    };
    format!("signal: {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn errors_are_told_as_the_go_program_tells_them() {
        let missing = || FsError {
            action: "read",
            path: PathBuf::from("/a/b.toml"),
            source: io::Error::from_raw_os_error(2),
        };
        let failure = Failure::file("read group file")(TomlFileError::Fs(missing()));
        assert_eq!(failure.lines(), ["failed to read group file: open /a/b.toml: no such file or directory"]);
        assert_eq!(describe(&missing()), "open /a/b.toml: no such file or directory");
        assert_eq!(describe(&io::Error::other("as it is")), "as it is");
        assert_eq!(ended(Exit::Signal(9)), "signal: killed");
        assert_eq!(ended(Exit::Code(3)), "exit status 3");
    }
}
