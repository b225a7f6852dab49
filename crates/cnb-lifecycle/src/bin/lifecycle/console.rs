//! What the lifecycle prints: everything on standard output, as the Go program does (H1 to H4, Δ9).

use std::io::Write;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// For who looks for a fault.
    Debug,
    /// For everybody.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
    /// Nothing is as loud; only a level to choose.
    Fatal,
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "fatal" => Ok(Self::Fatal),
            _ => Err(()),
        }
    }
}

/// The standard output, with a level and colours that can be off.
#[derive(Clone, Debug)]
pub(crate) struct Console(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug)]
struct State {
    level: Level,
    color: bool,
    strip: Strip,
}

impl Console {
    /// Starts with the level `info` and colours, which hold until the command line is read.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { level: Level::Info, color: true, strip: Strip::Text })))
    }

    /// Sets the least level that is printed.
    pub(crate) fn set_level(&self, level: Level) {
        self.state(|state| state.level = level);
    }

    /// Sets whether escape sequences are printed, ours and those of buildpacks.
    pub(crate) fn set_color(&self, color: bool) {
        self.state(|state| state.color = color);
    }

    /// Returns whether lines of this level are printed.
    pub(crate) fn shows(&self, level: Level) -> bool {
        level >= self.state(|state| state.level)
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Prints the heading of a phase, as the creator does (H5).
    pub(crate) fn phase(&self, name: &str) {
        if self.shows(Level::Info) {
            self.raw(format!("\x1b[36m===> {name}\x1b[0m\n").as_bytes());
        }
    }

    /// Prints a line if its level is high enough.
    pub(crate) fn log(&self, level: Level, text: &str) {
        if self.shows(level) {
            self.print(level, text.as_bytes());
        }
    }

    /// Prints a line whatever the level.
    pub(crate) fn print(&self, level: Level, text: &[u8]) {
        let prefix: &[u8] = match level {
            Level::Debug | Level::Info => b"",
            Level::Warn => b"\x1b[33;1mWarning: \x1b[0m",
            Level::Error | Level::Fatal => b"\x1b[31;1mERROR: \x1b[0m",
        };
        let end: &[u8] = if text.ends_with(b"\n") { b"" } else { b"\n" };
        self.raw(&[prefix, text, end].concat());
    }

    /// Prints bytes as they are, but for escape sequences when colours are off.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let stripped = self.state(|state| (!state.color).then(|| state.strip.apply(bytes)));
        let bytes = stripped.as_deref().unwrap_or(bytes);
        // Nobody is left to be told when standard output is gone.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
}

/// Prints the usage: the only thing that goes to standard error.
pub(crate) fn print_usage(text: &str) {
    // Nobody is left to be told when standard error is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Where in an escape sequence the output is; a sequence may be cut between two reads.
#[derive(Clone, Copy, Debug)]
enum Strip {
    Text,
    Escape,
    Sequence,
}

impl Strip {
    fn apply(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for byte in bytes {
            *self = match (*self, byte) {
                (Self::Text, 0x1b) => Self::Escape,
                (Self::Text, _) => {
                    kept.push(*byte);
                    Self::Text
                }
                (Self::Escape, b'[') => Self::Sequence,
                (Self::Escape, _) | (Self::Sequence, b'a'..=b'z' | b'A'..=b'Z' | b'@') => Self::Text,
                (Self::Sequence, _) => Self::Sequence,
            };
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed_even_when_they_are_cut() {
        let mut strip = Strip::Text;
        assert_eq!(strip.apply(b"to \x1b[32mgreen\x1b["), b"to green");
        assert_eq!(strip.apply(b"0m out"), b" out");
    }

    #[test]
    fn levels_are_read_in_any_case() {
        assert_eq!("WARNING".parse(), Ok(Level::Warn));
        assert_eq!("loud".parse::<Level>(), Err(()));
        assert_eq!("".parse::<Level>(), Err(()));
    }
}
