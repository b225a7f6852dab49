//! Choose a buildpack group and resolve the build plan; then let the group's image extensions generate.
//!
//! [`detect`] finds the first group of an order whose buildpacks pass and whose build plans fit together.
//! [`generate()`] runs `bin/generate` of the extensions of that group.
//!
//! Both reach the build's world through [`cnb_fs::Root`], run executables through [`cnb_sandbox::Run`], and
//! tell what happens as [`Event`]s; who prints decides how.
//!
//! Platform Interface Specification, "detector"; Buildpack Interface Specification, "Phase #1: Detection";
//! requirements B34 to B43, C25 to C52, D1 to D17.
//!
//! Reading order: [`order`] (the search), [`run`] (`bin/detect`), [`trial`] (plans), [`mod@generate`],
//! [`dockerfile`].

pub mod dockerfile;
mod error;
mod event;
pub mod generate;
pub mod order;
mod resolve;
pub mod run;
pub mod trial;

use std::num::NonZeroUsize;

use cnb_fs::{GuestPath, Root};
use cnb_sandbox::Run;
use cnb_spec::api::PlatformApi;
use cnb_spec::env::Env;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::platform::group_toml::Group;
use cnb_spec::platform::order_toml::OrderFile;
use cnb_spec::platform::plan_toml::Plan;
use cnb_spec::platform::system_toml::System;
use cnb_spec::target::Target;

pub use error::{DetectError, TriedGroup, TriedModule};
pub use event::Event;
pub use generate::{GenerateConfig, GenerateError, Generated, generate};

/// The inputs of detection.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Platform API in use.
    pub platform_api: PlatformApi,
    /// `<app>`.
    pub app: GuestPath,
    /// `<buildpacks>`.
    pub buildpacks: GuestPath,
    /// `<extensions>`.
    pub extensions: GuestPath,
    /// `<platform>`.
    pub platform: GuestPath,
    /// `<build-config>`.
    pub build_config: GuestPath,
    /// Where temporary files of the guest go; the build user can write there.
    pub scratch: GuestPath,
    /// The groups to try.
    pub order: OrderFile,
    /// The platform's buildpacks around every group; ignored before Platform API 0.15.
    pub system: System,
    /// The target of the run image, as far as it is known.
    pub target: Target,
    /// The execution environment of this build.
    pub exec_env: ExecEnv,
    /// The environment of the lifecycle, of which buildpacks inherit a fixed part.
    pub env: Env,
    /// How many `bin/detect` may run at once.
    pub threads: NonZeroUsize,
}

/// What detection found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detected {
    /// The group, to be written as `group.toml`.
    pub group: Group,
    /// The plan, to be written as `plan.toml`.
    pub plan: Plan,
}

/// Finds the first group that passes.
///
/// # Errors
/// [`DetectError`] tells what kind of failure it was; the two kinds "nothing passed" carry every group that
/// was tried with the results and the output of its buildpacks.
pub fn detect(
    config: &Config,
    root: &Root,
    run: &dyn Run,
    events: &dyn Fn(Event),
) -> Result<Detected, DetectError> {
    order::search(config, root, run, events)
}
