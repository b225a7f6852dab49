//! Why the platform could not do what it was asked for.

use std::error::Error;

use crate::Phase;

/// A failure: what was being done, why it did not work, and what to do next where that is known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which kind; decides the exit code.
    pub kind: FailureKind,
    /// What failed, on which thing.
    pub message: String,
    /// What the user can do; a sentence that can be followed.
    pub hint: Option<String>,
    /// Why.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The request cannot be carried out as it is: a missing folder, a bad name, a file that does not parse.
    Request,
    /// No group of buildpacks wants the application.
    NoGroupDetected,
    /// No group passed, and a buildpack failed.
    DetectErrored,
    /// `bin/build` of a buildpack failed.
    BuildpackFailed,
    /// A phase failed.
    Phase(Phase),
    /// The user stopped it.
    Interrupted,
    /// It took longer than allowed.
    TimedOut,
    /// Anything else.
    Other,
}

impl Failure {
    /// Makes a failure without a cause.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
