//! The author side of the Buildpack API: detect and build contexts, layers, environment, SBOM.
//!
//! A buildpack written on this crate is an ordinary one: a folder with `buildpack.toml`, `bin/detect` and
//! `bin/build`, which any platform that knows Buildpack API 0.12 can run. Both executables are the same program
//! under two names; [`run::main`] looks at the name it was started by.
//!
//! ```no_run
//! use cnb_buildpack::{Buildpack, BuildContext, DetectContext, Detection, Failure, Process};
//!
//! struct Hello;
//!
//! impl Buildpack for Hello {
//!     fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
//!         Ok(Detection::when(cx.app_dir.join("hello.sh").is_file(), "a file `hello.sh`"))
//!     }
//!
//!     fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
//!         cx.write_launch(vec![Process::new("web", &["bash", "hello.sh"]).default()])
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cnb_buildpack::run::main(&Hello)
//! }
//! ```
//!
//! Reading order: [`run`], [`context`], [`detection`], [`layer`], [`launch`], [`sbom`], [`command`], [`tree`],
//! what languages share ([`wanted`] versions, [`download`], [`binding`]s, front-end [`assets`], shared [`libraries`]),
//! and [`trial`], which runs a buildpack as a platform would, for tests.

pub mod assets;
pub mod binding;
pub mod command;
pub mod context;
pub mod detection;
pub mod download;
pub mod failure;
pub mod launch;
pub mod layer;
pub mod libraries;
pub mod license;
pub mod log;
pub mod run;
pub mod sbom;
pub mod tree;
pub mod trial;
pub mod wanted;

pub use context::{BuildContext, DetectContext, Target};
pub use detection::{Detection, Intent};
pub use failure::Failure;
pub use launch::Process;
pub use run::Buildpack;
