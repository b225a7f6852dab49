//! `state.json`: which levels count, top first, and what is in them.
//!
//! Written by a committed build, read by the next. Version 1.

use cnb_spec::platform::labels::BuildpackLayers;
use serde::{Deserialize, Serialize};

/// The version of the layout that this program reads and writes.
pub(crate) const VERSION: u32 = 1;

/// The contents of `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The version of the layout.
    pub version: u32,
    /// Counts the levels ever made, so that names are not used twice.
    pub next: u64,
    /// The names of the levels, top first.
    pub levels: Vec<String>,
    /// The buildpacks and their cache layers.
    pub buildpacks: Vec<BuildpackLayers>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, next: 0, levels: Vec::new(), buildpacks: Vec::new() }
    }
}

impl State {
    /// Reads the file's text; `None` for another version or a damaged file, which is as an empty cache.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let state: Self = serde_json::from_slice(bytes).ok()?;
        // A level is a folder beside the file, never a path that leads elsewhere.
        let plain = |name: &String| !name.contains('/') && name.starts_with("level-");
        (state.version == VERSION && state.levels.iter().all(plain)).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_damage_and_paths_are_as_nothing() {
        let good = serde_json::to_vec(&State { levels: vec!["level-1".into()], ..State::default() }).unwrap();
        assert!(State::parse(&good).is_some());
        assert_eq!(State::parse(b"{"), None);
        assert_eq!(State::parse(br#"{"version":2,"next":0,"levels":[],"buildpacks":[]}"#), None);
        assert_eq!(
            State::parse(br#"{"version":1,"next":0,"levels":["level-/../../x"],"buildpacks":[]}"#),
            None
        );
    }
}
