//! Formats of what is handed on: packaged lifecycles.

pub mod lifecycle_toml;
