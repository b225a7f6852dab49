//! Formats of what is handed on: packaged lifecycles and buildpacks.

pub mod buildpackage;
pub mod lifecycle_toml;
