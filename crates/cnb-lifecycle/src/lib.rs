//! The phases of the lifecycle that look at images and caches, as functions over typed values.
//!
//! Detection, building and exporting have crates of their own; `cnb-platform` calls all of them in one
//! process, the `lifecycle` binary runs one phase per process and exchanges the same values as files.

pub mod analyze;
pub mod cached;
pub mod caching;
pub mod extract;
pub mod images;
pub mod rebase;
pub mod restore;
pub mod run_image;
