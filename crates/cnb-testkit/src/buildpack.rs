//! Buildpacks made of shell scripts.

use std::io;
use std::path::{Path, PathBuf};

use cnb_spec::api::BuildpackApi;

use crate::program;

/// A buildpack whose `bin/detect` and `bin/build` are bash scripts; both run under `set -eu`.
#[derive(Clone, Debug)]
pub struct ScriptBuildpack {
    /// The ID.
    pub id: String,
    /// The version.
    pub version: String,
    /// The Buildpack API.
    pub api: String,
    /// What `buildpack.toml` holds beyond `api` and `[buildpack]`.
    pub toml: String,
    /// The script of `bin/detect`.
    pub detect: String,
    /// The script of `bin/build`.
    pub build: String,
}

impl ScriptBuildpack {
    /// Returns a buildpack of the newest API that takes part in every build and contributes nothing.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            version: "1.0.0".to_owned(),
            api: BuildpackApi::LATEST.to_string(),
            toml: String::new(),
            detect: "exit 0".to_owned(),
            build: "exit 0".to_owned(),
        }
    }

    /// Writes the buildpack to `<store>/<escaped id>/<version>`, as in a builder, and returns that directory.
    pub fn write_in(&self, store: &Path) -> io::Result<PathBuf> {
        let dir = store.join(self.id.replace('/', "_")).join(&self.version);
        self.write_to(&dir)?;
        Ok(dir)
    }

    /// Writes the buildpack to `dir`.
    pub fn write_to(&self, dir: &Path) -> io::Result<()> {
        let Self { id, version, api, toml, .. } = self;
        for (name, script) in [("detect", &self.detect), ("build", &self.build)] {
            program(&dir.join("bin").join(name), &format!("#!/usr/bin/env bash\nset -eu\n{script}\n"))?;
        }
        let text = format!("api = {api:?}\n\n[buildpack]\nid = {id:?}\nversion = {version:?}\n\n{toml}");
        fs_err::write(dir.join("buildpack.toml"), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_scripts_stop_at_the_first_error() {
        let dir = tempfile::tempdir().unwrap();
        let detect = "cat missing 2> /dev/null\nexit 0".to_owned();
        let dir = ScriptBuildpack { detect, ..ScriptBuildpack::new("a/b") }.write_in(dir.path()).unwrap();
        assert_eq!(Command::new(dir.join("bin/detect")).status().unwrap().code(), Some(1));
        assert_eq!(Command::new(dir.join("bin/build")).status().unwrap().code(), Some(0));
        let text = fs_err::read_to_string(dir.join("buildpack.toml")).unwrap();
        assert!(
            text.starts_with(&format!("api = \"{}\"\n\n[buildpack]\nid = \"a/b\"\n", BuildpackApi::LATEST))
        );
    }
}
