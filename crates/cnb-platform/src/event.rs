//! What a build tells while it runs.

use std::time::Duration;

/// The phases of a build, as the specification names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looks at the previous image and the run image.
    Analyze,
    /// Chooses the buildpacks.
    Detect,
    /// Brings back what the cache holds.
    Restore,
    /// Runs the buildpacks.
    Build,
    /// Makes the image.
    Export,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [Self::Analyze, Self::Detect, Self::Restore, Self::Build, Self::Export];

    /// Returns the heading that platforms show: `ANALYZING`.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Analyze => "ANALYZING",
            Self::Detect => "DETECTING",
            Self::Restore => "RESTORING",
            Self::Build => "BUILDING",
            Self::Export => "EXPORTING",
        }
    }
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only when asked for with `--verbose`.
    Debug,
    /// Part of the usual output.
    Info,
    /// Something the user should know of.
    Warning,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A phase begins.
    PhaseStarted(Phase),
    /// A phase ended well.
    PhaseFinished(Phase, Duration),
    /// `bin/build` of a buildpack begins: `id@version`.
    BuildpackStarted(&'a str),
    /// `bin/build` of a buildpack ended well.
    BuildpackFinished(&'a str, Duration),
    /// What a buildpack prints, in pieces as they come.
    Output(&'a [u8]),
    /// A layer of the image is there: its name, its compressed size in bytes, and whether it was there before.
    Layer {
        /// As the specification names it: `cnb/nodejs:modules`.
        name: &'a str,
        /// The size of its blob in bytes.
        size: u64,
        /// Whether nothing had to be written.
        reused: bool,
    },
    /// Anything else that is worth a line.
    Message(Level, &'a str),
}

/// What hears the events of a build; called from several threads.
pub type Events<'a> = &'a (dyn Fn(Event<'_>) + Sync);
