//! What the author of an application says about it: `project.toml`.

pub mod project_toml;
