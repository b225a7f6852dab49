//! Where an answer sends us on to: registries keep blobs in stores of their own.

use reqwest::{StatusCode, Url};

use crate::error::Fault;
use crate::transport::shown;

/// An answer that may send us on.
#[derive(Debug)]
pub(crate) struct Hop<'a> {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<&'a str>,
    pub(crate) from: &'a Url,
    /// Whether the request was GET or HEAD.
    pub(crate) is_read: bool,
    /// Whether its body can be sent again.
    pub(crate) can_be_repeated: bool,
    /// Whether the user calls the registry insecure (B15).
    pub(crate) insecure: bool,
}

impl Hop<'_> {
    /// Returns the next URL, `None` if the answer is one; what was asked by https is not asked by http.
    pub(crate) fn target(&self) -> Result<Option<Url>, Fault> {
        match self.status.as_u16() {
            301..=303 if self.is_read => {}
            307 | 308 if self.can_be_repeated => {}
            _ => return Ok(None),
        }
        let Some(location) = self.location else { return Ok(None) };
        let to = self.from.join(location);
        let to = to.map_err(|_| Fault::invalid("the registry redirects to what is no URL"))?;
        let is_downgrade = self.from.scheme() == "https" && to.scheme() == "http" && !self.insecure;
        if is_downgrade || !matches!(to.scheme(), "http" | "https") {
            let (from, to) = (self.from.scheme(), shown(&to));
            return Err(Fault::invalid(format!("the registry redirects from {from} to `{to}`")));
        }
        Ok(Some(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, location: &str, is_read: bool, expected: &str) {
        let from = Url::parse("https://r.io/v2/a/blobs/x").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let location = Some(location);
        let hop = Hop { status, location, from: &from, is_read, can_be_repeated: is_read, insecure: false };
        let found = hop.target().map_or_else(|f| f.message, |to| to.map_or_else(String::new, String::from));
        assert_eq!(found, expected, "{status} {location:?}");
    }

    #[test]
    fn reads_are_sent_on_and_what_cannot_be_repeated_is_not() {
        for status in [301, 302, 303, 307, 308] {
            check(status, "/there?a=b", true, "https://r.io/there?a=b");
            check(status, "https://s.io/x", true, "https://s.io/x");
            check(status, "/there", false, "");
        }
        check(200, "/there", true, "");
        check(304, "/there", true, "");
    }

    #[test]
    fn https_is_never_left_and_the_query_is_never_shown() {
        let to = "http://s.io/x?signature=secret";
        check(307, to, true, "the registry redirects from https to `http://s.io/x`");
        check(307, "ftp://s.io/x", true, "the registry redirects from https to `ftp://s.io/x`");
        check(307, "https://", true, "the registry redirects to what is no URL");
        let from = Url::parse("https://r.io/").unwrap();
        let hop = Hop {
            status: StatusCode::FOUND,
            location: Some(to),
            from: &from,
            is_read: true,
            can_be_repeated: true,
            insecure: true,
        };
        assert_eq!(hop.target().unwrap().unwrap().as_str(), to);
    }
}
