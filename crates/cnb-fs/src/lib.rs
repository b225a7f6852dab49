//! Host and guest paths, rooted file access, atomic writes, locks, and TOML files whose errors name the file.
//!
//! Two worlds meet in a build: the host, where this program runs, and the guest, the root file system that
//! buildpacks see. A [`HostPath`] can be opened with the standard library. A [`GuestPath`] cannot: it is
//! opened through the [`Root`] of its world, and no link inside that world leads out of it.
//!
//! Reading order: [`path`], [`root`], [`atomic`], [`lock`], [`toml_file`].

pub mod atomic;
mod error;
pub mod lock;
pub mod path;
pub mod root;
pub mod toml_file;

pub use error::FsError;
pub use path::{GuestPath, HostPath};
pub use root::{Entry, Kind, Owner, Root};
