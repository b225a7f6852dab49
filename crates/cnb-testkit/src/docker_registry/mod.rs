//! docker-registry 2.8, the registry that everybody runs, started by a test.

mod config;
mod jwt;
mod process;

use std::io;
use std::path::Path;

use crate::http::{Journal, Server};
use crate::openssl::Certificates;
use crate::peers;
use crate::proxy;
use crate::tokens::{TokenPolicy, TokenServer, Tokens};

use process::Process;

/// How the registry is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Over HTTP.
    Off,
    /// Over HTTPS, with a certificate of a private authority.
    On,
    /// The same, and clients must have a certificate of that authority.
    ClientCertificate,
}

/// Who may come in.
#[derive(Clone, Debug)]
pub enum Login {
    /// Everybody.
    Open,
    /// One user, with basic authentication.
    Htpasswd {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Whoever has a token of a token server of ours, which signs them with RS256.
    ///
    /// docker-registry takes tokens for a minute after they ended.
    Bearer(TokenPolicy),
}

/// What kind of registry it is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How it is reached.
    pub tls: Tls,
    /// Who may come in.
    pub login: Login,
    /// Whether a proxy in front of it writes a journal; without TLS only.
    pub recorded: bool,
}

impl Default for Setup {
    /// A registry for everybody, over HTTP.
    fn default() -> Self {
        Self { tls: Tls::Off, login: Login::Open, recorded: false }
    }
}

/// The registry. Dropping it ends it and deletes all that it holds.
#[derive(Debug)]
pub struct DockerRegistry {
    proxy: Option<Server>,
    process: Process,
    tokens: Option<TokenServer>,
    certificates: Option<Certificates>,
    dir: tempfile::TempDir,
}

impl DockerRegistry {
    /// Returns whether all that it needs is there; where it is not, the test is skipped, but fails in CI.
    #[track_caller]
    pub fn is_available() -> bool {
        peers::available(&["docker-registry", "openssl", "perl"])
    }

    /// Starts a registry; it answers when this returns.
    pub fn start(setup: &Setup) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("cnb-docker-registry-").tempdir()?;
        let certificates = match setup.tls {
            Tls::Off => None,
            Tls::On | Tls::ClientCertificate => Some(Certificates::make(dir.path())?),
        };
        let tokens = match &setup.login {
            Login::Bearer(policy) => {
                let signer = jwt::Signer::make(dir.path())?;
                Some(TokenServer::start(Tokens::new(
                    policy.clone(),
                    Box::new(move |grant| signer.token(grant)),
                ))?)
            }
            Login::Open | Login::Htpasswd { .. } => None,
        };
        let realm = tokens.as_ref().map(TokenServer::realm);
        let config = config::config(setup, dir.path(), certificates.as_ref(), realm.as_deref())?;
        let process = Process::start(dir.path(), &config)?;
        let proxy = if setup.recorded { Some(proxy::reverse(process.address())?) } else { None };
        Ok(Self { proxy, process, tokens, certificates, dir })
    }

    /// The host of its image names: `127.0.0.1:12345`.
    pub fn host(&self) -> String {
        self.proxy.as_ref().map_or(self.process.address(), Server::address).to_string()
    }

    /// What came through the proxy; `None` where [`Setup::recorded`] is not set.
    pub fn journal(&self) -> Option<&Journal> {
        self.proxy.as_ref().map(Server::journal)
    }

    /// The token server; `None` without [`Login::Bearer`].
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref().map(TokenServer::tokens)
    }

    /// The certificates; `None` without TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Where it keeps everything, as `docker/registry/v2/repositories` and `…/blobs`.
    pub fn storage(&self) -> &Path {
        self.process.storage()
    }

    /// What it has said so far, to be shown where a test fails.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.dir.path().join(process::LOG)).unwrap_or_default()
    }
}
