//! Why a buildpack cannot go on: the thing, the reason, the next step.

use std::fmt;

/// Why detection or a build failed, as the user reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    reasons: Vec<String>,
    next: Option<String>,
}

impl Failure {
    /// Makes a failure from what went wrong, with the thing it went wrong on.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), reasons: Vec::new(), next: None }
    }

    /// Adds a reason.
    #[must_use]
    pub fn because(mut self, reason: impl fmt::Display) -> Self {
        self.reasons.push(reason.to_string());
        self
    }

    /// Sets the step that the user can take.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// Returns a closure that turns any error into a failure, for `map_err`.
    pub fn on<E: fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |reason| Self::new(what).because(reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for reason in &self.reasons {
            write!(f, ": {reason}")?;
        }
        if let Some(next) = &self.next {
            write!(f, "\nnext step: {next}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Errors of `fs_err` name the action and the file themselves.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<cnb_fs::toml_file::TomlFileError> for Failure {
    fn from(error: cnb_fs::toml_file::TomlFileError) -> Self {
        let failure = Self::new(error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_failure_reads_as_thing_reason_next_step() {
        let failure = Failure::new("failed to read `a`").because("no such file").next("create `a`");
        assert_eq!(failure.to_string(), "failed to read `a`: no such file\nnext step: create `a`");
    }
}
