//! `CNB_REGISTRY_AUTH`: a JSON object that gives registries their `Authorization` headers (requirement A73).
//!
//! Written by a platform, for itself or for the lifecycle.

use std::collections::BTreeMap;

use super::auth::{Auth, Secret};
use super::error::CredentialsError;
use super::{json, key};

/// The name of the variable; it never reaches a child of ours.
pub const REGISTRY_AUTH: &str = "CNB_REGISTRY_AUTH";

/// What the variable says, by registry. Headers are understood when they are asked for, as in the Go lifecycle:
/// a scheme that nobody knows does no harm to the other registries (requirement J5).
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(BTreeMap<String, Secret>);

impl Headers {
    /// Parses the value of the variable; an empty one says nothing.
    pub(super) fn parse(value: &[u8]) -> Result<Self, CredentialsError> {
        let bad = |reason| CredentialsError::Environment { reason };
        let mut headers = BTreeMap::new();
        let mut usual = BTreeMap::new();
        let object = if value.is_empty() { None } else { json::object(value).map_err(bad)? };
        for (typed, value) in object.unwrap_or_default() {
            let header = match value {
                serde_json::Value::String(header) => Secret::new(header),
                serde_json::Value::Null => Secret::new(""),
                _ => return Err(bad(format!("the value of `{typed}` is not a string"))),
            };
            let registry = key::registry(&key::scope(&typed)).to_owned();
            // The plain name of a registry counts more than an address in it.
            if typed == registry {
                usual.insert(registry, header);
            } else {
                headers.insert(registry, header);
            }
        }
        headers.extend(usual);
        Ok(Self(headers))
    }

    /// Returns what is said of the registry of `scope`.
    pub(super) fn get(&self, scope: &str) -> Result<Option<Auth>, CredentialsError> {
        let registry = key::registry(scope);
        let Some(header) = self.0.get(registry) else { return Ok(None) };
        let unknown = || CredentialsError::UnknownScheme { registry: registry.to_owned() };
        // A line break in a header would start another one.
        let (scheme, value) =
            header.expose().split_once(' ').filter(|(_, v)| !v.contains(['\n', '\r'])).ok_or_else(unknown)?;
        let auth = match scheme.to_ascii_lowercase().as_str() {
            "basic" => Auth::Header(Secret::new(format!("Basic {value}"))),
            "bearer" => Auth::Bearer(Secret::new(value)),
            "x-identity" => Auth::IdentityToken(Secret::new(value)),
            _ => return Err(unknown()),
        };
        Ok(Some(if value.is_empty() { Auth::Anonymous } else { auth }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(value: &str, scope: &str) -> Result<Option<Auth>, CredentialsError> {
        Headers::parse(value.as_bytes())?.get(scope)
    }

    #[track_caller]
    fn check(value: &str, scope: &str, expected: impl Into<Option<Auth>>) {
        assert_eq!(get(value, scope).unwrap(), expected.into(), "{value}");
    }

    fn basic() -> Auth {
        Auth::Header(Secret::new("Basic x"))
    }

    #[test]
    fn schemes_are_known_in_any_case() {
        check(r#"{"r.io": "Basic x"}"#, "r.io/app", basic());
        check(r#"{"r.io": "bAsIc x"}"#, "r.io/app", basic());
        check(r#"{"r.io": "BEARER t=="}"#, "r.io/app", Auth::Bearer(Secret::new("t==")));
        check(r#"{"r.io": "x-identity t"}"#, "r.io/app", Auth::IdentityToken(Secret::new("t")));
    }

    #[test]
    fn the_scheme_and_path_of_a_key_do_not_matter() {
        for key in ["http://r.io", "https://r.io", "r.io/v1/", "https://r.io/a/b", "r.io"] {
            check(&format!(r#"{{"{key}": "Basic x"}}"#), "r.io/app", basic());
        }
        check(r#"{"r.io:80": "Basic x"}"#, "r.io/app", None);
        check(
            r#"{"https://r.io/z": "Bearer t", "r.io": "Basic x", "r.io/a": "Bearer t"}"#,
            "r.io/app",
            basic(),
        );
    }

    #[test]
    fn docker_hub_is_index_docker_io() {
        check(r#"{"https://index.docker.io/v1/": "Basic x"}"#, "index.docker.io/library/app", basic());
        check(
            r#"{"docker.io": "Bearer t", "index.docker.io": "Basic x"}"#,
            "index.docker.io/me/app",
            basic(),
        );
    }

    #[test]
    fn nothing_said_is_no_error() {
        for value in ["", "null", "{}", r#"{"other": "Basic x"}"#] {
            check(value, "r.io/app", None);
        }
        check(r#"{"r.io": "Basic "}"#, "r.io/app", Auth::Anonymous);
    }

    #[test]
    fn an_unknown_scheme_is_an_error_for_its_registry_alone() {
        for header in ["Digest hunter2", "hunter2", "", "Basic", "Basic x\\nhunter2"] {
            let value = format!(r#"{{"bad.io": "{header}", "r.io": "Basic x"}}"#);
            check(&value, "r.io/app", basic());
            let error = get(&value, "bad.io/app").unwrap_err();
            assert!(matches!(error, CredentialsError::UnknownScheme { .. }), "{error:?}");
            assert_eq!(error.to_string(), "unknown auth type from header for `bad.io` in CNB_REGISTRY_AUTH");
        }
    }

    #[test]
    fn what_is_no_object_of_strings_is_an_error_that_quotes_no_secret() {
        for (value, reason) in [
            ("hunter2", "expected value at line 1 column 1"),
            (r#""hunter2""#, "it is not a JSON object"),
            (r#"["hunter2"]"#, "it is not a JSON object"),
            (r#"{"a": 1}"#, "the value of `a` is not a string"),
            (r#"{"a": "hunter2""#, "EOF while parsing an object at line 1 column 15"),
        ] {
            let error = get(value, "a").unwrap_err();
            assert_eq!(error.to_string(), format!("failed to parse CNB_REGISTRY_AUTH value: {reason}"));
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
