//! `config.toml`: what a user sets once for all commands. Written by users, described in `docs/config.md`.

use std::collections::BTreeMap;
use std::path::Path;

use cnb_fs::toml_file::{self, TomlFileError};
use serde::Deserialize;

use crate::{Home, Remote};

/// A user's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UserConfig {
    /// Mirrors of a registry, that are asked first: `{ "docker.io" = ["mirror.example"] }`.
    #[serde(default)]
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
    /// Registries that are reached without TLS, or without verifying certificates.
    #[serde(default)]
    pub insecure_registries: Vec<String>,
    /// Whether what is built is also loaded into an engine that can be reached, where no output is named.
    #[serde(default = "yes")]
    pub load_into_engine: bool,
    /// Keys that mean nothing here.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// All keys, for messages.
const KEYS: [&str; 3] = ["registry-mirrors", "insecure-registries", "load-into-engine"];

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            registry_mirrors: BTreeMap::new(),
            insecure_registries: Vec::new(),
            load_into_engine: yes(),
            unknown: Vec::new(),
        }
    }
}

impl UserConfig {
    /// Reads `config.toml`; a file that is not there sets nothing.
    ///
    /// # Errors
    /// With file and line, when it is no TOML or a value has the wrong type.
    pub fn read(home: &Home) -> Result<Self, TomlFileError> {
        let path = home.config.join("config.toml");
        match toml_file::read_host_bytes(path.as_path(), toml_file::LIMIT) {
            Ok(bytes) => Self::parse(path.as_path(), &bytes),
            Err(e) if e.is_not_found() => Ok(Self::default()),
            Err(e) => Err(e.into()),
        }
    }

    /// Parses `bytes`, which came from `path`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use cnb_platform::UserConfig;
    /// let config = UserConfig::parse(Path::new("config.toml"), b"load-into-engine = false").unwrap();
    /// assert!(!config.load_into_engine);
    /// ```
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TomlFileError> {
        let mut config: Self = toml_file::parse(path, bytes)?;
        let all: toml::Table = toml_file::parse(path, bytes)?;
        config.unknown = all.keys().filter(|key| !KEYS.contains(&key.as_str())).cloned().collect();
        Ok(config)
    }

    /// Returns what it says of registries.
    pub fn remote(&self) -> Remote {
        Remote {
            insecure: self.insecure_registries.clone(),
            mirrors: self.registry_mirrors.clone(),
            ..Remote::default()
        }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<UserConfig, String> {
        UserConfig::parse(Path::new("/c/config.toml"), text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_is_set_by_default_and_engines_are_used() {
        assert_eq!(parse(""), Ok(UserConfig::default()));
        assert!(parse("").unwrap().load_into_engine);
    }

    #[test]
    fn every_key_is_read_and_others_are_named() {
        let config = parse(
            "registry-mirrors = { \"docker.io\" = [\"http://mirror.example\"] }\n\
             insecure-registries = [\"localhost:5000\"]\nload-into-engine = false\nregistry-mirror = 1\n",
        )
        .unwrap();
        assert_eq!(config.remote().mirrors["docker.io"], ["http://mirror.example"]);
        assert_eq!(config.remote().insecure, ["localhost:5000"]);
        assert_eq!((config.load_into_engine, config.unknown), (false, vec!["registry-mirror".to_owned()]));
    }

    #[test]
    fn a_mistake_is_named_with_file_and_line() {
        let error = parse("\nload-into-engine = 1\n").unwrap_err();
        assert!(error.starts_with("failed to parse `/c/config.toml`: line 2: invalid type"), "{error}");
    }
}
