//! What a buildpack tells the user: short indented lines.

use std::fmt;
use std::sync::Arc;

/// Takes the lines of a buildpack's output.
#[derive(Clone)]
pub struct Log {
    sink: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Makes a log that gives each whole line to `sink`.
    pub fn new(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink) }
    }

    /// Says what is being done or what was found.
    pub fn step(&self, text: impl AsRef<str>) {
        self.lines("  ", text.as_ref());
    }

    /// Passes on a line of a tool's output.
    pub fn output(&self, text: impl AsRef<str>) {
        self.lines("      ", text.as_ref());
    }

    /// Says what works, but not as the user may expect.
    pub fn warning(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.lines("  ", &format!("warning: {text}"));
    }

    fn lines(&self, indent: &str, text: &str) {
        for line in text.lines() {
            (self.sink)(&format!("{indent}{line}"));
        }
    }
}
