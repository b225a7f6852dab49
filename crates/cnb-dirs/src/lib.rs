//! The directories that the specifications name, read and written as types.
//!
//! Phases do no file access of their own for what buildpacks and platforms leave behind: they ask here, and
//! everything goes through [`cnb_fs::Root`], so that no link leads out of the world that the build sees.
//!
//! Reading order: [`store`] (buildpacks and extensions), [`env_dir`] (`<platform>/env` and its like),
//! [`variables`] (the environment of a buildpack's executables), [`base_target`], [`layers`], [`scratch`].

pub mod base_target;
pub mod env_dir;
pub mod layers;
pub mod scratch;
pub mod store;
pub mod variables;
