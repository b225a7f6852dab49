//! Reads images from and loads them into a Docker or Podman engine, through its API socket.
//!
//! An engine knows images by their configs and layers by their diffIDs; there are no manifests and no compressed
//! blobs. So an [`Image`](cnb_image::Image) that comes from one is put together from what `inspect` and `history`
//! tell, and a layer's bytes come out of an export of the whole image.
//!
//! ```no_run
//! use cnb_daemon::{Address, Engine};
//!
//! # let env = cnb_spec::env::Env::new();
//! let engine = Engine::connect(&Address::docker(&env)?)?;
//! if let Some(image) = engine.image("debian:bookworm")? {
//!     let id = engine.load(&image, &["me/copy".parse().expect("a valid name")])?;
//!     println!("{id}");
//! }
//! # Ok::<(), cnb_daemon::EngineError>(())
//! ```
//!
//! The connection is opened by [`Engine::connect`] and kept, so that it outlives a privilege drop (B18). No thread is
//! started, neither then nor later.
//!
//! Reading order: `address` and `context`, `connection` and `exchange` (HTTP), `engine` (the requests), `describe`
//! and `origin` (images that come), `load` and `stream` (images that go).

mod address;
mod connection;
mod context;
mod describe;
mod engine;
mod error;
mod exchange;
mod interrupt;
mod load;
mod origin;
mod progress;
mod stream;
mod tls;

pub use address::Address;
pub use connection::Lookup;
pub use engine::{Engine, Info, Kind};
pub use error::EngineError;
pub use interrupt::Interrupt;
