//! Answers: their heads, their bodies within limits of size and time, and the errors that they mean.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};
use tokio::time::{Instant, timeout};

use crate::error::{Again, Fault};
use crate::retry;

/// The most bytes that are read of an answer that says what is wrong.
const ERROR_LIMIT: u64 = 64 << 10;

/// How much must move within the stall time-out.
const LEAST: u64 = 4 << 10;

/// The head of an answer, with its body to come.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    stall: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The URL that has answered in the end.
    pub(crate) url: Url,
    pub(crate) body: Bytes,
}

/// What the head of an answer says.
pub(crate) trait Head {
    fn status(&self) -> StatusCode;
    fn headers(&self) -> &HeaderMap;

    fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }
}

impl Head for Answer {
    fn status(&self) -> StatusCode {
        self.response.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
}

impl Head for Reply {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl Answer {
    /// Takes an answer; its body may be silent for `stall`.
    pub(crate) fn new(response: Response, stall: Duration) -> Self {
        Self { response, stall }
    }

    /// Returns the URL that has answered in the end.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    /// Returns the next piece of the body, `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        match timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(Fault::http(error).again(Again::Yes)),
            Err(_) => Err(Fault::broken("the connection fell silent")),
        }
    }

    /// Reads the body, which may have `limit` bytes; of an error's body only the start is of interest.
    pub(crate) async fn whole(mut self, limit: u64) -> Result<Reply, Fault> {
        let (status, headers, url) = (self.status(), self.headers().clone(), self.url().clone());
        let mut body = Vec::new();
        let mut pace = Pace::new(self.stall);
        let limit = if status.is_success() { limit } else { ERROR_LIMIT };
        loop {
            match self.chunk().await {
                Ok(None) => break,
                Ok(Some(chunk)) if body.len() as u64 + chunk.len() as u64 <= limit => {
                    body.extend_from_slice(&chunk);
                    pace.moved(chunk.len())?;
                }
                // The status alone says enough.
                _ if !status.is_success() => break,
                Ok(Some(_)) => {
                    return Err(Fault::invalid(format!(
                        "the answer has more than the {limit} bytes that are read"
                    )));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Reply { status, headers, url, body: body.into() })
    }
}

impl Reply {
    /// Returns the answer if it means success, else the error that it means.
    pub(crate) fn success(self) -> Result<Self, Fault> {
        if self.status.is_success() { Ok(self) } else { Err(self.fault()) }
    }

    /// Returns the error that this answer means.
    pub(crate) fn fault(&self) -> Fault {
        let again = retry::of_answer(self.status, &self.headers, SystemTime::now());
        Fault::status(self.status, &self.body).again(again)
    }
}

/// Notices when too little moves: a server that sends a byte now and then would hold us for ever.
pub(crate) struct Pace {
    window: Duration,
    since: Instant,
    moved: u64,
}

impl Pace {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, since: Instant::now(), moved: 0 }
    }

    /// Begins anew: nobody wanted anything to move until now.
    pub(crate) fn rest(&mut self) {
        if self.moved == 0 {
            self.since = Instant::now();
        }
    }

    pub(crate) fn moved(&mut self, bytes: usize) -> Result<(), Fault> {
        self.moved += bytes as u64;
        if self.moved >= LEAST {
            (self.since, self.moved) = (Instant::now(), 0);
        } else if self.since.elapsed() > self.window {
            return Err(Fault::broken("the connection is too slow to be of use"));
        }
        Ok(())
    }
}
