//! What goes to the user: data to standard output, everything else to standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::error::CliError;
use crate::hints;
use crate::text::Lines;

/// What is shown, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// Whether standard error understands colours, and the user wants them.
    pub(crate) colours: bool,
    /// Whether more than usual is shown.
    pub(crate) verbose: bool,
    /// Whether only errors are shown.
    pub(crate) quiet: bool,
}

/// How a text looks; all of it can be read without.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    /// A phase begins.
    Heading,
    /// A part of a phase begins.
    Part,
    /// Something the user should know of.
    Warning,
    /// Something went wrong.
    Error,
    /// What to do about it.
    Hint,
}

impl Printer {
    /// Writes data to standard output.
    #[expect(clippy::unused_self, reason = "all output goes through the printer")]
    pub(crate) fn data(self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::Stdout)
    }

    /// Writes JSON to standard output.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        let mut text = serde_json::to_string_pretty(value).map_err(|e| CliError::Stdout(e.into()))?;
        text.push('\n');
        self.data(&text)
    }

    /// Writes a line to standard error, unless only errors are wanted.
    pub(crate) fn note(self, line: &str) {
        if !self.quiet {
            to_stderr(&format!("{line}\n"));
        }
    }

    /// Writes a warning to standard error, unless only errors are wanted.
    pub(crate) fn warn(self, text: &str) {
        self.note(&format!("{} {text}", self.paint(Look::Warning, "Warning:")));
    }

    /// Writes an error, its causes and what to do about it to standard error.
    pub(crate) fn failure(self, error: &CliError) {
        let mut text = format!("{} {}\n", self.paint(Look::Error, "error:"), indent(&error.to_string()));
        // Writing to a string cannot fail.
        for cause in causes(error) {
            let _ = writeln!(text, "  caused by: {}", indent(&cause));
        }
        if let Some(hint) = hints::hint(error) {
            let _ = writeln!(text, "\n{} {}", self.paint(Look::Hint, "hint:"), indent(&hint));
        }
        // Messages quote what buildpacks and files contain.
        let mut clean = String::new();
        let mut lines = Lines::new(self.colours);
        lines.feed(text.as_bytes(), &mut |line| {
            clean.push_str(&line);
            clean.push('\n');
        });
        to_stderr(&clean);
    }

    /// Returns `text` as it should look.
    pub(crate) fn paint(self, look: Look, text: &str) -> String {
        let code = match look {
            _ if !self.colours => return text.to_owned(),
            Look::Heading => "36",
            Look::Part => "1",
            Look::Warning => "33;1",
            Look::Error => "31;1",
            Look::Hint => "36;1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Writes to standard error, where nobody can be told of a failure.
pub(crate) fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Returns the messages of what caused `error`, each once: one that says the same as the one before is left out.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut shown = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !message.is_empty() && !shown.iter().any(|s| s.contains(&message)) {
            shown.push(message);
        }
        next = cause.source();
    }
    shown.remove(0);
    shown
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

#[cfg(test)]
mod tests {
    use cnb_platform::{Failure, FailureKind};

    use super::*;

    #[test]
    fn a_cause_that_repeats_its_effect_is_left_out() {
        let file = Failure::new(FailureKind::Other, "failed to open `x`").because("no such file");
        let error = Failure::new(FailureKind::Other, "failed to read `y`: failed to open `x`").because(file);
        assert_eq!(causes(&CliError::from(error)), ["no such file"]);
    }

    #[test]
    fn without_colours_a_text_stays_as_it_is() {
        let printer = Printer { colours: false, verbose: false, quiet: false };
        assert_eq!(printer.paint(Look::Error, "error:"), "error:");
        assert_eq!(
            Printer { colours: true, ..printer }.paint(Look::Error, "error:"),
            "\x1b[31;1merror:\x1b[0m"
        );
    }
}
