//! How registries are reached.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cnb_fs::HostPath;
use cnb_spec::env::Env;
use cnb_spec::image_ref::{DEFAULT_REGISTRY, ImageRef};

use crate::credentials::Credentials;
use crate::proxy::Proxies;
use crate::retry::Retries;
use crate::stop::Stop;

/// Gets one line for each request: method, URL without its query, status, attempt. No line has a secret.
pub type Trace = Arc<dyn Fn(&str) + Send + Sync>;

/// How registries are reached.
///
/// The default has no credentials, no proxies, the CA certificates of the system, and time-outs that suit
/// slow networks; [`Settings::from_env`] adds what the environment says.
#[derive(Clone)]
pub struct Settings {
    /// Who we are at which registry.
    pub credentials: Credentials,
    /// Prefixes of image references that are reached by https without verification of certificates, or, where
    /// that fails, by http (B15).
    pub insecure: Vec<String>,
    /// Whom we trust, and who we are, in TLS.
    pub certificates: Certificates,
    /// Proxies, and hosts that are reached without one.
    pub proxies: Proxies,
    /// Mirrors of a registry, `[http://]host[:port][/prefix]`, that are asked in this order before the
    /// registry itself, for pulls only. The key is a registry as in [`ImageRef::registry`].
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Where host names are looked up.
    pub names: Names,
    /// How often and when a failed request is tried again.
    pub retries: Retries,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How many layers are transferred at the same time.
    pub transfers: usize,
    /// The size in bytes of the chunks in which a larger blob is uploaded.
    ///
    /// After a broken connection at most one chunk is sent again. The default of 64 MiB keeps the number of
    /// requests small (64 for 4 GiB) and is below the 100 MB that proxies in front of registries allow for
    /// one request.
    pub chunk: u64,
    /// Stops everything that the client does.
    pub cancel: Stop,
    /// Gets one line for each request.
    pub trace: Option<Trace>,
}

/// Whom we trust, and who we are, in TLS.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// PEM files with CA certificates beside those of the system.
    pub extra: Vec<HostPath>,
    /// The CA bundle that replaces the system's (`SSL_CERT_FILE`).
    pub file: Option<HostPath>,
    /// The folders of CA certificates that replace the system's (`SSL_CERT_DIR`).
    pub dirs: Option<Vec<HostPath>>,
    /// Folders with a folder `HOST[:PORT]` for each registry, which has CA certificates (`*.crt`) and client
    /// certificates (`*.cert` with their `*.key`), as docker and podman have them.
    pub hosts: Vec<HostPath>,
}

/// Where host names are looked up; nowhere else.
#[derive(Clone, Debug)]
pub struct Names {
    /// The file with fixed addresses.
    pub hosts: HostPath,
    /// The file that names the servers.
    pub resolv_conf: HostPath,
    /// The port of those servers.
    pub port: u16,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of an answer, once the request is sent; a registry that has to check and keep a blob has a
    /// second more for each 10 MiB of it.
    pub answer: Duration,
    /// For a transfer in which too little moves: at least 4 KiB must in this time.
    pub stall: Duration,
    /// For a document (manifest, token, tag list) with all attempts and redirects.
    pub document: Duration,
    /// For one operation with all its transfers; `None` is no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            document: Duration::from_secs(300),
            total: None,
        }
    }
}

impl Timeouts {
    /// Returns how long a registry may take over a blob that it has got.
    pub(crate) fn commit(&self, size: u64) -> Duration {
        self.answer.saturating_add(Duration::from_secs(size / (10 << 20)))
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            hosts: HostPath::absolute("/etc/hosts"),
            resolv_conf: HostPath::absolute("/etc/resolv.conf"),
            port: 53,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            insecure: Vec::new(),
            certificates: Certificates::default(),
            proxies: Proxies::default(),
            mirrors: BTreeMap::new(),
            names: Names::default(),
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            transfers: 5,
            chunk: 64 << 20,
            cancel: Stop::default(),
            trace: None,
        }
    }
}

impl Settings {
    /// Takes proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in both cases), CA certificates
    /// (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and the folders `certs.d` of docker and podman from the environment.
    ///
    /// ```
    /// # use cnb_registry::{Credentials, Settings};
    /// # use cnb_spec::env::Env;
    /// let env = Env::from([("HTTPS_PROXY".into(), "http://me:secret@proxy.example:3128".into())]);
    /// let settings = Settings::from_env(&env, Credentials::default());
    /// assert!(!format!("{settings:?}").contains("secret"));
    /// ```
    pub fn from_env(env: &Env, credentials: Credentials) -> Self {
        Self {
            credentials,
            certificates: Certificates::from_env(env),
            proxies: Proxies::from_env(env),
            ..Self::default()
        }
    }

    /// Returns the mirrors of a registry; Docker Hub goes by two names.
    pub(crate) fn mirrors_of(&self, registry: &str) -> &[String] {
        let also = if registry == DEFAULT_REGISTRY { "docker.io" } else { registry };
        let found = self.mirrors.get(registry).or_else(|| self.mirrors.get(also));
        found.map_or(&[], Vec::as_slice)
    }

    /// Returns whether `image` may be reached without protection (B15).
    pub(crate) fn is_insecure(&self, image: &ImageRef) -> bool {
        let canonical = image.to_string();
        self.insecure
            .iter()
            .any(|p| !p.is_empty() && (image.typed().starts_with(p) || canonical.starts_with(p)))
    }
}

impl Certificates {
    fn from_env(env: &Env) -> Self {
        let value = |name: &str| env.get(OsStr::new(name)).filter(|v| !v.is_empty());
        let mut hosts = Vec::new();
        if let Some(home) = value("HOME") {
            let home = HostPath::absolute(home);
            hosts.extend([home.join(".config/containers/certs.d"), home.join(".docker/certs.d")]);
        }
        hosts.extend(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(HostPath::absolute));
        Self {
            extra: Vec::new(),
            file: value("SSL_CERT_FILE").map(HostPath::absolute),
            dirs: value("SSL_CERT_DIR").map(|v| std::env::split_paths(v).map(HostPath::absolute).collect()),
            hosts,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("credentials", &self.credentials)
            .field("insecure", &self.insecure)
            .field("certificates", &self.certificates)
            .field("proxies", &self.proxies)
            .field("mirrors", &self.mirrors)
            .field("names", &self.names)
            .field("retries", &self.retries)
            .field("timeouts", &self.timeouts)
            .field("transfers", &self.transfers)
            .field("chunk", &self.chunk)
            .finish_non_exhaustive()
    }
}
