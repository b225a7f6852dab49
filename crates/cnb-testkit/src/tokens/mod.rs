//! A token server as registries use them: `GET` with basic authentication or none, and `OAuth2` `POST` with a
//! password or a refresh token, which Docker calls an identity token.
//!
//! What a token is made of is left to the caller: for the in-process registry an opaque word, for docker-registry
//! a signed JSON web token.

mod access;
mod answer;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::http::{Journal, Response, Server};

pub use access::Access;

/// What the server grants, and to whom.
#[derive(Clone, Debug)]
pub struct TokenPolicy {
    /// Passwords by user.
    pub users: BTreeMap<String, String>,
    /// The identity token that is taken in place of a password.
    pub identity_token: Option<String>,
    /// What nobody in particular may do, `pull` for instance; empty where everybody must say who they are.
    pub anonymous: Vec<String>,
    /// What users may do.
    pub granted: Vec<String>,
    /// How long tokens hold.
    pub lifetime: Duration,
    /// How long ago tokens claim to have been issued; with more than `lifetime` they are stale when they come.
    pub age: Duration,
    /// The status with which everything is refused.
    pub refusal: Option<u16>,
    /// Under which names the answer holds the token: `token`, `access_token` or both.
    pub fields: Vec<&'static str>,
    /// Whether the answer says how long the token holds.
    pub tells_lifetime: bool,
}

impl TokenPolicy {
    /// Returns a policy with one user, who may do anything; tokens hold for five minutes.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            users: BTreeMap::from([(user.to_owned(), password.to_owned())]),
            identity_token: None,
            anonymous: Vec::new(),
            granted: ["pull", "push", "delete"].map(str::to_owned).to_vec(),
            lifetime: Duration::from_secs(300),
            age: Duration::ZERO,
            refusal: None,
            fields: vec!["token", "access_token"],
            tells_lifetime: true,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The user; empty for nobody in particular.
    pub subject: String,
    /// The registry that it is for.
    pub service: String,
    /// What is allowed.
    pub access: Vec<Access>,
    /// When it begins.
    pub issued: SystemTime,
    /// When it ends.
    pub expires: SystemTime,
}

/// A question to the token server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `POST`.
    pub method: String,
    /// How the client said who it is: `anonymous`, `basic`, or the `OAuth2` grant type.
    pub grant_type: String,
    /// The user, where one was named.
    pub user: Option<String>,
    /// The service.
    pub service: String,
    /// The scopes, in the client's order.
    pub scopes: Vec<String>,
    /// Whether a token came back.
    pub granted: bool,
}

/// Makes a token.
pub type Issue = dyn Fn(&Grant) -> io::Result<String> + Send + Sync;

/// Grants tokens and remembers them.
pub struct Tokens {
    policy: Mutex<TokenPolicy>,
    issue: Box<Issue>,
    issued: Mutex<BTreeMap<String, Grant>>,
    asked: Mutex<Vec<Asked>>,
}

/// What a token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Unknown,
    Insufficient,
}

impl Tokens {
    /// Returns a source of tokens that `issue` makes.
    pub fn new(policy: TokenPolicy, issue: Box<Issue>) -> Self {
        Self { policy: Mutex::new(policy), issue, issued: Mutex::default(), asked: Mutex::default() }
    }

    /// Returns a source of words that mean something only to this value.
    pub(crate) fn opaque(policy: TokenPolicy) -> Self {
        let made = std::sync::atomic::AtomicU64::new(1);
        Self::new(
            policy,
            Box::new(move |_| {
                Ok(format!("opaque-token-{}", made.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
            }),
        )
    }

    /// Changes the policy for what comes.
    pub fn change(&self, change: impl FnOnce(&mut TokenPolicy)) {
        change(&mut lock(&self.policy));
    }

    /// Returns what was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    /// Makes all tokens that were issued worthless.
    pub fn revoke(&self) {
        lock(&self.issued).clear();
    }

    /// Says what a token is worth to somebody who wants `access`.
    pub(crate) fn judge(&self, token: &str, access: &[Access]) -> Verdict {
        match lock(&self.issued).get(token) {
            Some(grant) if grant.expires > SystemTime::now() => {
                if access.iter().all(|wanted| grant.access.iter().any(|has| has.covers(wanted))) {
                    Verdict::Allowed
                } else {
                    Verdict::Insufficient
                }
            }
            _ => Verdict::Unknown,
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("asked", &self.asked()).finish_non_exhaustive()
    }
}

/// A server of its own for tokens.
#[derive(Debug)]
pub struct TokenServer {
    tokens: Arc<Tokens>,
    server: Server,
}

impl TokenServer {
    /// Starts it on a free port.
    pub fn start(tokens: Tokens) -> io::Result<Self> {
        let tokens = Arc::new(tokens);
        let server = Server::start(Ipv4Addr::LOCALHOST, Arc::<Journal>::default(), |_| {
            let tokens = Arc::clone(&tokens);
            Arc::new(move |request, body| {
                let response = if request.path() == "/token" {
                    tokens.answer(request, body)?
                } else {
                    Response::new(404)
                };
                Ok(response.whole())
            })
        })?;
        Ok(Self { tokens, server })
    }

    /// The realm that a registry names.
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.server.address())
    }

    /// What it grants and was asked.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What it has seen.
    pub fn journal(&self) -> &Journal {
        self.server.journal()
    }
}

// A test that failed while it held a lock has its own message.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
