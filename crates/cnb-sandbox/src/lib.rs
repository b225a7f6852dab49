//! Run commands with a given root, mounts, user, environment and limits.
//!
//! [`Run`] is what the phases of a build see: something that runs an [`Invocation`]. Three things do:
//! [`Sandbox`], a rootless Linux sandbox that holds all commands of a build; the same
//! [without isolation](Sandbox::without_isolation); and [`Direct`], a plain child process. In tests a closure will
//! do.
//!
//! A sandbox is described by a [`SandboxConfig`], translated by a pure function into steps, and carried out by
//! `cnb-init`, the small static program of this package, which becomes the sandbox's first process. What is
//! promised, and by which mechanism, is in `docs/sandbox.md`.
//!
//! Reading order: `invocation`, `config`, `plan`, `sandbox`, `linux`.
//!
//! # Examples
//!
//! ```
//! use std::collections::BTreeMap;
//! use cnb_fs::GuestPath;
//! use cnb_sandbox::{Direct, Exit, Invocation, Run};
//!
//! let hello = Invocation {
//!     program: GuestPath::new("/bin/sh"),
//!     args: vec!["-c".into(), "echo hello; exit 3".into()],
//!     env: BTreeMap::new(),
//!     cwd: GuestPath::new("/"),
//! };
//! let mut printed = Vec::new();
//! let exit = Direct.run(&hello, &mut |bytes| printed.extend_from_slice(bytes))?;
//! assert_eq!((exit, printed.as_slice()), (Exit::Code(3), b"hello\n".as_slice()));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! In a sandbox over the host's programs:
//!
//! ```no_run
//! # use cnb_fs::{GuestPath, HostPath};
//! # use cnb_sandbox::{Identity, Invocation, Limits, Mount, Network, Run, Sandbox, SandboxConfig};
//! # fn run(invocation: &Invocation) -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::start(&SandboxConfig {
//!     init: HostPath::absolute("/usr/lib/cnb/cnb-init"),
//!     mounts: vec![
//!         Mount::Bind { host: HostPath::absolute("/usr"), guest: GuestPath::new("/usr"), writable: false },
//!         Mount::Link { guest: GuestPath::new("/bin"), target: GuestPath::new("/usr/bin") },
//!         Mount::Proc { guest: GuestPath::new("/proc") },
//!         Mount::Dev { guest: GuestPath::new("/dev") },
//!     ],
//!     identity: Identity::Caller { uid: 1001, gid: 1000 },
//!     network: Network::None,
//!     limits: Limits { processes: Some(1000), ..Limits::default() },
//!     hostname: "build".to_owned(),
//! })?;
//! sandbox.run(invocation, &mut |_| {})?;
//! let passwd = sandbox.root()?.read_if_exists(&GuestPath::new("/etc/passwd"), 1 << 20)?;
//! # Ok(()) }
//! ```

mod config;
mod direct;
mod drain;
mod error;
mod foreground;
mod invocation;
mod linux;
mod plan;
mod probe;
mod sandbox;
mod wire;

pub use config::{Identity, Limits, Mount, Network, SandboxConfig, Upper};
pub use direct::Direct;
pub use error::SandboxError;
pub use foreground::{Foreground, Session};
pub use invocation::{Exit, Invocation, Run};
pub use linux::Signals;
#[doc(hidden)]
pub use linux::main as init_main;
pub use probe::{Unavailable, available};
pub use sandbox::{Killer, Sandbox};
