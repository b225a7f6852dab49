//! Proxies, and the hosts that are reached without one.
//!
//! The rules are those of Go's `http.ProxyFromEnvironment`, which users of the Go programs know.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;

use cnb_spec::env::Env;
use reqwest::Url;

use crate::error::{Fault, RegistryErrorKind};

/// Proxies, and the hosts that are reached without one. Their passwords never appear in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for https: a URL, or `host[:port]`.
    pub https: Option<String>,
    /// The proxy for http.
    pub http: Option<String>,
    /// Hosts that are reached directly, separated by commas: `example.com` (and all below it),
    /// `.example.com` (only what is below), addresses, networks (`10.0.0.0/8`), each with a `:port` if only
    /// that is meant; `*` means all.
    pub none: String,
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, or their lower-case forms.
    pub fn from_env(env: &Env) -> Self {
        let value = |upper: &str, lower: &str| {
            let values = [upper, lower].into_iter().filter_map(|name| env.get(OsStr::new(name))?.to_str());
            values.map(str::trim).find(|v| !v.is_empty()).map(str::to_owned)
        };
        Self {
            https: value("HTTPS_PROXY", "https_proxy"),
            http: value("HTTP_PROXY", "http_proxy"),
            none: value("NO_PROXY", "no_proxy").unwrap_or_default(),
        }
    }

    /// Returns the rules in a form that can be asked, `None` when there are no proxies.
    pub(crate) fn rules(&self) -> Result<Option<Rules>, Fault> {
        let https = self.https.as_deref().map(parse).transpose()?;
        let http = self.http.as_deref().map(parse).transpose()?;
        let none = self.none.split(',').map(str::trim).filter(|e| !e.is_empty()).map(Exception::parse);
        let rules = Rules { https, http, none: none.collect() };
        Ok((rules.https.is_some() || rules.http.is_some()).then_some(rules))
    }
}

fn parse(text: &str) -> Result<Url, Fault> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&with_scheme) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(Fault::new(
            RegistryErrorKind::Settings,
            format!("the proxy `{}` is not of the form `http://host:port`", without_password(text)),
        )),
    }
}

/// Hides what stands before the `@`.
fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(s, r)| (s, r));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("https", &self.https.as_deref().map(without_password))
            .field("http", &self.http.as_deref().map(without_password))
            .field("none", &self.none)
            .finish()
    }
}

/// Which proxy is used for which URL.
#[derive(Clone)]
pub(crate) struct Rules {
    https: Option<Url>,
    http: Option<Url>,
    none: Vec<Exception>,
}

impl Rules {
    /// Returns the proxy for `url`; hosts on loopback never have one.
    pub(crate) fn proxy(&self, url: &Url) -> Option<Url> {
        let proxies = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxies.as_ref()?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
            return None;
        }
        let port = url.port_or_known_default()?;
        let is_exception = self.none.iter().any(|e| e.covers(&host, address, port));
        (!is_exception).then(|| proxy.clone())
    }
}

#[derive(Clone, Debug)]
enum Exception {
    All,
    Network(IpAddr, u32),
    Host { name: String, port: Option<u16>, only_below: bool },
}

impl Exception {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::All;
        }
        let text = text.to_ascii_lowercase();
        if let Some((address, bits)) = text.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse(), bits.parse())
        {
            return Self::Network(address, bits);
        }
        let bare = text.trim_matches(['[', ']']);
        if bare.parse::<IpAddr>().is_ok() {
            return Self::Host { name: bare.to_owned(), port: None, only_below: false };
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None => (text.as_str(), None),
        };
        let name = name.trim_matches(['[', ']']);
        let name = name.strip_prefix('*').filter(|n| n.starts_with('.')).unwrap_or(name);
        let only_below = name.starts_with('.');
        Self::Host { name: name.trim_start_matches('.').to_owned(), port, only_below }
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Network(network, bits) => address.is_some_and(|a| is_in(a, *network, *bits)),
            Self::Host { port: Some(only), .. } if *only != port => false,
            Self::Host { name, only_below, .. } => {
                let is_below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                is_below || (!only_below && host == name)
            }
        }
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(none: &str, url: &str, is_direct: bool) {
        let proxies = Proxies {
            https: Some("proxy.example:3128".to_owned()),
            http: Some("http://u:p@proxy.example".to_owned()),
            none: none.to_owned(),
        };
        let rules = proxies.rules().unwrap().unwrap();
        assert_eq!(rules.proxy(&Url::parse(url).unwrap()).is_none(), is_direct, "{none} {url}");
    }

    #[test]
    fn exceptions_are_hosts_domains_addresses_networks_and_ports() {
        check("", "https://r.example", false);
        check("*", "https://r.example", true);
        check("r.example", "https://r.example", true);
        check("r.example", "https://sub.R.example", true);
        check("r.example", "https://other.example", false);
        check("r.example", "https://xr.example", false);
        check(".r.example", "https://r.example", false);
        check("*.r.example", "https://a.r.example", true);
        check("a, r.example:5000", "https://r.example:5000", true);
        check("r.example:5000", "https://r.example", false);
        check("10.0.0.0/8", "http://10.1.2.3", true);
        check("10.0.0.0/8", "http://11.1.2.3", false);
        check("0.0.0.0/0", "http://11.1.2.3", true);
        check("fd00::/8", "http://[fd00::1]:5000", true);
        check("10.1.2.3", "http://10.1.2.3", true);
        check("", "http://localhost:5000", true);
        check("", "http://127.0.0.1:5000", true);
        check("", "http://[::1]:5000", true);
    }

    #[test]
    fn a_password_is_neither_shown_nor_in_an_error() {
        let bad = Proxies { https: Some("socks5://me:secret@h:1".to_owned()), ..Proxies::default() };
        let Err(error) = bad.rules() else { panic!("socks is not supported") };
        assert_eq!(error.message, "the proxy `socks5://h:1` is not of the form `http://host:port`");
        assert!(!format!("{bad:?}").contains("secret"));
    }

    #[test]
    fn both_cases_of_the_variables_are_read() {
        let env = Env::from([
            ("https_proxy".into(), "a:1".into()),
            ("HTTP_PROXY".into(), "b:1".into()),
            ("http_proxy".into(), "c:1".into()),
            ("no_proxy".into(), "d".into()),
        ]);
        let found = Proxies::from_env(&env);
        assert_eq!((found.https.as_deref(), found.http.as_deref()), (Some("a:1"), Some("b:1")));
        assert_eq!(found.none, "d");
    }
}
