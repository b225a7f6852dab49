//! What can go wrong, as data: on which requests, how often, and what.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::http::{Break, Request};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Method and path: `PATCH /v2/*/blobs/uploads/*`. `*` stands for any text, also for any method; a pattern with
    /// `?` is compared with the query too.
    ///
    /// Requests that are refused for lack of credentials do not count, but for `/v2/` itself.
    pub on: String,
    /// Which of the requests.
    pub nth: Nth,
    /// What happens to them.
    pub what: What,
}

impl Fault {
    /// Returns a fault.
    pub fn new(on: &str, nth: Nth, what: What) -> Self {
        Self { on: on.to_owned(), nth, what }
    }
}

/// Which of the requests that a fault is about, counted from 1 when it is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nth {
    /// All of them.
    All,
    /// The first so many.
    First(u32),
    /// Only this one.
    Only(u32),
    /// All after the first so many.
    After(u32),
}

impl Nth {
    fn includes(self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::First(count) => number <= count,
            Self::Only(n) => number == n,
            Self::After(count) => number > count,
        }
    }
}

/// What a `Retry-After` header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds.
    Seconds(u64),
    /// A date, so many seconds from now.
    Date(u64),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing is done; the answer is an error.
    Status {
        /// The status code.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<RetryAfter>,
        /// The body: an error of the specification, or a proxy's page.
        body: String,
    },
    /// The connection breaks after so many bytes of the request's body. They are kept, as registries do, and the
    /// upload can go on from there.
    RequestBreaks {
        /// How many bytes were read.
        after: u64,
        /// What happens then.
        how: Break,
    },
    /// The connection breaks after so many bytes of the answer's body. The request was carried out.
    ResponseBreaks {
        /// How many bytes were sent.
        after: u64,
        /// What happens then.
        how: Break,
    },
    /// The answer comes, from its first byte on, so slowly.
    SlowLoris {
        /// How many bytes come at a time.
        bytes: usize,
        /// The time between them.
        every: Duration,
    },
    /// The first byte of the answer's body is another.
    WrongBytes,
    /// `Docker-Content-Digest` names something else.
    WrongDigestHeader,
    /// Only the first half of the answer's body comes, as if that were all of it.
    TruncatedJson,
    /// The answer is a page in HTML, with status 200.
    NotJson,
    /// The answer's body is so many blanks, of a length that is not told beforehand.
    HugeBody(u64),
    /// The client is sent elsewhere, with status 307; `{target}` stands for path and query.
    RedirectTo(String),
    /// The client is sent to where it is.
    RedirectLoop,
    /// The token that came has just expired, and all others.
    ExpiredToken,
    /// A blob is not mounted: an upload is opened instead.
    RefuseMount,
    /// The whole blob comes although a part was asked for.
    NoRange,
    /// `Range` or `Content-Range` of the answer says this.
    BadRangeHeader(String),
    /// The upload is forgotten: the answer is 404, now and from then on.
    LostUpload,
    /// The request is carried out, and the connection closed without an answer.
    CloseBeforeAnswer,
    /// The answer says `Connection: close`, and means it.
    ConnectionClose,
    /// The connection is closed after the answer, which did not say so.
    SilentClose,
}

impl What {
    /// Returns an error that a registry would answer with.
    pub fn status(status: u16) -> Self {
        let body = r#"{"errors":[{"code":"UNKNOWN","message":"injected by the test"}]}"#.to_owned();
        Self::Status { status, retry_after: None, body }
    }

    /// Returns the answer to somebody who asks too often.
    pub fn rate_limit(retry_after: RetryAfter) -> Self {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"injected by the test"}]}"#.to_owned();
        Self::Status { status: 429, retry_after: Some(retry_after), body }
    }
}

/// The faults that were injected, with what they have seen.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Armed>>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: u32,
    struck: u32,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.lock().push(Armed { fault, seen: 0, struck: 0 });
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn struck(&self) -> u32 {
        self.lock().iter().map(|armed| armed.struck).sum()
    }

    /// Returns what happens to a request: what the fault says that was injected first.
    pub(crate) fn strike(&self, request: &Request) -> Option<What> {
        let mut faults = self.lock();
        let mut what = None;
        for armed in faults.iter_mut().filter(|armed| is_on(&armed.fault.on, request)) {
            armed.seen += 1;
            if what.is_none() && armed.fault.nth.includes(armed.seen) {
                armed.struck += 1;
                what = Some(armed.fault.what.clone());
            }
        }
        what
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_on(on: &str, request: &Request) -> bool {
    let (method, path) = on.split_once(' ').unwrap_or(("*", on));
    let target = if path.contains('?') { &request.target } else { request.path() };
    matches(method, &request.method) && matches(path, target)
}

/// Returns whether `text` is what `pattern` says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new() }
    }

    #[test]
    fn a_pattern_is_compared_with_method_and_path_and_with_the_query_where_it_has_one() {
        let mount = request("POST", "/v2/a/b/blobs/uploads/?mount=x&from=y");
        for (on, expected) in [
            ("POST /v2/a/b/blobs/uploads/", true),
            ("POST /v2/*/blobs/uploads/*", true),
            ("* *", true),
            ("GET *", false),
            ("POST /v2/*/manifests/*", false),
            ("POST /v2/*?*from=y", true),
            ("POST /v2/*?*from=z", false),
        ] {
            assert_eq!(is_on(on, &mount), expected, "{on}");
        }
    }

    #[track_caller]
    fn check(nth: Nth, expected: &str) {
        let faults = Faults::default();
        faults.inject(Fault::new("GET /a", nth, What::NoRange));
        let struck = |path| if faults.strike(&request("GET", path)).is_some() { 'x' } else { '.' };
        let pattern: String = ["/a", "/b", "/a", "/a", "/a"].into_iter().map(struck).collect();
        assert_eq!(pattern, expected);
        assert_eq!(faults.struck() as usize, expected.matches('x').count());
    }

    #[test]
    fn occurrences_are_counted_by_fault() {
        check(Nth::All, "x.xxx");
        check(Nth::First(2), "x.x..");
        check(Nth::Only(2), "..x..");
        check(Nth::After(2), "...xx");
    }
}
