//! Why a command did not do what it was asked for.

use std::io;

use cnb_platform::{BindingError, Failure, HomeError, TomlFileError};
use cnb_registry::{CredentialsError, RegistryError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line makes no sense.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// The platform could not do it.
    #[error(transparent)]
    Platform(#[from] Failure),
    /// There is no place for data.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// `config.toml` cannot be used.
    #[error("failed to use the settings in `config.toml`")]
    Config(#[from] TomlFileError),
    /// The current folder is gone.
    #[error("failed to find the current folder")]
    CurrentFolder(#[source] io::Error),
    /// A file with environment variables cannot be read.
    #[error("failed to read the environment file `{path}`")]
    EnvFile {
        /// The file as typed.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder with a binding cannot be read.
    #[error(transparent)]
    Binding(BindingError),
    /// A file with a value of a binding cannot be read.
    #[error("failed to read the file for `{key}` of the binding `{binding}`")]
    BindingFile {
        /// The name of the binding.
        binding: String,
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("failed to watch for signals")]
    Signals(#[source] io::Error),
    /// Credentials cannot be found, kept or forgotten.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A registry could not do it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Nobody can be asked.
    #[error("failed to read from standard input")]
    Stdin(#[source] io::Error),
    /// The user was asked, and would rather not say.
    #[error("given up")]
    GivenUp,
    /// What was asked for cannot be shown.
    #[error("failed to write to standard output")]
    Stdout(#[source] io::Error),
}

/// A mistake in the command line: what is wrong, and how to say it right.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    /// What is wrong.
    message: String,
    /// How to say it right.
    hint: Option<String>,
}

impl Usage {
    /// Makes one that says `message`.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds how to say it right.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns how to say it right.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
