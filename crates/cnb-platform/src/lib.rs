//! The daemonless platform as a library: a [`BuildRequest`] in, an image and a [`Report`] out.
//!
//! ```no_run
//! use cnb_platform::{BuildRequest, Cancel, Event, Home, Platform};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let env = std::env::vars_os().collect();
//! let platform = Platform::new(Home::locate(&env)?, env);
//! let app = cnb_platform::HostPath::new(&std::env::current_dir()?, "app");
//! let request = BuildRequest::new(app, "myapp".parse()?);
//! let report = platform.build(&request, &|event: Event<'_>| println!("{event:?}"), &Cancel::new())?;
//! println!("{}", report.digest);
//! # Ok(())
//! # }
//! ```

mod analysis;
mod base;
mod binding;
mod build;
mod caches;
mod cancel;
mod check;
mod copy;
mod disk;
mod enter;
mod event;
mod explain;
mod export;
mod failure;
mod guest;
mod home;
pub mod host;
mod images;
mod inspect;
mod leaks;
mod listening;
mod modules;
mod mountable;
mod packages;
mod parts;
mod places;
mod plan;
mod platform;
mod project;
mod publish;
mod rebase;
mod report;
mod request;
mod run;
mod run_build;
pub mod source;
mod unisolated;
mod user_config;
mod workdir;

pub use binding::{Binding, BindingError};
pub use cancel::{Cancel, Stopped};
pub use cnb_fs::toml_file::TomlFileError;
pub use cnb_fs::{GuestPath, HostPath};
pub use cnb_registry::Event as Transfer;
pub use cnb_spec::exec_env::ExecEnv;
pub use cnb_spec::image_ref::{ImageRef, ImageRefError};
pub use cnb_spec::oci::Platform as ImagePlatform;
pub use copy::{CopyRequest, Which};
pub use event::{Event, Events, Level, Phase};
pub use failure::{Failure, FailureKind};
pub use home::{Home, HomeError};
pub use listening::Listening;
pub use places::{EngineKind, Found, Place, PlaceError, Places, Remote, Transfers, Written};
pub use plan::{
    BuildPlan, PassedOver, PlannedBuildpack, PlannedEntry, PlannedIntent, PlannedProcess, PlannedVersion,
};
pub use platform::{GcReport, Inspection, Platform, StoredImage};
pub use rebase::{RebaseRequest, Rebased};
pub use report::{Report, ReportLayer, ReportProcess};
pub use request::{BuildRequest, Cache, Isolation, Limits, Network, Output, Volume};
pub use run::{RunRequest, Running};
pub use user_config::UserConfig;
