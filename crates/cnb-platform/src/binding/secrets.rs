//! Secrets in the wrong places: masked in output, and looked for in what a build made.

use std::io::{self, Read};

use aho_corasick::AhoCorasick;

use super::Binding;

/// What is shorter is too likely to occur by chance.
const SHORTEST: usize = 8;

/// Keys whose values are no secrets: the specification's well-known ones that only say where something is.
const OPEN_KEYS: &[&str] = &["type", "provider", "host", "port", "username", "database", "certificates"];

/// What stands in front of a secret in the files of tools: npm, pip, netrc, Maven, and variables of all kinds.
const MARKS: &[&str] =
    &["_authToken=", "_auth=", "_password=", "password=", "password ", "<password>", "token="];

/// A secret and where it is from.
#[derive(Clone)]
struct Secret {
    binding: String,
    key: String,
    bytes: Vec<u8>,
}

/// The secrets of all bindings of a build.
pub(crate) struct Secrets {
    all: Vec<Secret>,
    finder: AhoCorasick,
    longest: usize,
}

/// A secret that was found where it must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    /// The name of the binding.
    pub binding: String,
    /// The key of the value.
    pub key: String,
}

impl Secrets {
    /// Collects the secrets; `None` where there are none.
    pub(crate) fn of(bindings: &[Binding]) -> Option<Self> {
        let mut secrets: Vec<Secret> = Vec::new();
        // Certificates are public, and an image may well have them.
        for binding in bindings.iter().filter(|b| !b.is("ca-certificates")) {
            for (key, value) in &binding.values {
                if OPEN_KEYS.contains(&key.as_str()) {
                    continue;
                }
                for bytes in secrets_in(value) {
                    if bytes.len() >= SHORTEST && !secrets.iter().any(|s| s.bytes == bytes) {
                        secrets.push(Secret { binding: binding.name.clone(), key: key.clone(), bytes });
                    }
                }
            }
        }
        if secrets.is_empty() {
            return None;
        }
        // The longest first, so that a secret within a longer one leaves nothing of that behind.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.bytes.len()));
        let finder = AhoCorasick::builder()
            .match_kind(aho_corasick::MatchKind::LeftmostFirst)
            .build(secrets.iter().map(|s| &s.bytes))
            .ok()?;
        let longest = secrets.first().map_or(0, |s| s.bytes.len());
        Some(Self { all: secrets, finder, longest })
    }

    /// Finds a secret in what `reader` gives.
    pub(crate) fn find_in(&self, mut reader: impl Read) -> io::Result<Option<Leak>> {
        let mut buffer = Vec::new();
        loop {
            let kept = buffer.len();
            (&mut reader).take(1 << 20).read_to_end(&mut buffer)?;
            if let Some(found) = self.find(&buffer) {
                return Ok(Some(found));
            }
            if buffer.len() == kept {
                return Ok(None);
            }
            // One that is cut in two here is whole in the next round.
            let keep = buffer.len().saturating_sub(self.longest.saturating_sub(1));
            buffer.drain(..keep);
        }
    }

    /// Finds a secret in bytes.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Leak> {
        let found = self.finder.find(bytes)?;
        let secret = &self.all[found.pattern().as_usize()];
        Some(Leak { binding: secret.binding.clone(), key: secret.key.clone() })
    }

    /// Masks secrets in a text.
    pub(crate) fn mask(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.masked(text.as_bytes())).into_owned()
    }

    fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        self.finder.replace_all_bytes(bytes, &vec![b"***"; self.all.len()])
    }

    /// Returns how many bytes at the end may be the beginning of a secret.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(self.longest.saturating_sub(1));
        let begins = |tail: &[u8]| self.all.iter().any(|s| s.bytes.starts_with(tail));
        (1..=most).rev().find(|n| begins(&bytes[bytes.len() - n..])).unwrap_or(0)
    }
}

/// Masks secrets in output that comes in pieces, whichever way it is cut.
#[derive(Default)]
pub(crate) struct Mask {
    held: Vec<u8>,
}

impl Mask {
    /// Takes a piece and returns what can be shown.
    pub(crate) fn feed(&mut self, secrets: &Secrets, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let masked = secrets.masked(&self.held);
        // The end of what is masked is no beginning of a secret: asterisks would be one only by intention.
        let open = secrets.open_end(&masked);
        self.held = masked[masked.len() - open..].to_vec();
        masked[..masked.len() - open].to_vec()
    }

    /// Returns what was held back: it was no secret after all.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// Returns what is secret in a value: the whole, and the passwords that files and addresses have in them.
fn secrets_in(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = vec![value.trim_ascii().to_vec()];
    let Ok(text) = std::str::from_utf8(value) else { return found };
    let mut add = |secret: &str| found.push(secret.trim_matches(['"', '\'']).as_bytes().to_vec());
    for mark in MARKS {
        for (at, _) in text.match_indices(mark) {
            add(text[at + mark.len()..].split([' ', '\t', '\r', '\n', '<', '&']).next().unwrap_or_default());
        }
    }
    // `scheme://user:password@host`
    for (at, _) in text.match_indices("://") {
        let authority =
            text[at + 3..].split(['/', '?', '#', ' ', '\n', '"', '\'']).next().unwrap_or_default();
        if let Some((_, password)) = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
            add(password);
        }
    }
    if text.contains("PRIVATE KEY-----") {
        text.lines().filter(|line| line.len() >= 32 && !line.starts_with("-----")).for_each(add);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        let values = values.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()));
        Secrets::of(&[Binding::new("db", "postgresql", values).unwrap()]).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_the_output_is_cut() {
        let secrets = secrets(&[("password", "hunter2hunter3\n")]);
        let text = b"before hunter2hunter3 hunter2hunter hunter2hunter3";
        for cut in 0..text.len() {
            let mut mask = Mask::default();
            let mut shown = mask.feed(&secrets, &text[..cut]);
            shown.extend(mask.feed(&secrets, &text[cut..]));
            shown.extend(mask.end());
            assert_eq!(String::from_utf8_lossy(&shown), "before *** hunter2hunter ***", "{cut}");
        }
    }

    #[test]
    fn a_secret_is_found_across_the_pieces_of_a_reader() {
        let secrets = secrets(&[("password", "hunter2hunter3")]);
        for at in (1 << 20) - 14..=(1 << 20) {
            let mut bytes = vec![b'h'; at];
            bytes.extend(b"hunter2hunter3 and more");
            let leak = secrets.find_in(&*bytes).unwrap().unwrap();
            assert_eq!((leak.binding.as_str(), leak.key.as_str()), ("db", "password"), "{at}");
        }
        assert_eq!(secrets.find_in(&b"hunter2"[..]).unwrap(), None);
    }

    #[test]
    fn what_only_says_where_something_is_and_what_is_short_is_no_secret() {
        let values = [("host", "localhost"), ("username", "postgres"), ("password", "short")];
        let values = values.map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()));
        assert!(Secrets::of(&[Binding::new("db", "postgresql", values).unwrap()]).is_none());
        let ca = [("ca.crt".to_owned(), b"-----BEGIN CERTIFICATE-----".to_vec())];
        assert!(Secrets::of(&[Binding::new("ca", "ca-certificates", ca).unwrap()]).is_none());
    }

    #[test]
    fn passwords_within_files_and_addresses_are_secrets_too() {
        let found = |key: &str, value: &str, leaked: &str| {
            assert!(secrets(&[(key, value)]).find(leaked.as_bytes()).is_some(), "{leaked}");
        };
        found(".npmrc", "registry=https://r.example\n//r.example/:_authToken=0123456789\n", "0123456789");
        found("uri", "postgres://app:s3cr3t-s3cr3t@db.example/app", "s3cr3t-s3cr3t");
        found(".netrc", "machine a login b password abcdefghij\n", "abcdefghij");
        found("settings.xml", "<server><password>abcdefghij</password></server>", "abcdefghij");
    }
}
