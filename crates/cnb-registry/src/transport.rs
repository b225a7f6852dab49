//! One request and its answer: time-outs, redirects, authentication, and trying again.
//!
//! [`Transport::send`] is what the rest uses. Inside it are, from the outside: attempts, then the answer to
//! a challenge, then [`Transport::once`] with its redirects. `Authorization` goes to the registry itself and
//! to no host that it redirects to.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cnb_spec::image_ref::ImageRef;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Request, StatusCode, Url};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use crate::answer::{Answer, Head, Reply};
use crate::credentials::Auth;
use crate::endpoint::{Address, Endpoint};
use crate::error::{Again, Fault, RegistryErrorKind};
use crate::proxy::Rules;
use crate::redirect::Hop;
use crate::resolve::Resolver;
use crate::retry;
use crate::settings::Settings;
use crate::tls::{self, Roots};

/// How we call ourselves.
const USER_AGENT: &str = concat!("cnb/", env!("CARGO_PKG_VERSION"));

/// How often a request may be sent on to another URL.
const REDIRECTS: usize = 5;

/// How often a request may be sent for the sake of challenges: unknown, then known, then with a token that was
/// revoked while others were fetching theirs.
const CHALLENGES: u32 = 3;

/// How long credentials are good once they are looked up.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// The connections to all registries, and what we know of these.
pub(crate) struct Transport {
    pub(crate) settings: Settings,
    resolver: Resolver,
    roots: Arc<Roots>,
    proxies: Option<Rules>,
    clients: Mutex<HashMap<(String, bool), reqwest::Client>>,
    endpoints: Mutex<HashMap<Address, Arc<OnceCell<Arc<Endpoint>>>>>,
    known: Mutex<HashMap<String, (Auth, Instant)>>,
}

/// A repository at a registry, and who we are there.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) name: ImageRef,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) auth: Auth,
}

/// A request that has not been sent.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// What a token must be good for.
    pub(crate) scopes: BTreeSet<String>,
    /// How long to wait for the head of the answer, if not the usual time.
    pub(crate) patience: Option<Duration>,
}

/// The body of a request.
pub(crate) enum Payload {
    None,
    Bytes(Bytes),
    /// A body that can be sent once.
    Once(Mutex<Option<reqwest::Body>>),
}

impl Call {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::None,
            scopes: BTreeSet::new(),
            patience: None,
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(crate) fn scope(mut self, scope: String) -> Self {
        self.scopes.insert(scope);
        self
    }

    fn can_be_repeated(&self) -> bool {
        !matches!(self.payload, Payload::Once(_))
    }
}

impl Payload {
    fn body(&self) -> Option<reqwest::Body> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes.clone().into()),
            Self::Once(body) => body.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Result<Self, Fault> {
        Ok(Self {
            resolver: Resolver::new(settings.names.clone()),
            roots: Arc::new(Roots::new(&settings.certificates)),
            proxies: settings.proxies.rules()?,
            clients: Mutex::default(),
            endpoints: Mutex::default(),
            known: Mutex::default(),
            settings,
        })
    }

    /// Returns the place of `name`: its registry is asked what it wants to know, once.
    pub(crate) async fn place(&self, name: &ImageRef, only_http: bool) -> Result<Place, Fault> {
        let auth = self.auth(name)?;
        let insecure = self.settings.is_insecure(name);
        let address = Address { registry: name.registry().to_owned(), insecure, only_http };
        let cell = {
            let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            endpoints.entry(address.clone()).or_default().clone()
        };
        let endpoint = cell.get_or_try_init(|| self.reach(&address)).await?.clone();
        Ok(Place { name: name.clone(), endpoint, auth })
    }

    /// Returns who we are. Helpers take their time, so what they say is good for a while.
    fn auth(&self, name: &ImageRef) -> Result<Auth, Fault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((auth, since)) = known.get(&name.repository())
            && since.elapsed() < KNOWN_FOR
        {
            return Ok(auth.clone());
        }
        let auth = self.settings.credentials.header_for(name).map_err(|e| {
            let text = format!("the credentials for `{}` cannot be used", name.registry());
            Fault::new(RegistryErrorKind::Settings, text).caused_by(e)
        })?;
        known.insert(name.repository(), (auth.clone(), Instant::now()));
        Ok(auth)
    }

    async fn reach(&self, address: &Address) -> Result<Arc<Endpoint>, Fault> {
        let mut attempt = 1;
        loop {
            match self.ping(address).await {
                Ok(endpoint) => return Ok(Arc::new(endpoint)),
                Err(fault) => match self.settings.retries.after(attempt, fault.again) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(fault),
                },
            }
            attempt += 1;
        }
    }

    /// Sends a request, with our credentials, as often as it takes and is allowed.
    ///
    /// An answer comes back whatever its status is; that of the last attempt if none was better.
    pub(crate) async fn send(&self, place: &Place, call: &Call) -> Result<Answer, Fault> {
        self.attempts(call, |attempt| self.authorized(place, call, attempt)).await
    }

    /// Sends a request as [`send`](Self::send) does, and reads the answer to its end; a body that breaks off
    /// counts as a failed attempt.
    pub(crate) async fn ask(&self, place: &Place, call: &Call, limit: u64) -> Result<Reply, Fault> {
        self.in_time(self.ask_untimed(place, call, limit)).await
    }

    /// Does the same without the time-out for documents.
    pub(crate) async fn ask_untimed(&self, place: &Place, call: &Call, limit: u64) -> Result<Reply, Fault> {
        let work = |attempt| async move { self.authorized(place, call, attempt).await?.whole(limit).await };
        self.attempts(call, work).await
    }

    /// Asks a token server, with the credentials that `call` has itself.
    pub(crate) async fn ask_token(
        &self,
        endpoint: &Endpoint,
        call: Call,
        limit: u64,
    ) -> Result<Reply, Fault> {
        let address = Address {
            registry: authority(&call.url),
            insecure: endpoint.insecure,
            only_http: call.url.scheme() == "http",
        };
        let (address, call) = (&address, &call);
        let work = |attempt| async move {
            let authorization = call.headers.get(AUTHORIZATION).cloned();
            self.once(address, call, authorization, attempt).await?.whole(limit).await
        };
        self.in_time(self.attempts(call, work)).await
    }

    async fn attempts<T: Head, F: Future<Output = Result<T, Fault>>>(
        &self,
        call: &Call,
        work: impl Fn(u32) -> F,
    ) -> Result<T, Fault> {
        let mut attempt = 1;
        loop {
            let result = work(attempt).await;
            let Some(pause) = self.pause(call, attempt, &result) else { return result };
            drop(result);
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let most = self.settings.timeouts.document;
        timeout(most, work).await.unwrap_or_else(|_| {
            let text = format!("the registry did not answer within {} seconds", most.as_secs_f32());
            Err(Fault::broken(text).again(Again::No))
        })
    }

    /// Returns how long to wait before the next attempt, `None` if there is to be none.
    fn pause<T: Head>(&self, call: &Call, attempt: u32, result: &Result<T, Fault>) -> Option<Duration> {
        if !call.can_be_repeated() {
            return None;
        }
        let again = match result {
            Ok(answer) => retry::of_answer(answer.status(), answer.headers(), SystemTime::now()),
            Err(fault) => fault.again,
        };
        self.settings.retries.after(attempt, again)
    }

    /// Sends a request, and again if the answer is a challenge that we can meet.
    pub(crate) async fn authorized(&self, place: &Place, call: &Call, attempt: u32) -> Result<Answer, Fault> {
        let endpoint = &place.endpoint;
        let address = Address {
            registry: endpoint.registry.clone(),
            insecure: endpoint.insecure,
            only_http: endpoint.base.scheme() == "http",
        };
        let is_ours = endpoint.is_at(&call.url);
        let mut scopes = endpoint.needed(&call.scopes);
        let mut rounds = 0;
        loop {
            let authorization = if is_ours { self.authorization(place, &scopes).await? } else { None };
            let answer = self.once(&address, call, authorization.clone(), attempt).await?;
            if answer.status() != StatusCode::UNAUTHORIZED || !endpoint.is_at(answer.url()) {
                return Ok(answer);
            }
            // Said even if this request cannot be repeated: the next one then has a new token.
            let more = self.refused(place, answer.headers(), &scopes, authorization.as_ref()).await;
            rounds += 1;
            let Some(more) = more else { return Ok(answer) };
            endpoint.need(&call.scopes, more.clone());
            if !call.can_be_repeated() || rounds == CHALLENGES {
                return Ok(answer);
            }
            scopes = more;
        }
    }

    /// Sends a request and follows redirects.
    pub(crate) async fn once(
        &self,
        address: &Address,
        call: &Call,
        authorization: Option<HeaderValue>,
        attempt: u32,
    ) -> Result<Answer, Fault> {
        let mut url = call.url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(address, call, &url, authorization.as_ref(), attempt).await?;
            let hop = Hop {
                status: answer.status(),
                location: answer.header(LOCATION.as_str()),
                from: answer.url(),
                is_read: matches!(call.method, Method::GET | Method::HEAD),
                can_be_repeated: call.can_be_repeated(),
                insecure: address.insecure,
            };
            let Some(next) = hop.target()? else { return Ok(answer) };
            if authority(&next) != authority(&url) || next.scheme() != url.scheme() {
                authorization = None;
            }
            url = next;
        }
        Err(Fault::invalid(format!("`{}` was redirected more than {REDIRECTS} times", shown(&call.url))))
    }

    async fn exchange(
        &self,
        address: &Address,
        call: &Call,
        url: &Url,
        authorization: Option<&HeaderValue>,
        attempt: u32,
    ) -> Result<Answer, Fault> {
        let mut request = Request::new(call.method.clone(), url.clone());
        let mut headers = call.headers.clone();
        headers.remove(AUTHORIZATION);
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        *request.headers_mut() = headers;
        *request.body_mut() = call.payload.body();
        // Certificates go by the name in references, also where that leaves out the port.
        let host =
            if authority(&call.url) == authority(url) { address.registry.clone() } else { authority(url) };
        let client = self.client(&host, address.insecure)?;
        let patience = call.patience.unwrap_or(self.settings.timeouts.answer);
        let result = match timeout(patience, client.execute(request)).await {
            Ok(Ok(response)) => Ok(Answer::new(response, self.settings.timeouts.stall)),
            Ok(Err(error)) => Err(Fault::http(error)),
            Err(_) => {
                let text = format!("the registry did not answer within {} seconds", patience.as_secs_f32());
                Err(Fault::broken(text))
            }
        };
        self.trace(|| {
            let said = match &result {
                Ok(answer) => answer.status().to_string(),
                Err(fault) => fault.message.clone(),
            };
            format!("{} {} -> {said} (attempt {attempt})", call.method, shown(url))
        });
        result
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.settings.trace {
            trace(&line());
        }
    }

    fn client(&self, host: &str, insecure: bool) -> Result<reqwest::Client, Fault> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), insecure);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let tls = tls::config(&self.settings.certificates, &self.roots, host, insecure)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .connect_timeout(self.settings.timeouts.connect)
            .dns_resolver(Arc::new(self.resolver.clone()))
            .tls_backend_preconfigured(tls)
            // The environment is ours to read, not the HTTP client's.
            .no_proxy();
        if let Some(rules) = self.proxies.clone() {
            builder = builder.proxy(reqwest::Proxy::custom(move |url| rules.proxy(url)));
        }
        let client = builder.build().map_err(Fault::http)?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// Returns `host[:port]` of a URL.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns what may be shown of a URL: neither user, password nor query.
pub(crate) fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}
