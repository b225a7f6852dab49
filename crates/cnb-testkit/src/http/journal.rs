//! What a server was asked and what it answered.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::message::Request;

/// A request that came in, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The head of the request.
    pub request: Request,
    /// How many bytes of the request's body were read.
    pub received: u64,
    /// The status of the answer; `None` where the connection ended without one.
    pub status: Option<u16>,
    /// The length of the answer's body in bytes; 0 for an answer to `HEAD`.
    pub sent: u64,
}

impl Seen {
    /// Returns method, path and status as one line: `GET /v2/ 200`.
    pub fn line(&self) -> String {
        let status = self.status.map_or_else(|| "-".to_owned(), |s| s.to_string());
        format!("{} {} {status}", self.request.method, self.request.path())
    }
}

/// All that a server has seen, in the order of its answers. An entry is there before the client has the answer.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Seen>>);

impl Journal {
    /// Returns what was seen since the start, or since it was last forgotten.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// Returns what was seen, one [line](Seen::line) each.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().map(Seen::line).collect()
    }

    /// Returns the lines of requests with that method.
    pub fn lines_of(&self, method: &str) -> Vec<String> {
        self.lock().iter().filter(|seen| seen.request.method == method).map(Seen::line).collect()
    }

    /// Returns how many bytes came in, and how many went out, as bodies.
    pub fn bytes(&self) -> (u64, u64) {
        self.lock().iter().fold((0, 0), |(received, sent), s| (received + s.received, sent + s.sent))
    }

    /// Forgets everything.
    pub fn forget(&self) {
        self.lock().clear();
    }

    /// Adds an entry.
    pub(crate) fn add(&self, seen: Seen) {
        self.lock().push(seen);
    }

    // A test that failed while it held the lock has its own message.
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
