//! When a failed request is tried again: only what may be, later and later, never all at the same moment.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::Again;

/// How often and when a failed request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all when there is no connection. Few: a wrong name should not cost more than a second.
    pub connect: u32,
    /// Attempts in all when a connection breaks or the registry answers 408, 429 or 5xx.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles each time.
    pub pause: Duration,
    /// The longest pause, also when the registry asks for a longer one (`Retry-After`).
    pub longest: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { connect: 3, attempts: 5, pause: Duration::from_millis(250), longest: Duration::from_secs(60) }
    }
}

impl Retries {
    /// Returns the pause after this attempt (the first is 1), `None` when it was the last.
    pub(crate) fn after(&self, attempt: u32, again: Again) -> Option<Duration> {
        let (most, pause) = match again {
            Again::No => return None,
            Again::Connect => (self.connect, self.doubled(attempt)),
            Again::Yes => (self.attempts, self.doubled(attempt)),
            // A registry that says when is believed, but it may not make us wait for ever.
            Again::After(pause) => (self.attempts, pause.min(self.longest)),
        };
        (attempt < most).then_some(pause)
    }

    fn doubled(&self, attempt: u32) -> Duration {
        let full = self.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.longest);
        full.mul_f64(1.0 - 0.5 * chance())
    }
}

/// Returns a number from 0 to 1 that differs between processes and calls: clients that failed together
/// should not come back together.
fn chance() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}

/// Returns whether an answer asks to try again.
pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Again {
    match status.as_u16() {
        408 | 500 | 502 | 503 | 504 | 507..=599 => Again::Yes,
        429 => retry_after(headers, now).map_or(Again::Yes, Again::After),
        _ => return Again::No,
    }
    .with_hint(retry_after(headers, now))
}

impl Again {
    fn with_hint(self, hint: Option<Duration>) -> Self {
        hint.map_or(self, Self::After)
    }
}

/// Reads `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_last_attempt() {
        let retries = Retries {
            connect: 2,
            attempts: 4,
            pause: Duration::from_millis(100),
            longest: Duration::from_millis(300),
        };
        let between = |attempt, low: u64, high: u64| {
            let pause = retries.after(attempt, Again::Yes).unwrap();
            assert!((low..=high).contains(&u64::try_from(pause.as_millis()).unwrap()), "{pause:?}");
        };
        between(1, 50, 100);
        between(2, 100, 200);
        between(3, 150, 300);
        assert_eq!(retries.after(4, Again::Yes), None);
        assert_eq!(retries.after(2, Again::Connect), None);
        assert_eq!(retries.after(1, Again::No), None);
        let long = Again::After(Duration::from_secs(3600));
        assert_eq!(retries.after(1, long), Some(Duration::from_millis(300)));
    }

    #[track_caller]
    fn check(status: u16, retry_after: Option<&str>, expected: Again) {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        assert_eq!(of_answer(StatusCode::from_u16(status).unwrap(), &headers, now), expected);
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        for status in [200, 202, 206, 307, 400, 401, 403, 404, 405, 416, 501, 505] {
            check(status, None, Again::No);
        }
        for status in [408, 429, 500, 502, 503, 504, 520] {
            check(status, None, Again::Yes);
        }
        check(429, Some("7"), Again::After(Duration::from_secs(7)));
        check(503, Some("Wed, 21 Oct 2015 07:28:30 GMT"), Again::After(Duration::from_secs(30)));
        check(429, Some("Wed, 21 Oct 2015 07:27:00 GMT"), Again::After(Duration::ZERO));
        check(429, Some("soon"), Again::Yes);
        check(404, Some("7"), Again::No);
    }
}
