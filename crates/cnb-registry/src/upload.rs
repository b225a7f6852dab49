//! Blobs that go out: not at all if the registry has them, else mounted, else sent.
//!
//! A small blob is one PUT, a larger one goes in chunks, each a PATCH whose answer must say how far the
//! registry is. When a connection breaks, the registry is asked how far it got, and the rest is sent.

use std::time::Duration;

use bytes::Bytes;
use cnb_image::BlobSource;
use cnb_spec::digest::Digest;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Url};
use tokio::time::{Instant, sleep, timeout};

use crate::Event;
use crate::answer::{Head, Reply};
use crate::auth::{Access, scope};
use crate::error::{Again, Fault, RegistryErrorKind};
use crate::feed::{Feed, Outgoing, Progress, SharedFeed, Source, body, failure, once};
use crate::transport::{Call, Payload, Place, Transport, shown};

/// How often progress is told and looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long a registry may take to hear that an upload is given up.
const FAREWELL: Duration = Duration::from_secs(2);

/// The most bytes that are read of the answer to an upload.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Tells what happens to whoever shows progress.
pub(crate) type Events<'a> = &'a (dyn Fn(Event) + Sync);

/// An upload that the registry has begun.
#[derive(Clone, Debug)]
struct Session {
    url: Url,
    /// How many bytes the registry has.
    offset: u64,
    /// The smallest chunk that the registry wants.
    least: u64,
    /// Whether a chunk was sent.
    chunked: bool,
    /// Whether it went on after a failure.
    resumed: bool,
}

/// What may still be tried when an upload fails.
struct Chances {
    failures: u32,
    /// Whether the whole blob is sent in one request, since the registry takes no chunks.
    whole: bool,
    /// Whether a blob that did not arrive as it was sent has been sent again.
    again: bool,
}

impl Transport {
    /// Returns whether the registry has a blob; `access` is what we are going to do.
    pub(crate) async fn has_blob(
        &self,
        place: &Place,
        digest: &Digest,
        access: Access,
    ) -> Result<bool, Fault> {
        let url = place.endpoint.url(&format!("{}/blobs/{digest}", place.name.path()));
        let call = Call::new(Method::HEAD, url).scope(scope(place.name.path(), access));
        let reply = self.ask(place, &call, 0).await?;
        if reply.status == 404 { Ok(false) } else { reply.success().map(|_| true) }
    }

    /// Brings a blob to the repository.
    pub(crate) async fn put_blob(
        &self,
        place: &Place,
        outgoing: &Outgoing,
        events: Events<'_>,
    ) -> Result<(), Fault> {
        let descriptor = &outgoing.descriptor;
        if self.has_blob(place, &descriptor.digest, Access::Push).await? {
            events(Event::Exists(descriptor.clone()));
            return Ok(());
        }
        let Some(session) = self.begin(place, outgoing).await? else {
            events(Event::Exists(descriptor.clone()));
            return Ok(());
        };
        self.upload(place, outgoing, session, events).await?;
        events(Event::Sent(descriptor.clone()));
        Ok(())
    }

    /// Begins an upload and gives it up: whoever may do that may push. The registry need not even hear of
    /// the end.
    pub(crate) async fn probe_upload(&self, place: &Place) -> Result<(), Fault> {
        let session = self.start(place).await?;
        self.give_up(place, &session).await;
        Ok(())
    }

    /// Mounts the blob from another repository of the registry if it is there (`None`), else begins an upload.
    async fn begin(&self, place: &Place, outgoing: &Outgoing) -> Result<Option<Session>, Fault> {
        let Some(from) = mount_source(place, outgoing) else { return self.start(place).await.map(Some) };
        let mut url = uploads(place);
        url.query_pairs_mut()
            .append_pair("mount", &outgoing.descriptor.digest.to_string())
            .append_pair("from", &from);
        let call = upload_call(place, Method::POST, url).scope(scope(&from, Access::Pull));
        match self.ask(place, &call, ANSWER_LIMIT).await {
            Ok(reply) if reply.status == 201 => Ok(None),
            Ok(reply) if reply.status == 202 => Session::new(place, &reply).map(Some),
            Err(fault) if fault.kind == RegistryErrorKind::Cancelled => Err(fault),
            // Whatever is wrong with mounting (a token server may not let us see the other repository):
            // sending works without.
            Ok(_) | Err(_) => self.start(place).await.map(Some),
        }
    }

    async fn start(&self, place: &Place) -> Result<Session, Fault> {
        let call = upload_call(place, Method::POST, uploads(place));
        let reply = self.ask(place, &call, ANSWER_LIMIT).await?.success()?;
        Session::new(place, &reply)
    }

    async fn upload(
        &self,
        place: &Place,
        outgoing: &Outgoing,
        session: Session,
        events: Events<'_>,
    ) -> Result<(), Fault> {
        let mut session = session;
        let mut chances = Chances { failures: 0, whole: false, again: false };
        let mut best = 0;
        loop {
            let fault = match self.send_rest(place, outgoing, &mut session, chances.whole, events).await {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if session.offset > best {
                (best, chances.failures) = (session.offset, 0);
            }
            chances.failures += 1;
            self.trace(|| format!("upload {}: {}", outgoing.descriptor.digest, fault.message));
            let Some(next) = self.next_session(place, &session, &mut chances, &fault).await else {
                self.give_up(place, &session).await;
                return Err(fault);
            };
            session = next?;
        }
    }

    /// Returns the session with which to go on after a failure, `None` if there is nothing left to try.
    async fn next_session(
        &self,
        place: &Place,
        session: &Session,
        chances: &mut Chances,
        fault: &Fault,
    ) -> Option<Result<Session, Fault>> {
        match fault.kind {
            // Some registries take a blob in one request only.
            RegistryErrorKind::Status(400 | 405 | 411 | 501) if session.chunked && !chances.whole => {
                chances.whole = true;
                return Some(self.restart(place, session).await);
            }
            // What is there may not be what we think.
            RegistryErrorKind::Status(400) if session.resumed && !chances.again => {
                chances.again = true;
                return Some(self.restart(place, session).await);
            }
            _ => {}
        }
        // The token may have expired on the way, the session may be lost, or the registry disagrees on how
        // far we are: asking it settles all three.
        let may_heal = matches!(
            fault.kind,
            RegistryErrorKind::Unauthorized | RegistryErrorKind::NotFound | RegistryErrorKind::Status(416)
        );
        let again = if may_heal { Again::Yes } else { fault.again };
        sleep(self.settings.retries.after(chances.failures, again)?).await;
        Some(if chances.whole {
            self.restart(place, session).await
        } else {
            self.resume(place, session).await
        })
    }

    /// Asks how far an upload is; begins a new one if the registry has forgotten it.
    async fn resume(&self, place: &Place, session: &Session) -> Result<Session, Fault> {
        let call = upload_call(place, Method::GET, session.url.clone());
        let reply = self.ask(place, &call, ANSWER_LIMIT).await?;
        if reply.status.is_success()
            && let Some(end) = range_end(&reply)
            // A registry that has nothing says `0-0` as well as one that has a single byte.
            && end > 0
        {
            let url = location(place, &reply).unwrap_or_else(|_| session.url.clone());
            return Ok(Session { url, offset: end + 1, resumed: true, ..session.clone() });
        }
        self.restart(place, session).await
    }

    async fn restart(&self, place: &Place, session: &Session) -> Result<Session, Fault> {
        self.give_up(place, session).await;
        self.start(place).await
    }

    /// Sends all that the registry does not have yet, and completes the blob.
    async fn send_rest(
        &self,
        place: &Place,
        outgoing: &Outgoing,
        session: &mut Session,
        whole: bool,
        events: Events<'_>,
    ) -> Result<(), Fault> {
        let size = outgoing.descriptor.size;
        let chunk = self.settings.chunk.max(session.least).max(1);
        let in_one = session.offset == 0 && (whole || size <= chunk);
        let mut feed = None;
        while !in_one && session.offset < size {
            let count = chunk.min(size - session.offset);
            let from = session.offset;
            let open = feed.get_or_insert_with(|| Feed::open(outgoing, from));
            session.chunked = true;
            let reply = self.send_chunk(place, outgoing, session, open, count, events).await?;
            session.url = location(place, &reply).unwrap_or_else(|_| session.url.clone());
            let expected = from + count;
            session.offset = range_end(&reply).map_or(expected, |end| end + 1);
            if session.offset > expected {
                let text = format!("the registry says that it has {} bytes of {expected}", session.offset);
                return Err(Fault::broken(text));
            }
            if session.offset < expected {
                feed = None;
                // Progress, if only a little; none at all would go on for ever.
                if session.offset <= from {
                    return Err(Fault::broken("the registry took nothing of a chunk"));
                }
            }
        }
        self.complete(place, outgoing, session, in_one, events).await
    }

    async fn send_chunk(
        &self,
        place: &Place,
        outgoing: &Outgoing,
        session: &Session,
        feed: &SharedFeed,
        count: u64,
        events: Events<'_>,
    ) -> Result<Reply, Fault> {
        let (from, to) = (session.offset, session.offset + count - 1);
        let call = upload_call(place, Method::PATCH, session.url.clone())
            .header(CONTENT_RANGE, &format!("{from}-{to}"));
        self.send_body(place, call, feed, count, &outgoing.descriptor.digest, events).await
    }

    async fn complete(
        &self,
        place: &Place,
        outgoing: &Outgoing,
        session: &Session,
        in_one: bool,
        events: Events<'_>,
    ) -> Result<(), Fault> {
        let digest = outgoing.descriptor.digest;
        let mut url = session.url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let call = upload_call(place, Method::PUT, url);
        let reply = if in_one {
            let feed = Feed::open(outgoing, 0);
            self.send_body(place, call, &feed, outgoing.descriptor.size, &digest, events).await?
        } else {
            let call =
                Call { patience: Some(self.settings.timeouts.commit(outgoing.descriptor.size)), ..call };
            let call = Call { payload: Payload::Bytes(Bytes::new()), ..call };
            let reply = self.ask_untimed(place, &call, ANSWER_LIMIT).await?;
            // The answer to the first attempt may have been lost, and the session is gone since.
            if reply.status == 404 && self.has_blob(place, &digest, Access::Push).await? {
                return Ok(());
            }
            reply.success()?
        };
        match reply.header("Docker-Content-Digest") {
            Some(said) if said.starts_with("sha256:") && said != digest.to_string() => Err(Fault::invalid(
                format!("the registry took the blob `{digest}`, but says that it has the digest `{said}`"),
            )),
            _ => Ok(()),
        }
    }

    /// Sends a request whose body is the next `count` bytes of `feed`, and tells how it goes.
    async fn send_body(
        &self,
        place: &Place,
        call: Call,
        feed: &SharedFeed,
        count: u64,
        digest: &Digest,
        events: Events<'_>,
    ) -> Result<Reply, Fault> {
        let progress = Progress::default();
        let mut call = Call { payload: Payload::Once(once(body(feed, count, &progress))), ..call };
        call.headers.insert(CONTENT_LENGTH, HeaderValue::from(count));
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        // Time is kept here: what counts is that something moves.
        call.patience = Some(Duration::MAX);
        let timeouts = self.settings.timeouts;
        let work = self.ask_untimed(place, &call, ANSWER_LIMIT);
        futures_util::pin_mut!(work);
        let (mut seen, mut since) = (0, Instant::now());
        let result = loop {
            let done = timeout(TICK, &mut work).await;
            let now = progress.get();
            if now > seen {
                events(Event::Bytes(*digest, now - seen));
                (seen, since) = (now, Instant::now());
            }
            if let Ok(result) = done {
                break result;
            }
            // A registry that has everything may need long to check and keep it.
            let patience =
                if now >= count { timeouts.commit(count) } else { timeouts.stall.saturating_mul(2) };
            if since.elapsed() > patience {
                break Err(Fault::broken("the registry stopped taking the blob"));
            }
        };
        match result.and_then(Reply::success) {
            Ok(reply) => Ok(reply),
            // A layer that cannot be read looks like a broken connection from the outside.
            Err(fault) => Err(failure(feed).await.unwrap_or(fault)),
        }
    }

    /// Tells the registry that an upload is not going to be completed; it would find out by itself.
    async fn give_up(&self, place: &Place, session: &Session) {
        let call = upload_call(place, Method::DELETE, session.url.clone());
        let _ = timeout(FAREWELL, self.authorized(place, &call, 1)).await;
    }
}

impl Session {
    fn new(place: &Place, reply: &Reply) -> Result<Self, Fault> {
        let least = reply.header("OCI-Chunk-Min-Length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Self { url: location(place, reply)?, offset: 0, least, chunked: false, resumed: false })
    }
}

fn upload_call(place: &Place, method: Method, url: Url) -> Call {
    let call = Call::new(method, url).scope(scope(place.name.path(), Access::Push));
    if call.method == Method::POST {
        return Call { payload: Payload::Bytes(Bytes::new()), ..call }.header(CONTENT_LENGTH, "0");
    }
    call
}

fn uploads(place: &Place) -> Url {
    place.endpoint.url(&format!("{}/blobs/uploads/", place.name.path()))
}

/// Returns the repository from which the blob can be mounted.
fn mount_source(place: &Place, outgoing: &Outgoing) -> Option<String> {
    let Source::Layer(layer) = &outgoing.source else { return None };
    let BlobSource::Remote(remote) = &layer.blob else { return None };
    let (registry, path) = remote.0.repository()?;
    (registry == place.name.registry() && path != place.name.path()).then(|| path.to_owned())
}

/// Returns where an upload goes on.
fn location(place: &Place, reply: &Reply) -> Result<Url, Fault> {
    let text = reply
        .header(LOCATION.as_str())
        .ok_or_else(|| Fault::invalid("the registry does not say where the upload goes on"))?;
    let mut url =
        reply.url.join(text).map_err(|_| Fault::invalid("the place where the upload goes on is no URL"))?;
    let base = &place.endpoint.base;
    if base.scheme() == "https" && url.scheme() == "http" {
        // A registry behind a proxy that ends TLS often does not know that it is reached by https.
        let is_same = url.host() == base.host() && (url.port().is_none() || url.port() == base.port());
        if !is_same || url.set_scheme("https").is_err() {
            let text = format!("the registry wants the upload to go on without TLS at `{}`", shown(&url));
            return Err(Fault::invalid(text));
        }
    }
    Ok(url)
}

/// Returns the last byte of the range that the registry has, `None` if it does not say.
fn range_end(reply: &Reply) -> Option<u64> {
    let text = reply.header(RANGE.as_str())?;
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    text.split_once('-')?.1.trim().parse().ok()
}
