//! What a platform gives to `bin/detect` and `bin/build` (requirements C2 to C5), as values.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cnb_spec::env::Env;
use serde::Deserialize;

use crate::Failure;
use crate::log::Log;

/// The machine that the image is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The operating system in Go's words.
    pub os: String,
    /// The processor architecture in Go's words.
    pub arch: String,
}

/// What `bin/detect` knows.
#[derive(Debug)]
pub struct DetectContext {
    /// The app's files.
    pub app_dir: PathBuf,
    /// The buildpack's own files.
    pub buildpack_dir: PathBuf,
    /// What the platform provides: `env/`, `bindings/`.
    pub platform_dir: PathBuf,
    /// The machine that the image is for.
    pub target: Target,
    /// The environment, with what the user set for this build.
    pub env: Env,
    /// The execution environment, such as `production` or `test`.
    pub exec_env: Option<String>,
    /// Where the user reads.
    pub log: Log,
}

/// What `bin/build` knows.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// The app's files: a copy, part of the image as the build leaves it.
    pub app_dir: PathBuf,
    /// This buildpack's layers.
    pub layers_dir: PathBuf,
    /// The buildpack's own files.
    pub buildpack_dir: PathBuf,
    /// What the platform provides: `env/`, `bindings/`.
    pub platform_dir: PathBuf,
    /// The machine that the image is for.
    pub target: Target,
    /// The environment, with what the user set and what earlier buildpacks changed.
    pub env: Env,
    /// The execution environment, such as `production` or `test`.
    pub exec_env: Option<String>,
    /// What this buildpack is to provide.
    pub plan: Vec<PlanEntry>,
    /// What an earlier build of this image wrote with [`BuildContext::write_store`].
    pub store: toml::Table,
    /// This program itself, for buildpacks that put a copy of it into the image.
    pub program: PathBuf,
    /// Where the user reads.
    pub log: Log,
}

/// One entry of the Buildpack Plan (requirement A57).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PlanEntry {
    /// The name that this buildpack provides.
    pub name: String,
    /// What the buildpack that requires it had to say.
    #[serde(default)]
    pub metadata: toml::Table,
}

impl DetectContext {
    /// Returns a variable of the environment unless it is missing, empty or not UTF-8.
    pub fn var(&self, name: &str) -> Option<&str> {
        var(&self.env, name)
    }
}

impl BuildContext {
    /// Returns a variable of the environment unless it is missing, empty or not UTF-8.
    pub fn var(&self, name: &str) -> Option<&str> {
        var(&self.env, name)
    }

    /// Returns whether this buildpack is to provide `name`.
    pub fn provides(&self, name: &str) -> bool {
        self.plan.iter().any(|entry| entry.name == name)
    }

    /// Returns the same build of the app in a folder of the app.
    #[must_use]
    pub fn in_folder(&self, folder: &str) -> Self {
        let app_dir = if folder == "." { self.app_dir.clone() } else { self.app_dir.join(folder) };
        Self { app_dir, ..self.clone() }
    }

    /// Reads what the user set for this build: the files of `<platform>/env` (requirement A67).
    pub fn user_env(&self) -> Result<Env, Failure> {
        let mut env = Env::new();
        let dir = self.platform_dir.join("env");
        if !dir.is_dir() {
            return Ok(env);
        }
        for entry in fs_err::read_dir(dir)? {
            let entry = entry?;
            if entry.path().is_file() {
                let bytes = fs_err::read(entry.path())?;
                env.insert(entry.file_name(), std::os::unix::ffi::OsStringExt::from_vec(bytes));
            }
        }
        Ok(env)
    }
}

/// Returns a variable unless it is missing, empty or not UTF-8.
pub fn var<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
    env.get(OsStr::new(name)).and_then(|v| v.to_str()).filter(|v| !v.is_empty())
}

/// Returns whether a variable says yes: anything but `0`, `false`, `no` and `off`.
pub fn is_on(value: Option<&str>) -> bool {
    value.is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off"))
}

/// Finds an executable file on the `PATH` of an environment.
pub fn find_program(env: &Env, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |p: &Path| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let path = env.get(OsStr::new("PATH"))?;
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|p| p.is_absolute() && runs(p))
}

#[cfg(test)]
mod tests {
    use super::is_on;

    #[test]
    fn a_switch_is_on_unless_it_says_no() {
        assert!(is_on(Some("1")) && is_on(Some("true")));
        assert!(!is_on(None) && !is_on(Some("0")) && !is_on(Some("False")));
    }
}
