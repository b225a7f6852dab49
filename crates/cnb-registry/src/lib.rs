//! Pulls from and pushes to OCI registries: authentication, verified transfers, retries.
//!
//! # What a newcomer should know
//!
//! A *registry* is a server with *repositories* (`registry.example/team/app`). A repository holds *blobs*
//! (layers and configs) and *manifests*, all named by the sha256 of their bytes: their *digest*. A *tag* is
//! the only thing that moves: a name for the digest of a manifest, or of an *index*, which lists manifests
//! for several platforms. So reading goes
//!
//! 1. tag → manifest (its digest is computed here, and must be the one that the registry says),
//! 2. index → the manifest for the wanted platform, as often as indexes are nested,
//! 3. manifest → config and layers, which must have the digests that the manifest says,
//!
//! and pushing goes the other way round: layers, config, manifest, and with it the tag. Whatever fails
//! before that last step leaves the tag as it was.
//!
//! Who we are is looked up per repository in [`Credentials`]: `CNB_REGISTRY_AUTH` first, then the files of
//! docker and podman. It is shown to the registry only, or to the token server that the registry names, and
//! to no host that either redirects to.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = cnb_testkit::registry::Registry::start(cnb_testkit::registry::Options::default())?;
//! # let dir = tempfile::tempdir()?;
//! # fs_err::create_dir(dir.path().join("tree"))?;
//! # cnb_testkit::scratch_layout(&dir.path().join("oci"), &dir.path().join("tree"), &serde_json::json!({}))?;
//! # server.put_layout("team/app", "v1", &dir.path().join("oci"))?;
//! # let host = server.host();
//! use cnb_registry::{Registry, Settings};
//!
//! let registry = Registry::new(Settings::default())?;
//! let image = registry.image(&format!("{host}/team/app:v1").parse()?, None)?;
//! let pushed = registry.push(&image, &format!("{host}/team/copy:v2").parse()?, &|_| {})?;
//! assert_eq!(pushed.digest, image.digest());
//! # Ok(())
//! # }
//! ```
//!
//! # Reading order
//!
//! `client`, `pull` and `push` (what callers see), `manifest`, `referrers`, `download`, `upload` with `feed`
//! (what is transferred), `transport` with `answer` and `redirect` (one request), `endpoint`, `auth`,
//! `challenge` (who is asked, who we are), `retry`, `tls`, `proxy`, `resolve`, [`mod@settings`]. Everything
//! below the first three is asynchronous; the runtime starts with the first request and is seen by nobody.

mod answer;
mod auth;
mod challenge;
mod client;
pub mod credentials;
mod download;
mod endpoint;
mod error;
mod feed;
mod manifest;
pub mod proxy;
mod pull;
mod push;
mod redirect;
mod referrers;
mod resolve;
pub mod retry;
pub mod settings;
mod stop;
mod tls;
mod transport;
mod upload;

pub use client::{Event, Pushed, Registry};
pub use credentials::{Auth, Credentials, CredentialsError};
pub use error::{Reason, RegistryError, RegistryErrorKind};
pub use proxy::Proxies;
pub use resolve::lookup;
pub use retry::Retries;
pub use settings::{Certificates, Names, Settings, Timeouts, Trace};
pub use stop::Stop;
