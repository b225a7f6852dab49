//! Fixtures that the tests of several crates share. Only ever a dev-dependency; `cargo xtask tidy` checks it.
//!
//! - [`program()`]: makes an executable file that can be run at once, whatever other tests do meanwhile
//! - [`ScriptBuildpack`]: makes a buildpack of shell scripts
//! - [`scratch_layout`]: makes a run image, as an OCI layout, from a directory; [`layout`] has larger ones
//! - [`free_port`], [`wait_for`]: servers in tests
//! - [`docker_registry`]: the registry that everybody runs, with every kind of login, behind a recording [`proxy`]
//! - [`engine`]: Docker and Podman engines
//! - [`peers`]: programs that others wrote, where they are there
//! - [`registry`]: a registry in this process, which remembers what it was asked
//! - [`schemas`]: whether SBOMs follow the schemas of their formats
//! - [`tokens`]: a token server; [`http`]: what both are built on
//!
//! ```
//! let store = tempfile::tempdir()?;
//! let hello = cnb_testkit::ScriptBuildpack {
//!     build: "echo hello > $CNB_LAYERS_DIR/greeting".into(),
//!     ..cnb_testkit::ScriptBuildpack::new("example/hello")
//! };
//! let dir = hello.write_in(store.path())?;
//! assert!(dir.ends_with("example_hello/1.0.0"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod buildpack;
mod digest;
pub mod docker_registry;
pub mod engine;
pub mod http;
pub mod layout;
pub mod openssl;
pub mod peers;
mod program;
pub mod proxy;
pub mod registry;
pub mod schemas;
mod server;
pub mod tokens;

pub use buildpack::ScriptBuildpack;
pub use digest::digest;
pub use layout::scratch_layout;
pub use program::program;
pub use server::{free_port, wait_for};
