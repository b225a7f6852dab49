//! Why detection found no group, with all that a person needs to see why.

use std::sync::Arc;

use cnb_dirs::store::{LookUpError, UnsupportedApi};
use cnb_spec::id::{ModuleId, ModuleKind};

use crate::run::Outcome;

/// Why detection failed.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A module of the order is missing or unreadable; nothing has run yet (exit code 1).
    #[error(transparent)]
    Order(LookUpError),
    /// A module speaks a Buildpack API that we do not (exit code 12).
    #[error(transparent)]
    Api(UnsupportedApi),
    /// Every group failed, none because something broke (exit code 20).
    #[error("no buildpacks participating")]
    NothingPassed {
        /// The groups that were tried, in order.
        tried: Vec<TriedGroup>,
    },
    /// Every group failed, one at least because a buildpack broke (exit code 21).
    #[error("buildpack(s) failed with err")]
    BuildpackBroke {
        /// The groups that were tried, in order.
        tried: Vec<TriedGroup>,
    },
    /// A composite buildpack leads to itself (exit code 22).
    #[error("composite buildpacks contain each other: {}", path.join(" -> "))]
    Cycle {
        /// `id@version` of each, the repeated one first and last.
        path: Vec<String>,
    },
    /// Composite buildpacks are expanded without end in sight (exit code 22).
    #[error("more than {0} composite buildpacks in one group")]
    TooDeep(usize),
    /// A module inside a composite buildpack is missing or unreadable (exit code 22).
    #[error(transparent)]
    Nested(LookUpError),
}

impl DetectError {
    /// Returns the groups that were tried, when the failure is that none passed.
    pub fn tried(&self) -> &[TriedGroup] {
        match self {
            Self::NothingPassed { tried } | Self::BuildpackBroke { tried } => tried,
            _ => &[],
        }
    }
}

/// A group that did not pass.
#[derive(Clone, Debug)]
pub struct TriedGroup {
    /// Its modules, composites expanded, in order.
    pub modules: Vec<TriedModule>,
    /// What did not fit when its modules passed but their plans did not: `id@version requires name`, of the
    /// first combination tried.
    pub misfits: Vec<String>,
}

/// A module of a group that did not pass.
#[derive(Clone, Debug)]
pub struct TriedModule {
    /// Buildpack or extension.
    pub kind: ModuleKind,
    /// Its ID.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
    /// Its name for people; may be empty.
    pub name: String,
    /// Whether the group could have passed without it.
    pub optional: bool,
    /// Its result, with what it printed and, if it passed, its plan.
    pub outcome: Arc<Outcome>,
}
