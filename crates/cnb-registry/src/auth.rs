//! Who we are in each request: basic authentication, and bearer tokens with the scopes that are needed.
//!
//! Tokens are kept per registry and scopes until shortly before they expire. The token server may be another
//! host than the registry: it gets the credentials because the registry's challenge names it, but never in
//! the clear where the registry itself was reached by https, and never on an address that only this machine
//! or network can reach where the registry is elsewhere.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::answer::Reply;
use crate::challenge::Challenge;
use crate::credentials::{Auth, Secret};
use crate::endpoint::{Endpoint, is_local};
use crate::error::{Again, Fault, RegistryErrorKind};
use crate::transport::{Call, Payload, Place, Transport};

/// The most bytes that the answer of a token server may have.
const TOKEN_LIMIT: u64 = 256 << 10;

/// How long a token is good whose server does not say (docker's token specification).
const LIFETIME: Duration = Duration::from_secs(60);

/// What is wanted of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
    Delete,
}

/// Returns the scope of a token.
pub(crate) fn scope(path: &str, access: Access) -> String {
    let actions = match access {
        Access::Pull => "pull",
        Access::Push => "pull,push",
        Access::Delete => "pull,push,delete",
    };
    format!("repository:{path}:{actions}")
}

/// A token and until when it is good.
pub(crate) struct Token {
    value: HeaderValue,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Transport {
    /// Returns the header that the registry wants to see, as far as we know.
    pub(crate) async fn authorization(
        &self,
        place: &Place,
        scopes: &BTreeSet<String>,
    ) -> Result<Option<HeaderValue>, Fault> {
        match (place.endpoint.challenge(), &place.auth) {
            // A token for the registry itself is sent as it is. A registry that asks for nothing at first may
            // still show some repositories only to those whom it knows.
            (_, Auth::Bearer(_))
            | (Challenge::Basic | Challenge::None, Auth::Basic { .. } | Auth::Header(_)) => {
                place.auth.header().as_ref().map(secret).transpose()
            }
            (Challenge::Bearer { realm, service, .. }, _) => {
                self.token(place, &realm, service.as_deref(), scopes).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Takes a 401 into account; returns whether it makes sense to ask again, with which scopes.
    pub(crate) async fn refused(
        &self,
        place: &Place,
        headers: &HeaderMap,
        scopes: &BTreeSet<String>,
        sent: Option<&HeaderValue>,
    ) -> Option<BTreeSet<String>> {
        if matches!(place.auth, Auth::Bearer(_)) {
            return None;
        }
        let challenge = Challenge::of(headers);
        let again = match &challenge {
            Challenge::None => None,
            Challenge::Basic => {
                let has_more = sent.is_none() && matches!(place.auth, Auth::Basic { .. } | Auth::Header(_));
                has_more.then(|| scopes.clone())
            }
            Challenge::Bearer { scope, .. } => {
                // The token has expired, or is good for too little. Another request may have renewed it already.
                let mut tokens = place.endpoint.tokens.lock().await;
                let key = key(scopes, &place.auth);
                if tokens.get(&key).is_some_and(|known| Some(&known.value) == sent) {
                    tokens.remove(&key);
                }
                let mut scopes = scopes.clone();
                scopes.extend(scope.clone());
                Some(scopes)
            }
        };
        if again.is_some() {
            place.endpoint.learn(challenge);
        }
        again
    }

    async fn token(
        &self,
        place: &Place,
        realm: &str,
        service: Option<&str>,
        scopes: &BTreeSet<String>,
    ) -> Result<HeaderValue, Fault> {
        let key = key(scopes, &place.auth);
        // Held while the token is fetched: parallel transfers need one token, not one each.
        let mut tokens = place.endpoint.tokens.lock().await;
        if let Some(token) = tokens.get(&key).filter(|t| Instant::now() < t.until) {
            return Ok(token.value.clone());
        }
        let realm = allowed_realm(realm, &place.endpoint)?;
        let call = request(&realm, service, scopes, &place.auth)?;
        let server = redacted_host(&realm);
        let fault = |mut fault: Fault| {
            fault.message = format!("the token server `{server}`: {}", fault.message);
            // It was asked often enough.
            fault.again(Again::No)
        };
        let asked = Instant::now();
        let reply = self.ask_token(&place.endpoint, call, TOKEN_LIMIT).await;
        let reply = reply.and_then(Reply::success).map_err(fault)?;
        let answer: TokenAnswer = serde_json::from_slice(&reply.body)
            .map_err(|_| fault(Fault::invalid("its answer is not the expected JSON")))?;
        let token = if answer.access_token.is_empty() { answer.token } else { answer.access_token };
        if token.is_empty() {
            return Err(fault(Fault::invalid("its answer has no token")));
        }
        let lifetime = answer.expires_in.map_or(LIFETIME, Duration::from_secs);
        let value = secret(&Secret::new(format!("Bearer {token}")))?;
        // Renewed a little early: it has to be good when the request arrives.
        let until = asked + lifetime.mul_f64(0.9);
        tokens.insert(key, Token { value: value.clone(), until });
        Ok(value)
    }
}

/// The key of a token: repositories may have different credentials, so these count, by their hash alone.
fn key(scopes: &BTreeSet<String>, auth: &Auth) -> (BTreeSet<String>, u64) {
    let mut hasher = DefaultHasher::new();
    match auth {
        Auth::IdentityToken(token) => token.expose().hash(&mut hasher),
        other => other.header().as_ref().map(Secret::expose).hash(&mut hasher),
    }
    (scopes.clone(), hasher.finish())
}

/// Makes the request for a token: a GET, or the POST of `OAuth2` for an identity token.
fn request(
    realm: &Url,
    service: Option<&str>,
    scopes: &BTreeSet<String>,
    auth: &Auth,
) -> Result<Call, Fault> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut url = realm.clone();
    if let Auth::IdentityToken(token) = auth {
        // A URL only serves to encode the form.
        let mut form = Url::parse("form:").map_err(|e| Fault::invalid(e.to_string()))?;
        {
            let mut pairs = form.query_pairs_mut();
            pairs.append_pair("grant_type", "refresh_token");
            if let Some(service) = service {
                pairs.append_pair("service", service);
            }
            pairs.append_pair("client_id", "cnb");
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            pairs.append_pair("scope", &scopes.join(" "));
            pairs.append_pair("refresh_token", token.expose());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let body = form.query().unwrap_or_default().to_owned();
        return Ok(Call { headers, payload: Payload::Bytes(body.into()), ..Call::new(Method::POST, url) });
    }
    {
        let mut pairs = url.query_pairs_mut();
        if let Some(service) = service {
            pairs.append_pair("service", service);
        }
        for scope in scopes {
            pairs.append_pair("scope", scope);
        }
    }
    if let Some(header) = auth.header() {
        headers.insert(AUTHORIZATION, secret(&header)?);
    }
    Ok(Call { headers, ..Call::new(Method::GET, url) })
}

/// Checks that credentials may go where the challenge says.
fn allowed_realm(realm: &str, endpoint: &Endpoint) -> Result<Url, Fault> {
    let refuse = |why: &str| {
        Fault::invalid(format!("the registry names `{}` as its token server, {why}", redact(realm)))
    };
    let url = Url::parse(realm).map_err(|_| refuse("which is no URL"))?;
    let is_plain = endpoint.base.scheme() == "http";
    match url.scheme() {
        "https" => {}
        "http" if is_plain || endpoint.insecure => {}
        _ => return Err(refuse("which is not reached by https")),
    }
    let same_host = url.host() == endpoint.base.host();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_private = host.parse().is_ok_and(is_private) || is_local(host);
    if is_private && !same_host && !is_plain && !endpoint.insecure {
        return Err(refuse("which is an address of a private network"));
    }
    Ok(url)
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(a) => a.is_loopback() || a.is_private() || a.is_link_local() || a.is_unspecified(),
        IpAddr::V6(a) => {
            a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local() || a.is_unspecified()
        }
    }
}

fn redacted_host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Returns what may be shown of a text that should be a URL.
fn redact(text: &str) -> String {
    Url::parse(text).map_or_else(|_| "…".to_owned(), |url| crate::transport::shown(&url))
}

/// Returns a header that no debug output shows.
fn secret(text: &Secret) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| {
        Fault::new(RegistryErrorKind::Settings, "the credentials have characters that cannot be sent")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
