//! `<layers>/config/metadata.toml` as far as the launcher reads it: processes, and who gave them.
//!
//! Written by the builder. Platform Interface Specification, "metadata.toml (TOML)". The other tables are
//! none of the launcher's business: whatever is in them, the app starts.

use std::ffi::OsStr;
use std::path::Path;
use std::str::FromStr;

use cnb_spec::api::{ApiError, BuildpackApi, PlatformApi};
use cnb_spec::process::Process;
use serde::Deserialize;

use crate::failure::Failure;
use crate::system::{self, SystemError};

/// What the launcher needs of `metadata.toml`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) processes: Vec<Process>,
    #[serde(default)]
    buildpacks: Vec<Buildpack>,
}

#[derive(Debug, Deserialize)]
struct Buildpack {
    #[serde(default)]
    id: String,
    #[serde(default)]
    api: String,
}

/// A buildpack that may have layers in the image.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) api: BuildpackApi,
}

/// Why `metadata.toml` could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    System(#[from] SystemError),
    #[error("toml: {0}")]
    Toml(String),
}

impl FromStr for Metadata {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        toml::from_str(text)
    }
}

impl Metadata {
    /// Reads the file below `layers_dir`.
    pub(crate) fn read(layers_dir: &Path) -> Result<Self, ReadError> {
        let bytes = system::read(&layers_dir.join("config/metadata.toml"))?;
        parse(&bytes, Self::from_str).map_err(ReadError::Toml)
    }

    /// Returns the buildpacks in their order; each must speak an API that is supported (requirement B98).
    pub(crate) fn providers(&self) -> Result<Vec<Provider>, Failure> {
        let provider = |Buildpack { id, api }: &Buildpack| match BuildpackApi::from_str(api) {
            Ok(api) => Ok(Provider { id: id.clone(), api }),
            Err(e) => {
                let (api, id) = (api.clone(), id.clone());
                Err(match e {
                    ApiError::Unreadable(_) => Failure::UnreadableBuildpackApi { api, id },
                    ApiError::Unsupported(_) => Failure::UnsupportedBuildpackApi { api, id },
                })
            }
        };
        self.buildpacks.iter().map(provider).collect()
    }
}

/// Reads `CNB_PLATFORM_API`, which must be set (requirement B3).
pub(crate) fn platform_api(value: Option<&OsStr>) -> Result<PlatformApi, Failure> {
    let text = value.unwrap_or_default().to_string_lossy().into_owned();
    if text.trim().is_empty() {
        return Err(Failure::NoPlatformApi);
    }
    PlatformApi::from_str(&text).map_err(|e| match e {
        ApiError::Unreadable(_) => Failure::UnreadablePlatformApi(text),
        ApiError::Unsupported(_) => Failure::UnsupportedPlatformApi(text),
    })
}

/// Parses TOML with the reader of its format; the error is one line that names the line.
pub(crate) fn parse<T>(bytes: &[u8], format: fn(&str) -> Result<T, toml::de::Error>) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    format(text).map_err(|e| {
        let reason = e.message().trim_end().replace('\n', ", ");
        e.span().map_or_else(
            || reason.clone(),
            |span| format!("line {}: {reason}", text[..span.start].matches('\n').count() + 1),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::chain;

    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let found = match parse(toml.as_bytes(), Metadata::from_str) {
            Ok(metadata) => match metadata.providers() {
                Ok(providers) => {
                    providers.iter().map(|p| format!("{} {}", p.id, p.api)).collect::<Vec<_>>().join(", ")
                }
                Err(e) => format!("{} {}", e.exit_code(), chain(&e)),
            },
            Err(e) => e,
        };
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn only_processes_and_buildpacks_matter() {
        check(
            "labels = 3\nextensions = 'x'\n[[buildpacks]]\nid = 'a/b'\napi = 'v0.9'\nversion = 1",
            "a/b 0.9",
        );
        check("processes = []", "");
    }

    #[test]
    fn errors_name_the_line() {
        check("\n\ngarbage = = 1", "line 3: ");
        check("[[processes]]\ntype = 3", "line 2: invalid type: integer `3`");
    }

    #[test]
    fn buildpack_apis_are_checked() {
        check(
            "[[buildpacks]]\nid = 'x'\napi = 'v0.6'",
            "12 failed to set API for buildpack 'x': buildpack API version 'v0.6' is incompatible with the lifecycle",
        );
        check(
            "[[buildpacks]]\nid = 'x'\napi = 'new'",
            "12 failed to parse buildpack API 'new' for buildpack 'x'",
        );
        check("[[buildpacks]]\nid = 'x'", "12 failed to parse buildpack API '' for buildpack 'x'");
    }

    #[test]
    fn a_blank_platform_api_counts_as_none() {
        for value in [None, Some(OsStr::new("")), Some(OsStr::new(" \t"))] {
            assert!(matches!(platform_api(value), Err(Failure::NoPlatformApi)));
        }
        assert!(
            matches!(platform_api(Some(OsStr::new("1.0"))), Err(Failure::UnsupportedPlatformApi(t)) if t == "1.0")
        );
        assert_eq!(platform_api(Some(OsStr::new("v0.12"))).unwrap().to_string(), "0.12");
    }
}
