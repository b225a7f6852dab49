//! Files that platform and lifecycle exchange, and the labels of app images.

pub mod analyzed_toml;
pub mod cache_metadata;
pub mod group_toml;
pub mod labels;
pub mod metadata_toml;
pub mod order_toml;
pub mod plan_toml;
pub mod project_metadata_toml;
pub mod report_toml;
pub mod run_toml;
pub mod system_toml;
