//! Every way to fail: its exit code and its words, decided here and nowhere else (requirements B11 to B13, H9).

use std::error::Error;
use std::io;

use cnb_builder::BuildError;
use cnb_detector::{DetectError, GenerateError};
use cnb_dirs::store::UnsupportedApi;
use cnb_fs::FsError;
use cnb_fs::toml_file::TomlFileError;
use cnb_sandbox::Exit;

use crate::phase::Phase;

/// Why the lifecycle ends with a failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// `lifecycle` without a word.
    NoArguments,
    /// `lifecycle` with a word that is no phase.
    UnknownPhase(String),
    /// A phase that is not there yet.
    NotContained(Phase),
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
}

impl Failure {
    /// Returns a failure to do `action`, for `map_err`.
    pub(crate) fn file<E: Error + 'static>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::File { action, source: Box::new(source) }
    }

    /// Returns the exit code (Platform Interface Specification, "Exit Codes").
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::LogLevel
            | Self::CurrentDirectory { .. }
            | Self::Privileged(_)
            | Self::Experimental(_)
            | Self::File { .. }
            | Self::Detect(DetectError::Order(_)) => 1,
            Self::NoArguments
            | Self::UnknownPhase(_)
            | Self::NotContained(_)
            | Self::Arguments(_)
            | Self::Inputs(_) => 3,
            Self::NoPlatformApi | Self::PlatformApi { .. } => 11,
            Self::BuildpackApi(_)
            | Self::Detect(DetectError::Api(_))
            | Self::Generate(GenerateError::Api(_))
            | Self::Build(BuildError::Api(_)) => 12,
            Self::Detect(DetectError::NothingPassed { .. }) => 20,
            Self::Detect(DetectError::BuildpackBroke { .. }) => 21,
            Self::Detect(DetectError::Cycle { .. } | DetectError::TooDeep(_) | DetectError::Nested(_)) => 22,
            Self::Build(BuildError::Failed { .. } | BuildError::Start { .. }) => 51,
            Self::Build(_) => 52,
            Self::Generate(GenerateError::Failed(_) | GenerateError::Start { .. }) => 91,
            Self::Generate(_) => 92,
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
            Self::NotContained(phase) => {
                vec![format!("failed to {}: this lifecycle does not contain the {} yet", phase.command(), phase.program())]
            }
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
            Self::File { action, source } => vec![failed(action, source.as_ref())],
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
