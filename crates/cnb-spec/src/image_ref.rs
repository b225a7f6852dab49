//! Image references: the names under which images are stored and asked for.
//!
//! Requirements A75 and J6: the rules of the Go programs, listed once in [`ImageRef`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The registry that a name without one belongs to.
pub const DEFAULT_REGISTRY: &str = "index.docker.io";

/// The tag of a name without one.
pub const DEFAULT_TAG: &str = "latest";

/// What in a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// A tag, which may move.
    Tag(String),
    /// Exactly this manifest.
    Digest(Digest),
}

/// A reference to an image by tag or digest.
///
/// - The part before the first `/` is a registry if it contains `.` or `:` or is `localhost`; otherwise the
///   registry is `index.docker.io`, to which `docker.io` is rewritten.
/// - A name of one component on that registry is below `library/`.
/// - Without a tag or digest, the tag is `latest`; with both, the digest counts and the tag is dropped.
/// - A repository has 2 to 255 characters of `a-z 0-9 _ - . /`, a tag 1 to 128 of `A-Za-z0-9 _ - .`.
///
/// Two references are equal when their canonical forms are; how they were typed is kept for display.
///
/// ```
/// let image: cnb_spec::image_ref::ImageRef = "nginx".parse().unwrap();
/// assert_eq!(image.to_string(), "index.docker.io/library/nginx:latest");
/// assert_eq!(image.typed(), "nginx");
/// assert_eq!(image.familiar(), "nginx:latest");
/// ```
#[derive(Clone)]
pub struct ImageRef {
    registry: String,
    repository: String,
    selector: Selector,
    typed: String,
}

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not parse reference: {text}")]
pub struct ImageRefError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    #[source]
    pub reason: ImageRefReason,
}

/// The rule that an image reference breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefReason {
    /// Nothing is left of the repository, or it is too short or too long.
    #[error("the repository `{0}` must have 2 to 255 characters")]
    RepositoryLength(String),
    /// The repository has a character that it may not have.
    #[error("the repository `{0}` may only have lower-case letters, digits and `_`, `-`, `.`, `/`")]
    RepositoryCharacter(String),
    /// The tag is empty or too long.
    #[error("the tag `{0}` must have 1 to 128 characters")]
    TagLength(String),
    /// The tag has a character that it may not have.
    #[error("the tag `{0}` may only have letters, digits and `_`, `-`, `.`")]
    TagCharacter(String),
    /// What follows the `@` is no digest.
    #[error("`{0}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
    Digest(String),
    /// The part before the first `/` is no `host[:port]`.
    #[error("the registry `{0}` is not of the form `host[:port]`")]
    Registry(String),
}

impl ImageRef {
    /// Returns the registry, with its port if it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path of the repository within its registry, `library/` included.
    pub fn path(&self) -> &str {
        &self.repository
    }

    /// Returns registry and path: the key of everything that is kept per repository, such as caches.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns what in the repository is meant.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Returns the tag, `None` for a reference by digest.
    pub fn tag(&self) -> Option<&str> {
        match &self.selector {
            Selector::Tag(tag) => Some(tag),
            Selector::Digest(_) => None,
        }
    }

    /// Returns the digest, `None` for a reference by tag.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.selector {
            Selector::Tag(_) => None,
            Selector::Digest(digest) => Some(digest),
        }
    }

    /// Returns the text as it was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Returns the short form that engines show: without the default registry and `library/`.
    pub fn familiar(&self) -> String {
        let name = if self.registry == DEFAULT_REGISTRY {
            self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned()
        } else {
            self.repository()
        };
        format!("{name}{}", Suffix(&self.selector))
    }

    /// Returns the same repository with `tag`, for instance to add a name to an image.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ImageRefError> {
        format!("{}:{tag}", self.repository()).parse()
    }

    /// Returns the same repository with `digest`.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        let typed = format!("{}@{digest}", self.repository());
        Self { selector: Selector::Digest(digest), typed, ..self.clone() }
    }
}

/// Returns the canonical form of a name without its digest, so that names can be compared; a text that is no
/// name is returned as it is.
pub fn canonical(name: &str) -> String {
    let plain = name.split_once("@sha256:").map_or(name, |(plain, _)| plain);
    plain.parse::<ImageRef>().map_or_else(|_| name.to_owned(), |parsed| parsed.to_string())
}

struct Suffix<'a>(&'a Selector);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Selector::Tag(tag) => write!(f, ":{tag}"),
            Selector::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, Suffix(&self.selector))
    }
}

impl fmt::Debug for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageRef({self})")
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        parse(text).map_err(|reason| ImageRefError { text: text.to_owned(), reason })
    }
}

impl PartialEq for ImageRef {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ImageRef {}

impl PartialOrd for ImageRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ImageRef {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |r: &'_ Self| (r.registry.clone(), r.repository.clone(), r.selector.clone());
        key(self).cmp(&key(other))
    }
}

impl Hash for ImageRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.registry, &self.repository, &self.selector).hash(state);
    }
}

impl Serialize for ImageRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.typed)
    }
}

impl<'de> Deserialize<'de> for ImageRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Result<ImageRef, ImageRefReason> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => {
            let parsed = digest.parse().map_err(|_| ImageRefReason::Digest(digest.to_owned()))?;
            (name, Some(parsed))
        }
        None => (text, None),
    };
    // A colon belongs to a tag only behind the last slash; before it, it is a port's.
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("", name),
    };
    check_repository(repository)?;
    check_registry(registry)?;
    let registry = match registry {
        "" | "docker.io" => DEFAULT_REGISTRY,
        other => other,
    };
    let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        format!("library/{repository}")
    } else {
        repository.to_owned()
    };
    let selector =
        digest.map_or_else(|| Selector::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()), Selector::Digest);
    Ok(ImageRef { registry: registry.to_owned(), repository, selector, typed: text.to_owned() })
}

fn check_tag(tag: &str) -> Result<(), ImageRefReason> {
    if !(1..=128).contains(&tag.len()) {
        return Err(ImageRefReason::TagLength(tag.to_owned()));
    }
    if !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        return Err(ImageRefReason::TagCharacter(tag.to_owned()));
    }
    Ok(())
}

fn check_repository(repository: &str) -> Result<(), ImageRefReason> {
    if !(2..=255).contains(&repository.len()) {
        return Err(ImageRefReason::RepositoryLength(repository.to_owned()));
    }
    if !repository.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-./".contains(&b)) {
        return Err(ImageRefReason::RepositoryCharacter(repository.to_owned()));
    }
    Ok(())
}

fn check_registry(registry: &str) -> Result<(), ImageRefReason> {
    let bad = || ImageRefReason::Registry(registry.to_owned());
    let (host, port) = if let Some(rest) = registry.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(bad)?;
        address.parse::<Ipv6Addr>().map_err(|_| bad())?;
        ("host", port)
    } else {
        registry.find(':').map_or((registry, ""), |at| registry.split_at(at))
    };
    let host_is_valid = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let port_is_valid =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    if host_is_valid && port_is_valid { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str, familiar: &str) {
        let found: ImageRef = text.parse().unwrap();
        assert_eq!((found.to_string().as_str(), found.familiar().as_str()), (canonical, familiar));
        assert_eq!(found.typed(), text);
        assert_eq!(canonical.parse::<ImageRef>().unwrap(), found, "the canonical form means the same");
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        check("app", "index.docker.io/library/app:latest", "app:latest");
        check("app:1", "index.docker.io/library/app:1", "app:1");
        check("me/app", "index.docker.io/me/app:latest", "me/app:latest");
        check("docker.io/app", "index.docker.io/library/app:latest", "app:latest");
        check("localhost/app", "localhost/app:latest", "localhost/app:latest");
        check("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest", "127.0.0.1:5000/app:latest");
        check("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest");
        check("r.io/a/b/c:V_1.x-y", "r.io/a/b/c:V_1.x-y", "r.io/a/b/c:V_1.x-y");
        check("localhostx/app", "index.docker.io/localhostx/app:latest", "localhostx/app:latest");
    }

    #[test]
    fn a_digest_counts_more_than_a_tag() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        check(
            &format!("app:1@{digest}"),
            &format!("index.docker.io/library/app@{digest}"),
            &format!("app@{digest}"),
        );
        let found: ImageRef = format!("r.io:1/ab@{digest}").parse().unwrap();
        assert_eq!((found.tag(), found.digest().map(ToString::to_string)), (None, Some(digest)));
        assert_eq!(found.repository(), "r.io:1/ab");
    }

    #[test]
    fn names_differ_by_their_canonical_form_alone() {
        let one: ImageRef = "app".parse().unwrap();
        let two: ImageRef = "docker.io/library/app:latest".parse().unwrap();
        assert_eq!(one, two);
        assert_ne!(one, "app:2".parse().unwrap());
    }

    #[track_caller]
    fn refused(text: &str, reason: &str) {
        let error = text.parse::<ImageRef>().unwrap_err();
        assert_eq!(error.to_string(), format!("could not parse reference: {text}"));
        assert!(error.reason.to_string().contains(reason), "{}", error.reason);
    }

    #[test]
    fn bad_names_say_which_part_is_bad() {
        refused("", "2 to 255");
        refused("127.0.0.1:5000/b", "the repository `b`");
        refused("App", "lower-case");
        refused("app:", "1 to 128");
        refused(&format!("app:{}", "x".repeat(129)), "1 to 128");
        refused("app:a b", "the tag `a b`");
        refused("app@sha256:12", "`sha256:12` is not a digest");
        refused("app@x@y", "is not a digest");
        refused("a b.c/app", "the registry `a b.c`");
        refused("r.io:x/app", "the registry `r.io:x`");
        refused("[::1/app", "the registry `[::1`");
        refused("häh/app", "the repository `häh/app`");
    }
}
