//! Fixtures that the tests of several crates share. Only ever a dev-dependency; `cargo xtask tidy` checks it.
//!
//! - [`program()`]: makes an executable file that can be run at once, whatever other tests do meanwhile
//! - [`ScriptBuildpack`]: makes a buildpack of shell scripts
//! - [`scratch_layout`]: makes a run image, as an OCI layout, from a directory
//! - [`free_port`], [`wait_for`]: servers in tests
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
mod layout;
mod program;
mod server;

pub use buildpack::ScriptBuildpack;
pub use layout::scratch_layout;
pub use program::program;
pub use server::{free_port, wait_for};
