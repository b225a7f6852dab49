//! One registry: by which scheme it is reached, and what it wants to know of us.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::pin_mut;
use reqwest::{Method, Url};

use crate::answer::{Answer, Head};
use crate::auth::Token;
use crate::challenge::Challenge;
use crate::error::{Fault, RegistryErrorKind};
use crate::transport::{Call, Transport};

/// How long https has the first word where http is allowed too, as in the Go programs.
const HEAD_START: Duration = Duration::from_millis(300);

/// A registry that has answered.
pub(crate) struct Endpoint {
    /// Its name in references: the key of credentials and certificates.
    pub(crate) registry: String,
    /// Its root: `https://host:port/`.
    pub(crate) base: Url,
    /// Whether the user calls it insecure (B15).
    pub(crate) insecure: bool,
    challenge: Mutex<Challenge>,
    /// Scopes that turned out to need more.
    more: Mutex<BTreeMap<BTreeSet<String>, BTreeSet<String>>>,
    pub(crate) tokens: tokio::sync::Mutex<HashMap<(BTreeSet<String>, u64), Token>>,
}

/// Which registry is meant and by which schemes it may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// Its name in references.
    pub(crate) registry: String,
    /// Whether the user calls it insecure (B15).
    pub(crate) insecure: bool,
    /// Whether only http is meant: a mirror that is named so.
    pub(crate) only_http: bool,
}

impl Endpoint {
    pub(crate) fn challenge(&self) -> Challenge {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn learn(&self, challenge: Challenge) {
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = challenge;
    }

    /// Returns the scopes that a request needs which says that it needs `scopes`.
    pub(crate) fn needed(&self, scopes: &BTreeSet<String>) -> BTreeSet<String> {
        let more = self.more.lock().unwrap_or_else(PoisonError::into_inner);
        more.get(scopes).unwrap_or(scopes).clone()
    }

    /// Keeps in mind what the registry asked for, so that the next request need not be refused first.
    pub(crate) fn need(&self, scopes: &BTreeSet<String>, more: BTreeSet<String>) {
        self.more.lock().unwrap_or_else(PoisonError::into_inner).insert(scopes.clone(), more);
    }

    /// Returns whether `url` is this registry, so that it may see our credentials.
    pub(crate) fn is_at(&self, url: &Url) -> bool {
        url.scheme() == self.base.scheme()
            && url.host() == self.base.host()
            && url.port_or_known_default() == self.base.port_or_known_default()
    }

    /// Returns the URL of a path below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }
}

impl Transport {
    /// Asks `/v2/`, by the schemes that are allowed, what the registry wants to know of us.
    pub(crate) async fn ping(&self, address: &Address) -> Result<Endpoint, Fault> {
        let answer = if address.only_http {
            self.ping_by("http", address).await?
        } else if is_local(host_of(&address.registry)) {
            self.ping_local(address).await?
        } else if address.insecure || is_rfc1918(host_of(&address.registry)) {
            self.ping_both(address).await?
        } else {
            self.ping_by("https", address).await?
        };
        let challenge =
            if answer.status() == 401 { Challenge::of(answer.headers()) } else { Challenge::None };
        // Another host that `/v2/` redirects to is not the registry, and gets no credentials.
        let reached = answer.url();
        let mut base = Url::parse(&format!("{}://{}/", reached.scheme(), address.registry))
            .map_err(|e| Fault::invalid(format!("`{}` is no host: {e}", address.registry)))?;
        if reached.host() != base.host() {
            base = Url::parse(&format!("https://{}/", address.registry)).unwrap_or(base);
        }
        Ok(Endpoint {
            registry: address.registry.clone(),
            base,
            insecure: address.insecure,
            challenge: Mutex::new(challenge),
            more: Mutex::default(),
            tokens: tokio::sync::Mutex::default(),
        })
    }

    /// On this machine http comes first: nobody can listen, and a server that speaks no TLS may not even
    /// answer a handshake.
    async fn ping_local(&self, address: &Address) -> Result<Answer, Fault> {
        let http = self.ping_by("http", address).await;
        if let Ok(answer) = &http
            && speaks_v2(answer)
        {
            return http;
        }
        match self.ping_by("https", address).await {
            Ok(answer) => Ok(answer),
            // What answers http with complaints speaks TLS, and is the registry.
            Err(fault) if http.as_ref().is_ok_and(|answer| answer.status() == 400) => Err(fault),
            Err(_) => http,
        }
    }

    /// https with a head start, then http beside it.
    async fn ping_both(&self, address: &Address) -> Result<Answer, Fault> {
        let https = self.ping_by("https", address);
        pin_mut!(https);
        let refused = match tokio::time::timeout(HEAD_START, &mut https).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(fault)) => Some(fault),
            Err(_) => None,
        };
        let http = async {
            let answer = self.ping_by("http", address).await?;
            let text = "the registry does not answer by https, and not as a registry by http";
            if speaks_v2(&answer) {
                Ok(answer)
            } else {
                Err(Fault::new(RegistryErrorKind::Unreachable, text))
            }
        };
        if let Some(refused) = refused {
            return http.await.map_err(|_| refused);
        }
        pin_mut!(http);
        match select(https, http).await {
            Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => Ok(answer),
            Either::Left((Err(fault), http)) => http.await.map_err(|_| fault),
            Either::Right((Err(_), https)) => https.await,
        }
    }

    async fn ping_by(&self, scheme: &str, address: &Address) -> Result<Answer, Fault> {
        let url = Url::parse(&format!("{scheme}://{}/v2/", address.registry))
            .map_err(|e| Fault::invalid(format!("`{}` is no host: {e}", address.registry)))?;
        self.once(address, &Call::new(Method::GET, url), None, 1).await
    }
}

/// Returns whether the other side is a registry that speaks the scheme we tried.
fn speaks_v2(answer: &Answer) -> bool {
    matches!(answer.status().as_u16(), 200 | 401)
}

/// Returns the host in `host[:port]`.
fn host_of(registry: &str) -> &str {
    match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    }
}

/// Returns whether the host is this machine (A76).
pub(crate) fn is_local(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "::1"
        || host.parse::<Ipv4Addr>().is_ok_and(|a| a.is_loopback())
}

/// Returns whether the host is an address of a private network (A76).
fn is_rfc1918(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok_and(|a| a.is_private())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_private_networks() {
        let kind = |registry: &str| (is_local(host_of(registry)), is_rfc1918(host_of(registry)));
        for local in ["localhost", "localhost:5000", "a.localhost:1", "127.0.0.1:5000", "[::1]:5000"] {
            assert_eq!(kind(local), (true, false), "{local}");
        }
        for private in ["10.0.0.1", "172.16.1.1:5000", "192.168.1.1:443"] {
            assert_eq!(kind(private), (false, true), "{private}");
        }
        for public in ["index.docker.io", "8.8.8.8", "172.32.0.1", "localhost.example", "[2001:db8::1]:5000"]
        {
            assert_eq!(kind(public), (false, false), "{public}");
        }
    }
}
