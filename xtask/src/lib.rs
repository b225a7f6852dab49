//! Checks and chores of this workspace: `cargo xtask test`, `tidy`, `spec`, `examples`, `bench` and `package`.

pub mod apps;
pub mod examples;
pub mod gate;
pub mod mutations;
pub mod package;
pub mod spec;
pub mod tidy;

use std::path::{Path, PathBuf};

/// Returns the folder of the workspace.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").components().fold(PathBuf::new(), |mut path, part| {
        if part == std::path::Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
        path
    })
}
