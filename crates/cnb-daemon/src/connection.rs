//! Connections to an engine: opened early, kept, and used for one request after the other (B18).
//!
//! The runtime has no thread of its own: the caller's thread drives it while a request is under way and nothing
//! runs in between, not even name resolution.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{Either, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;

use crate::{Address, EngineError, Interrupt, tls};

/// How long connecting may take, if nobody says otherwise.
pub(crate) const CONNECT: Duration = Duration::from_secs(20);

/// How many connections that are not in use are kept.
const KEPT: usize = 2;

/// What is sent: nothing, or bytes as they come.
pub(crate) type Body = Either<Empty<Bytes>, Channel<Bytes>>;

/// Looks up the addresses of a host, in the calling thread.
///
/// The standard library does it by the C library's name service, which a statically linked program has not.
#[derive(Clone)]
pub struct Lookup(Arc<Addresses>);

type Addresses = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

impl Lookup {
    /// Takes the function that looks up.
    pub fn new(addresses: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(addresses))
    }

    /// Returns the addresses of `host:port`, where the host may be an address already.
    fn addresses(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{host}` is not `host:port`"));
        let (name, port) = host.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        Ok((self.0)(name)?.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

/// The connections to one engine.
#[derive(Debug)]
pub(crate) struct Connections {
    address: Address,
    lookup: Lookup,
    tls: Option<Arc<ClientConfig>>,
    runtime: Runtime,
    interrupt: OnceLock<Interrupt>,
    pool: Mutex<Pool>,
    /// Told when a connection is no longer in use.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<SendRequest<Body>>,
    /// The threads that have a connection for themselves.
    in_use: Vec<ThreadId>,
}

impl Connections {
    /// Opens the first connection, which may take as long as `patience`.
    pub(crate) fn open(address: &Address, lookup: Lookup, patience: Duration) -> Result<Self, EngineError> {
        let tls = match address {
            Address::Tls { certificates, .. } => Some(tls::settings(certificates)?),
            Address::Unix(_) | Address::Tcp(_) => None,
        };
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().build().map_err(EngineError::Client)?;
        let connections = Self {
            address: address.clone(),
            lookup,
            tls,
            runtime,
            interrupt: OnceLock::new(),
            pool: Mutex::default(),
            changed: Condvar::new(),
        };
        let first = connections.dial(patience)?;
        connections.pool().idle.push(first);
        Ok(connections)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns what gives requests up.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.interrupt.get().cloned().unwrap_or_default()
    }

    /// Lets `interrupt` give requests up; the first one counts.
    pub(crate) fn give_up_by(&self, interrupt: Interrupt) {
        let _ = self.interrupt.set(interrupt);
    }

    /// Returns whether a request is under way, which keeps its connection alive.
    pub(crate) fn in_use(&self) -> bool {
        !self.pool().in_use.is_empty()
    }

    /// Takes a connection that nobody uses, or else a new one, or else waits for one that another thread uses: after
    /// root was given up there may be no new one.
    pub(crate) fn take(&self) -> Result<Lease<'_>, EngineError> {
        let mut pool = self.pool();
        loop {
            if let Some(mut sender) = pool.idle.pop() {
                // It counts as in use at the same moment, so that whoever finds no other waits for it.
                let lease = self.lease(pool);
                let is_alive = self.runtime.block_on(async {
                    // Without this the connection's task would not see that the engine closed it meanwhile.
                    tokio::task::yield_now().await;
                    // One whose last request the engine does not read to its end is never ready.
                    tokio::time::timeout(CONNECT, sender.ready()).await.is_ok_and(|ready| ready.is_ok())
                });
                if is_alive {
                    return Ok(lease.with(sender, false));
                }
                drop(lease);
                pool = self.pool();
                continue;
            }
            drop(pool);
            let source = match self.dial(CONNECT) {
                Ok(sender) => return Ok(self.lease(self.pool()).with(sender, true)),
                Err(source) => source,
            };
            pool = self.pool();
            if !pool.idle.is_empty() {
                continue;
            }
            if pool.in_use.is_empty() {
                return Err(self.lost(source));
            }
            if pool.in_use.contains(&thread::current().id()) {
                // It would wait for itself.
                return Err(source);
            }
            pool = self.changed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens a connection in the place of one that broke off before the engine answered.
    pub(crate) fn replace(&self) -> Result<Lease<'_>, EngineError> {
        let sender = self.dial(CONNECT).map_err(|source| self.lost(source))?;
        Ok(self.lease(self.pool()).with(sender, true))
    }

    fn lost(&self, source: EngineError) -> EngineError {
        EngineError::Lost { address: self.address.to_string(), source: Box::new(source) }
    }

    fn lease(&self, mut pool: MutexGuard<'_, Pool>) -> Lease<'_> {
        let thread = thread::current().id();
        pool.in_use.push(thread);
        Lease { connections: self, thread, sender: None, is_new: false }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dial(&self, patience: Duration) -> Result<SendRequest<Body>, EngineError> {
        let address = || self.address.to_string();
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(|e| self.explain(e))?;
                stream.set_nonblocking(true).map_err(|e| self.explain(e))?;
                self.start(patience, async { tokio::net::UnixStream::from_std(stream) })
            }
            Address::Tcp(host) => {
                let stream = self.tcp(host, patience)?;
                self.start(patience, async { tokio::net::TcpStream::from_std(stream) })
            }
            Address::Tls { host, .. } => {
                let stream = self.tcp(host, patience)?;
                let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
                let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(name)
                    .map_err(|e| EngineError::Connect { address: address(), source: Box::new(e) })?;
                let tls = self.tls.clone().map(TlsConnector::from);
                self.start(patience, async {
                    let stream = tokio::net::TcpStream::from_std(stream)?;
                    // There are settings whenever the address is of this kind.
                    let tls = tls.ok_or_else(|| io::Error::other("no certificates"))?;
                    tls.connect(name, stream).await
                })
            }
        }
    }

    /// Connects to the first address of `host` that answers. The name is looked up in this very thread, where tokio
    /// would start another.
    fn tcp(&self, host: &str, patience: Duration) -> Result<TcpStream, EngineError> {
        let mut last = None;
        for address in self.lookup.addresses(host).map_err(|e| self.explain(e))? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    let set = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
                    return set.map(|()| stream).map_err(|e| self.explain(e));
                }
                Err(e) => last = Some(e),
            }
        }
        Err(self.explain(last.unwrap_or_else(|| io::Error::other("the name has no address"))))
    }

    fn start<S, F>(&self, patience: Duration, stream: F) -> Result<SendRequest<Body>, EngineError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>>,
    {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| EngineError::Connect {
            address: self.address.to_string(),
            source,
        };
        let opened = self.runtime.block_on(async {
            tokio::time::timeout(patience, async {
                let (sender, connection) = http1::handshake(TokioIo::new(stream.await?)).await?;
                // What ends a connection is told to the request that is under way.
                tokio::spawn(connection);
                Ok(sender)
            })
            .await
        });
        opened.map_err(|e| failed(Box::new(e)))?.map_err(failed)
    }

    fn explain(&self, source: io::Error) -> EngineError {
        let address = self.address.to_string();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                EngineError::Absent { address, source }
            }
            io::ErrorKind::PermissionDenied => EngineError::Denied { address, source },
            _ => EngineError::Connect { address, source: Box::new(source) },
        }
    }
}

/// A connection that a request has for itself. Dropping it instead of giving it back closes it.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    connections: &'a Connections,
    thread: ThreadId,
    sender: Option<SendRequest<Body>>,
    /// Whether it was opened for this request.
    is_new: bool,
}

impl Lease<'_> {
    fn with(mut self, sender: SendRequest<Body>, is_new: bool) -> Self {
        self.sender = Some(sender);
        self.is_new = is_new;
        self
    }

    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(crate) fn sender(&mut self) -> Option<&mut SendRequest<Body>> {
        self.sender.as_mut()
    }

    /// Gives it back: request and answer went through completely.
    pub(crate) fn give_back(mut self) {
        let Some(sender) = self.sender.take() else { return };
        let mut pool = self.connections.pool();
        if pool.idle.len() < KEPT && !sender.is_closed() {
            pool.idle.push(sender);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut pool = self.connections.pool();
        if let Some(place) = pool.in_use.iter().position(|thread| *thread == self.thread) {
            pool.in_use.swap_remove(place);
        }
        drop(pool);
        self.connections.changed.notify_all();
    }
}
