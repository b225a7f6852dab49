//! A registry in this process: the distribution specification over plain HTTP on loopback.
//!
//! It is strict where registries differ (repositories do not see each other's blobs, an upload goes on only at its
//! newest location and at the right offset, a manifest may only name what is there), remembers every request, and
//! can be told to go wrong. What is published can be looked at from the test.
//!
//! ```
//! use cnb_testkit::registry::{Options, Registry};
//!
//! let registry = Registry::start(Options::default())?;
//! let config = registry.put_blob("some/app", b"{}");
//! assert!(registry.blob(&config).is_some());
//! assert!(registry.journal().seen().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod access;
mod blobs;
mod fault;
mod listing;
mod manifests;
mod published;
mod route;
mod sabotage;
mod serve;
mod state;
mod storage;
mod uploads;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::{Handler, Journal, Server};
use crate::tokens::{TokenPolicy, Tokens};

pub use fault::{Fault, Nth, RetryAfter, What};
pub use storage::Storage;

use fault::Faults;
use state::State;

/// Who may come in.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody.
    Open,
    /// One user, with basic authentication.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Whoever has a token of the registry's own token server, at `/token` of the same address.
    Bearer(TokenPolicy),
}

/// What kind of registry it is.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "registries differ in independent ways")]
pub struct Options {
    /// Who may come in.
    pub auth: Auth,
    /// Where blobs are kept.
    pub storage: Storage,
    /// Whether blobs are mounted from other repositories.
    pub mounts: bool,
    /// Whether it has the referrers endpoint; otherwise that answers 404, as registries before 1.1 do.
    pub referrers: bool,
    /// Whether parts of blobs are served.
    pub ranges: bool,
    /// Whether anything can be deleted.
    pub deletes: bool,
    /// Whether a blob can be uploaded with a single `POST`; otherwise that opens an upload.
    pub single_post: bool,
    /// Whether locations are complete addresses, rather than paths.
    pub absolute_locations: bool,
    /// The least length of a chunk but the last, in bytes, as told in `OCI-Chunk-Min-Length`.
    pub chunk_min: Option<u64>,
    /// The most tags in one answer.
    pub page: usize,
}

impl Default for Options {
    /// A registry that has everything, to everybody, in memory.
    fn default() -> Self {
        Self {
            auth: Auth::Open,
            storage: Storage::Memory,
            mounts: true,
            referrers: true,
            ranges: true,
            deletes: true,
            single_post: true,
            absolute_locations: false,
            chunk_min: None,
            page: 100,
        }
    }
}

/// The registry. It ends when it is dropped, with all that it holds.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    core: Arc<Core>,
    others: Mutex<Vec<Server>>,
}

/// What the threads of the server share.
#[derive(Debug)]
struct Core {
    options: Options,
    address: SocketAddr,
    tokens: Option<Tokens>,
    state: Mutex<State>,
    faults: Faults,
    dir: Option<tempfile::TempDir>,
}

impl Registry {
    /// Starts a registry on a free port.
    pub fn start(options: Options) -> io::Result<Self> {
        let dir = match options.storage {
            Storage::Directory => Some(tempfile::Builder::new().prefix("cnb-registry-").tempdir()?),
            Storage::Memory | Storage::Discard => None,
        };
        let tokens = match &options.auth {
            Auth::Bearer(policy) => Some(Tokens::opaque(policy.clone())),
            Auth::Open | Auth::Basic { .. } => None,
        };
        let mut core = None;
        let server = Server::start(Ipv4Addr::LOCALHOST, Arc::default(), |address| {
            let made = Arc::new(Core {
                options,
                address,
                tokens,
                state: Mutex::default(),
                faults: Faults::default(),
                dir,
            });
            core = Some(Arc::clone(&made));
            let handler: Arc<Handler> = Arc::new(move |request, body| made.serve(request, body));
            handler
        })?;
        let core = core.ok_or_else(|| io::Error::other("the server has no handler"))?;
        Ok(Self { server, core, others: Mutex::default() })
    }

    /// The host of its image names: `127.0.0.1:12345`.
    pub fn host(&self) -> String {
        self.core.address.to_string()
    }

    /// What it was asked, token requests included.
    pub fn journal(&self) -> &Journal {
        self.server.journal()
    }

    /// Makes something go wrong from now on. Where several faults are about one request, the oldest strikes.
    pub fn inject(&self, fault: Fault) {
        self.core.faults.inject(fault);
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.core.faults.clear();
    }

    /// How often something went wrong, by the faults that are injected now.
    pub fn struck(&self) -> u32 {
        self.core.faults.struck()
    }

    /// Opens a second address, on another host of the loopback range such as 127.0.0.2, that serves the same blobs
    /// to everybody, as the stores do that registries redirect to; returns `ip:port`. It has the same journal, in
    /// which the `host` header tells the two apart.
    pub fn also_on(&self, ip: Ipv4Addr) -> io::Result<String> {
        let core = Arc::clone(&self.core);
        let server = Server::start(ip, self.server.shared_journal(), |_| {
            Arc::new(move |request, body| core.serve_content(request, body))
        })?;
        let host = server.address().to_string();
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(server);
        Ok(host)
    }

    /// Its token server; `None` where it has no [`Auth::Bearer`].
    pub fn tokens(&self) -> Option<&Tokens> {
        self.core.tokens.as_ref()
    }
}
