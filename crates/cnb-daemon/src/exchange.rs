//! One request and its answer.

use std::error::Error;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::EngineError;
use crate::connection::{Body, Connections, Lease};

/// How long an engine may take before it answers a question: a busy one inspects in seconds.
pub(crate) const ANSWER: Duration = Duration::from_secs(120);

/// How long an engine may stay silent while it takes or gives an image: a large layer on a slow disk takes minutes.
pub(crate) const SILENCE: Duration = Duration::from_secs(15 * 60);

/// How many bytes of a stream are sent at a time.
const CHUNK: usize = 256 << 10;

/// The most bytes of an answer that is read as a document: 16 MiB.
const DOCUMENT: u64 = 16 << 20;

/// A question to an engine.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: &'a str,
    /// What errors say that the engine was asked to do.
    pub(crate) action: &'a str,
    /// How long the engine may be silent.
    pub(crate) patience: Duration,
}

/// An answer whose body is still to be read. Reading it to its end gives the connection back.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    lease: Option<Lease<'a>>,
    connections: &'a Connections,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    rest: Bytes,
    action: String,
    patience: Duration,
}

/// Why a request got no answer, and whether the engine cannot have seen it.
struct Failure {
    error: EngineError,
    unseen: bool,
}

/// Whether the other side was gone while the request was on its way: closing with a request unread resets.
fn was_cut(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|e| matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

type Sending = std::pin::Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

impl Connections {
    /// Asks without a body. A kept connection that turns out to be closed is replaced by a new one.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answer<'_>, EngineError> {
        let lease = self.take()?;
        let was_kept = !lease.is_new();
        match self.try_ask(lease, ask) {
            Ok(answer) => Ok(answer),
            Err(failure) if failure.unseen && was_kept => {
                self.try_ask(self.replace()?, ask).map_err(|failure| failure.error)
            }
            Err(failure) => Err(failure.error),
        }
    }

    fn try_ask<'a>(&'a self, mut lease: Lease<'a>, ask: &Ask<'_>) -> Result<Answer<'a>, Failure> {
        let seen = |error| Failure { error, unseen: false };
        let mut sending = self.begin(&mut lease, ask, Either::Left(Empty::new())).map_err(seen)?;
        match self.wait(&mut sending, ask) {
            Ok(Ok(response)) => Ok(self.answer(lease, ask, response)),
            Ok(Err(source)) => {
                let unseen = source.is_canceled()
                    || source.is_incomplete_message()
                    || source.is_closed()
                    || was_cut(&source);
                Err(Failure { error: self.broken(ask, source), unseen })
            }
            Err(error) => Err(seen(error)),
        }
    }

    /// Sends what `source` gives, and returns the answer.
    ///
    /// The source is read in this thread between two steps of the connection, so it may use engines or registries
    /// itself. When it fails, the request is ended properly, so that the connection survives; the source keeps the
    /// reason in mind.
    pub(crate) fn send(&self, ask: &Ask<'_>, source: &mut dyn Read) -> Result<Answer<'_>, EngineError> {
        let mut lease = self.take()?;
        let (mut channel, body) = Channel::new(1);
        let mut sending = self.begin(&mut lease, ask, Either::Right(body))?;
        let mut early = None;
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = fill(source, &mut buffer) {
            let chunk = Bytes::copy_from_slice(&buffer[..count]);
            let step = self.runtime().block_on(async {
                let step = async {
                    let mut send = pin!(channel.send_data(chunk));
                    poll_fn(|cx| {
                        if early.is_none()
                            && let Poll::Ready(answer) = sending.as_mut().poll(cx)
                        {
                            early = Some(answer);
                        }
                        match &early {
                            // Whatever else is sent would not be read.
                            Some(Err(_)) => Poll::Ready(false),
                            Some(Ok(answer)) if !answer.status().is_success() => Poll::Ready(false),
                            _ => send.as_mut().poll(cx).map(|sent| sent.is_ok()),
                        }
                    })
                    .await
                };
                self.in_time(ask, step).await
            });
            if !step? {
                break;
            }
        }
        drop(channel);
        let answer = match early {
            Some(answer) => answer,
            None => self.wait(&mut sending, ask)?,
        };
        Ok(self.answer(lease, ask, answer.map_err(|source| self.broken(ask, source))?))
    }

    fn begin(&self, lease: &mut Lease<'_>, ask: &Ask<'_>, body: Body) -> Result<Sending, EngineError> {
        let mut request = Request::builder().method(&ask.method).uri(ask.target).header(HOST, "localhost");
        if matches!(body, Either::Right(_)) {
            request = request.header(CONTENT_TYPE, "application/x-tar");
        }
        let request = request.body(body).map_err(|source| self.broken(ask, source))?;
        match lease.sender() {
            Some(sender) => Ok(Box::pin(sender.send_request(request))),
            None => Err(self.broken(ask, io::Error::from(io::ErrorKind::NotConnected))),
        }
    }

    fn wait(
        &self,
        sending: &mut Sending,
        ask: &Ask<'_>,
    ) -> Result<hyper::Result<Response<Incoming>>, EngineError> {
        self.runtime().block_on(self.in_time(ask, sending))
    }

    /// Waits as long as the engine may be silent, or until somebody gives up.
    async fn in_time<T>(&self, ask: &Ask<'_>, work: impl Future<Output = T>) -> Result<T, EngineError> {
        let work = tokio::time::timeout(ask.patience, work);
        let done = self.interrupt().unless_stopped(work).await.ok_or(EngineError::Stopped)?;
        done.map_err(|_| self.no_answer(ask))
    }

    fn answer<'a>(&'a self, lease: Lease<'a>, ask: &Ask<'_>, response: Response<Incoming>) -> Answer<'a> {
        let (head, body) = response.into_parts();
        Answer {
            lease: Some(lease),
            connections: self,
            status: head.status,
            headers: head.headers,
            body,
            rest: Bytes::new(),
            action: ask.action.to_owned(),
            patience: ask.patience,
        }
    }

    fn no_answer(&self, ask: &Ask<'_>) -> EngineError {
        EngineError::NoAnswer {
            address: self.address().to_string(),
            action: ask.action.to_owned(),
            seconds: ask.patience.as_secs(),
        }
    }

    fn broken(&self, ask: &Ask<'_>, source: impl Error + Send + Sync + 'static) -> EngineError {
        EngineError::Broken {
            address: self.address().to_string(),
            action: ask.action.to_owned(),
            source: Box::new(source),
        }
    }
}

impl Answer<'_> {
    /// Returns the answer if the engine did what it was asked for.
    ///
    /// # Errors
    /// With the engine's own message when it did not.
    pub(crate) fn success(mut self) -> Result<Self, EngineError> {
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        if self.status.is_success() {
            return Ok(self);
        }
        let bytes = self.read_document()?;
        let message = match serde_json::from_slice::<Message>(&bytes) {
            Ok(answer) => answer.message,
            Err(_) => String::from_utf8_lossy(&bytes).chars().take(1000).collect(),
        };
        let status = self.status.as_u16();
        Err(EngineError::Api { action: self.action.clone(), status, message: message.trim().to_owned() })
    }

    /// Returns the answer, `None` if there is no such thing.
    pub(crate) fn found(mut self) -> Result<Option<Self>, EngineError> {
        if self.status != StatusCode::NOT_FOUND {
            return self.success().map(Some);
        }
        self.read_document()?;
        Ok(None)
    }

    /// Reads the body, to its end.
    pub(crate) fn read_document(&mut self) -> Result<Vec<u8>, EngineError> {
        let mut bytes = Vec::new();
        self.by_ref().take(DOCUMENT + 1).read_to_end(&mut bytes).map_err(|source| self.broken(source))?;
        if bytes.len() as u64 > DOCUMENT {
            return Err(self.not_understood(io::Error::other("it has more than 16 MiB")));
        }
        Ok(bytes)
    }

    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(mut self) -> Result<T, EngineError> {
        let bytes = self.read_document()?;
        serde_json::from_slice(&bytes).map_err(|source| self.not_understood(source))
    }

    pub(crate) fn not_understood(&self, source: impl Error + Send + Sync + 'static) -> EngineError {
        EngineError::Answer { action: self.action.clone(), source: Box::new(source) }
    }

    pub(crate) fn broken(&self, source: io::Error) -> EngineError {
        EngineError::Broken {
            address: self.connections.address().to_string(),
            action: self.action.clone(),
            source: Box::new(source),
        }
    }
}

impl Read for Answer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.lease.is_none() {
                return Ok(0);
            }
            let connections = self.connections;
            let frame = connections.runtime().block_on(async {
                let frame = tokio::time::timeout(self.patience, self.body.frame());
                connections.interrupt().unless_stopped(frame).await
            });
            match frame.ok_or_else(|| io::Error::other(EngineError::Stopped))? {
                Err(late) => return Err(io::Error::new(io::ErrorKind::TimedOut, late)),
                Ok(Some(Err(e))) => return Err(io::Error::other(e)),
                Ok(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                Ok(None) => {
                    if let Some(lease) = self.lease.take() {
                        lease.give_back();
                    }
                }
            }
        }
        let count = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Reads until `buffer` is full or the source ends.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
