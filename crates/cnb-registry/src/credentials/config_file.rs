//! Docker's `config.json` and podman's `auth.json`: the same format, as far as credentials go.
//!
//! Written by `docker login`, `podman login` and `cnb login`, and by hand. What is looked at:
//!
//! - `credHelpers`: for single registries, the helper to ask;
//! - `credsStore`: the helper to ask for all others;
//! - `auths`: by registry, or by namespace or repository as podman has it, `auth` (base64 of `user:password`),
//!   `username` and `password`, `identitytoken`, `registrytoken`.
//!
//! An entry that nobody asks for does no harm, whatever it says.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::auth::{Auth, Secret};
use super::error::CredentialsError;
use super::helper::{Helper, HelperEnv};
use super::{json, key};

/// Base64 with or without padding: both are found in such files.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A configuration file. No `Debug`: it is full of secrets.
#[derive(Clone)]
pub(super) struct ConfigFile {
    /// Its path, or the name of the variable that stands for it.
    place: String,
    pub(super) object: Map<String, Value>,
}

/// Credentials, and what they are good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// A registry, or a namespace or repository in one.
    pub(super) scope: String,
    /// The credentials.
    pub(super) auth: Auth,
}

impl ConfigFile {
    /// Parses the text; an empty one says nothing, as with docker.
    pub(super) fn parse(place: String, text: &[u8]) -> Result<Self, CredentialsError> {
        let text = text.trim_ascii();
        match if text.is_empty() { Ok(None) } else { json::object(text) } {
            Ok(object) => Ok(Self { place, object: object.unwrap_or_default() }),
            Err(reason) => Err(CredentialsError::Malformed { place, reason }),
        }
    }

    /// Returns all that the file, or the helper that it names, knows of a registry, the best first.
    ///
    /// The helper counts more than what is in the file, as with docker; one that knows nothing gives way to it.
    pub(super) fn known(&self, registry: &str, env: &HelperEnv) -> Result<Vec<Known>, CredentialsError> {
        let mut known = Vec::new();
        if let Some((name, key)) = self.helper(registry)? {
            let auth =
                Helper { name, env }.get(key).map_err(|problem| self.helper_failed(name, key, problem))?;
            known.extend(auth.map(|auth| Known { scope: registry.to_owned(), auth }));
        }
        let mut entries: Vec<_> = self
            .section("auths")?
            .into_iter()
            .flatten()
            .map(|(key, entry)| (key::scope(key), key, entry))
            .filter(|(scope, _, _)| key::registry(scope) == registry)
            .collect();
        entries.sort_by_key(|(scope, key, _)| (Reverse(scope.len()), key::oddity(key)));
        for (scope, key, entry) in entries {
            let auth = auth(entry).map_err(|reason| self.malformed(format!("{reason} for `{key}`")))?;
            known.extend(auth.map(|auth| Known { scope, auth }));
        }
        Ok(known)
    }

    /// Returns the helper that keeps a registry's credentials, and the key by which it knows the registry.
    pub(super) fn helper<'a>(
        &'a self,
        registry: &'a str,
    ) -> Result<Option<(&'a str, &'a str)>, CredentialsError> {
        let helpers = self.section("credHelpers")?.into_iter().flatten();
        let own =
            helpers.filter(|(key, _)| key::scope(key) == registry).min_by_key(|(key, _)| key::oddity(key));
        match own {
            Some((_, Value::String(name))) if name.is_empty() => Ok(None),
            Some((key, Value::String(name))) => Ok(Some((name, key))),
            Some((key, _)) => Err(self.malformed(format!("`credHelpers` has no string for `{key}`"))),
            None => {
                let store = json::text(&self.object, "credsStore").map_err(|r| self.malformed(r))?;
                Ok(store.map(|name| (name, key::of_docker(registry))))
            }
        }
    }

    /// Returns an error of a helper that the file names.
    pub(super) fn helper_failed(
        &self,
        name: &str,
        key: &str,
        problem: super::HelperProblem,
    ) -> CredentialsError {
        CredentialsError::Helper {
            helper: name.to_owned(),
            place: self.place.clone(),
            registry: key.to_owned(),
            problem,
        }
    }

    pub(super) fn section(&self, name: &str) -> Result<Option<&Map<String, Value>>, CredentialsError> {
        json::section(&self.object, name).map_err(|reason| self.malformed(reason))
    }

    fn malformed(&self, reason: String) -> CredentialsError {
        CredentialsError::Malformed { place: self.place.clone(), reason }
    }
}

/// Returns the credentials in an entry of `auths`; none where there is nothing in it, as docker leaves it where a
/// helper keeps the credentials. The error is the reason.
fn auth(entry: &Value) -> Result<Option<Auth>, String> {
    let entry = match entry {
        Value::Object(entry) => entry,
        Value::Null => return Ok(None),
        _ => return Err("`auths` has no object".to_owned()),
    };
    if let Some(token) = json::text(entry, "registrytoken")? {
        return Ok(Some(Auth::Bearer(Secret::new(token))));
    }
    if let Some(token) = json::text(entry, "identitytoken")? {
        return Ok(Some(Auth::IdentityToken(Secret::new(token))));
    }
    let (user, password) = if let Some(encoded) = json::text(entry, "auth")? {
        decode(encoded)?
    } else {
        let part = |name| json::text(entry, name).map(|text| text.unwrap_or_default().to_owned());
        (part("username")?, part("password")?)
    };
    // A user without a password is a name to be remembered, not one to be shown.
    let found = !password.is_empty();
    Ok(found.then(|| Auth::Basic { user, password: Secret::new(password) }))
}

/// Takes `auth` apart into user and password; the error is the reason.
fn decode(encoded: &str) -> Result<(String, String), String> {
    let plain: Vec<u8> = encoded.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let text = BASE64.decode(plain).map_err(|_| "`auth` is not base64".to_owned())?;
    let text = String::from_utf8(text).map_err(|_| "`auth` is not UTF-8".to_owned())?;
    let (user, password) = text.split_once(':').ok_or("`auth` is not the base64 of `user:password`")?;
    // Old versions of docker padded with zeros.
    Ok((user.to_owned(), password.trim_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str, registry: &str) -> Result<Vec<Known>, CredentialsError> {
        ConfigFile::parse("/c.json".to_owned(), text.as_bytes())?.known(registry, &HelperEnv::default())
    }

    fn basic(user: &str, password: &str) -> Auth {
        Auth::Basic { user: user.to_owned(), password: Secret::new(password) }
    }

    #[track_caller]
    fn check(entry: &str, expected: impl Into<Option<Auth>>) {
        let found = known(&format!(r#"{{"auths": {{"r.io": {entry}}}}}"#), "r.io").unwrap();
        assert_eq!(found.into_iter().map(|known| known.auth).next(), expected.into(), "{entry}");
    }

    #[test]
    fn every_kind_of_entry_is_understood() {
        check(r#"{"auth": "bWU6cGFzcw=="}"#, basic("me", "pass"));
        check(r#"{"auth": "bWU6cGFzcw"}"#, basic("me", "pass"));
        check(r#"{"auth": "bWU6\ncGFzcw==\n"}"#, basic("me", "pass"));
        check(r#"{"auth": "bWU6cDphOnNz"}"#, basic("me", "p:a:ss"));
        check(r#"{"auth": "bWU6cGFzcwAA"}"#, basic("me", "pass"));
        check(r#"{"auth": "bWU6cGFzcw==", "username": "x", "password": "y"}"#, basic("me", "pass"));
        check(r#"{"username": "me", "password": "pass", "email": "x"}"#, basic("me", "pass"));
        check(r#"{"auth": "bWU6", "identitytoken": "t"}"#, Auth::IdentityToken(Secret::new("t")));
        check(r#"{"identitytoken": "i", "registrytoken": "t"}"#, Auth::Bearer(Secret::new("t")));
    }

    #[test]
    fn an_entry_without_a_secret_says_nothing() {
        for entry in ["{}", "null", r#"{"auth": ""}"#, r#"{"auth": "bWU6"}"#, r#"{"username": "me"}"#] {
            check(entry, None);
        }
    }

    #[test]
    fn the_key_for_the_most_comes_first_and_the_usual_spelling_before_others() {
        let text = r#"{"auths": {
            "https://r.io/v1/": {"auth": "YTpvZGQ="}, "r.io": {"auth": "YTpyZWdpc3RyeQ=="},
            "r.io/ns/app": {"auth": "YTpyZXBvc2l0b3J5"}, "r.io/ns": {"auth": "YTpuYW1lc3BhY2U="},
            "r.io.evil": {"auth": "!"}, "other.io": 3}}"#;
        let found = known(text, "r.io").unwrap();
        let found: Vec<_> = found.iter().map(|k| (k.scope.as_str(), k.auth.clone())).collect();
        let expected = [
            ("r.io/ns/app", basic("a", "repository")),
            ("r.io/ns", basic("a", "namespace")),
            ("r.io", basic("a", "registry")),
            ("r.io", basic("a", "odd")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn docker_hub_has_many_names_and_dockers_comes_first() {
        let text = r#"{"auths": {
            "docker.io": {"auth": "YTpwb2RtYW4="}, "index.docker.io": {"auth": "YTpwbGFpbg=="},
            "docker.io/me": {"auth": "YTptaW5l"}, "https://index.docker.io/v1/": {"auth": "YTpkb2NrZXI="}}}"#;
        let passwords: Vec<_> = known(text, "index.docker.io").unwrap().into_iter().map(|k| k.auth).collect();
        assert_eq!(passwords, ["mine", "docker", "podman", "plain"].map(|p| basic("a", p)));
    }

    #[test]
    fn the_helper_is_that_of_the_registry_or_else_the_store() {
        let text =
            r#"{"credsStore": "all", "credHelpers": {"r.io": "one", "docker.io": "hub", "none.io": ""}}"#;
        let file = ConfigFile::parse("/c.json".to_owned(), text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let helper = |registry| file.helper(registry).unwrap().map(|(name, key)| format!("{name} {key}"));
        assert_eq!(helper("r.io").as_deref(), Some("one r.io"));
        assert_eq!(helper("index.docker.io").as_deref(), Some("hub docker.io"));
        assert_eq!(helper("x.io").as_deref(), Some("all x.io"));
        assert_eq!(helper("none.io"), None);
        let file =
            ConfigFile::parse("/c".to_owned(), br#"{"credsStore": "all"}"#).unwrap_or_else(|e| panic!("{e}"));
        let hub = file.helper("index.docker.io").unwrap();
        assert_eq!(hub, Some(("all", "https://index.docker.io/v1/")));
    }

    #[test]
    fn a_file_that_says_nothing_is_no_error() {
        for text in ["", " \n", "null", "{}", r#"{"auths": null, "credsStore": "", "currentContext": "x"}"#] {
            assert_eq!(known(text, "r.io").unwrap(), [], "{text}");
        }
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named_and_not_quoted() {
        for (text, reason) in [
            ("hunter2", "expected value at line 1 column 1"),
            (r#"["hunter2"]"#, "it is not a JSON object"),
            (r#"{"auths": ["hunter2"]}"#, "`auths` is not an object"),
            (r#"{"credsStore": ["hunter2"]}"#, "`credsStore` is not a string"),
            (r#"{"credHelpers": {"r.io": 2}}"#, "`credHelpers` has no string for `r.io`"),
            (r#"{"auths": {"r.io": "hunter2"}}"#, "`auths` has no object for `r.io`"),
            (r#"{"auths": {"r.io": {"auth": 2}}}"#, "`auth` is not a string for `r.io`"),
            (r#"{"auths": {"r.io": {"auth": "hunter2!"}}}"#, "`auth` is not base64 for `r.io`"),
            (r#"{"auths": {"r.io": {"auth": "/////w=="}}}"#, "`auth` is not UTF-8 for `r.io`"),
            (
                r#"{"auths": {"r.io": {"auth": "aHVudGVyMg=="}}}"#,
                "`auth` is not the base64 of `user:password` for `r.io`",
            ),
        ] {
            let error = known(text, "r.io").unwrap_err();
            assert_eq!(error.to_string(), format!("failed to parse the credentials in `/c.json`: {reason}"));
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
