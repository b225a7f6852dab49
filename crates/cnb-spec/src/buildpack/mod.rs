//! Files that buildpacks and extensions are described by, write and are given.

pub mod build_plan;
pub mod build_toml;
pub mod buildpack_plan;
pub mod buildpack_toml;
pub mod exec_d;
pub mod extend_config_toml;
pub mod extension_toml;
pub mod launch_toml;
pub mod layer_toml;
pub mod sbom;
pub mod store_toml;
