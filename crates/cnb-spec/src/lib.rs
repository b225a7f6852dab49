//! Every Cloud Native Buildpacks and OCI format as plain data, with the rules the specifications state about it.
//!
//! Nothing here touches a disk or a network. A format lives in the module with its file name.
//!
//! # Glossary
//!
//! One term, one type. Where the specifications have two words for a thing, this is the one we use.
//!
//! | the specification says | here |
//! | --- | --- |
//! | Platform API, Buildpack API version | [`api::PlatformApi`], [`api::BuildpackApi`] |
//! | buildpack or extension ID | [`id::ModuleId`] |
//! | order, group in an order | [`platform::order_toml`] |
//! | detected group | [`platform::group_toml`] |
//! | Build Plan (from `bin/detect`) | [`buildpack::build_plan`] |
//! | resolved plan | [`platform::plan_toml`] |
//! | Buildpack Plan (to `bin/build`) | [`buildpack::buildpack_plan`] |
//! | target, distribution | [`target::Target`], [`target::Distro`] |
//! | execution environment | [`exec_env::ExecEnv`], [`exec_env::ExecEnvs`] |
//! | layer content metadata | [`buildpack::layer_toml`] |
//! | process, slice, label | [`process::Process`], [`process::Slice`], [`process::Label`] |
//! | blob digest, layer diffID | [`digest::Digest`], [`digest::DiffId`] |
//! | image reference | [`image_ref::ImageRef`] |

pub mod api;
pub mod buildpack;
pub mod digest;
pub mod distribution;
pub mod env;
pub mod exec_env;
pub mod fault;
pub mod gojson;
pub mod gotoml;
pub mod id;
pub mod image_ref;
pub mod oci;
pub mod platform;
pub mod process;
pub mod project;
pub mod target;
pub mod value;
