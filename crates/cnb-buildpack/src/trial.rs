//! Runs a buildpack's `bin/detect` and `bin/build` as a platform would, for the tests of buildpacks.

use std::io::Write;
use std::path::{Path, PathBuf};

use cnb_spec::env::Env;

use crate::command::Command;
use crate::context::{find_program, is_on, var};
use crate::{Failure, tree};

/// The directories of one app, kept over several builds.
#[derive(Debug)]
pub struct Trial {
    dir: PathBuf,
    base: Env,
}

/// A buildpack as its own tests know it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The folder of its crate, with `buildpack.toml` and `tests/fixtures`.
    pub manifest_dir: &'static str,
    /// Its program.
    pub program: &'static str,
    /// The tools of the machine that it needs.
    pub tools: &'static [&'static str],
}

impl Subject {
    /// Returns the folder of a fixture.
    pub fn fixture(&self, name: &str) -> PathBuf {
        Path::new(self.manifest_dir).join("tests/fixtures").join(name)
    }

    /// Prepares a trial with a fixture below the empty directory `dir`, `None` where a tool is missing: the test is
    /// skipped then, and says so. In CI that is a failure.
    pub fn trial(&self, dir: &Path, fixture: &str) -> Result<Option<Trial>, Failure> {
        self.trial_with(dir, fixture, tool_env())
    }

    /// Does the same with another environment than [`tool_env`].
    pub fn trial_with(&self, dir: &Path, fixture: &str, env: Env) -> Result<Option<Trial>, Failure> {
        if let Some(tool) = self.tools.iter().find(|tool| find_program(&env, tool).is_none()) {
            if is_on(var(&env, "CI")) {
                return Err(Failure::new(format!("there is no `{tool}` on the PATH"))
                    .because("in CI no test is skipped")
                    .next("install it"));
            }
            // Who runs the tests should know; that nobody reads it is no failure.
            let _ = writeln!(std::io::stderr(), "skipped: there is no `{tool}` on the PATH");
            return Ok(None);
        }
        let trial = Trial::new(dir, Path::new(self.manifest_dir), Path::new(self.program), env)?;
        trial.use_app(&self.fixture(fixture))?;
        Ok(Some(trial))
    }
}

/// What a phase did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// How it ended, in words.
    pub status: String,
    /// What it printed.
    pub output: String,
    /// The Build Plan that it wrote (detection alone).
    pub plan: String,
}

impl Trial {
    /// Prepares a trial below the empty directory `dir`, of the buildpack whose crate is `manifest_dir` and whose
    /// program is `program`; its processes start with the environment `base`.
    pub fn new(dir: &Path, manifest_dir: &Path, program: &Path, base: Env) -> Result<Self, Failure> {
        let trial = Self { dir: dir.to_owned(), base };
        let bin = trial.buildpack_dir().join("bin");
        for dir in
            [bin.clone(), trial.app_dir(), trial.layers_dir(), dir.join("platform/env"), dir.join("home")]
        {
            fs_err::create_dir_all(dir)?;
        }
        fs_err::copy(manifest_dir.join("buildpack.toml"), trial.buildpack_dir().join("buildpack.toml"))?;
        tree::link(program, &bin.join("detect"))?;
        tree::link(program, &bin.join("build"))?;
        Ok(trial)
    }

    /// Makes a layer one that other trials of the same tests share: a cache of downloads.
    pub fn share(&self, layer: &str, folder: &Path) -> Result<(), Failure> {
        fs_err::create_dir_all(folder)?;
        tree::link(folder, &self.layers_dir().join(layer))
    }

    /// Replaces the app by a copy of `source`, as each build of a platform starts with one.
    pub fn use_app(&self, source: &Path) -> Result<(), Failure> {
        tree::remove(&self.app_dir())?;
        tree::copy(source, &self.app_dir())
    }

    /// Sets what a user would set with `--env`.
    pub fn set(&self, name: &str, value: &str) -> Result<(), Failure> {
        Ok(fs_err::write(self.dir.join("platform/env").join(name), value)?)
    }

    /// Returns the app directory.
    pub fn app_dir(&self) -> PathBuf {
        self.dir.join("app")
    }

    /// Returns the buildpack's layers directory.
    pub fn layers_dir(&self) -> PathBuf {
        self.dir.join("layers")
    }

    fn buildpack_dir(&self) -> PathBuf {
        self.dir.join("buildpack")
    }

    /// Runs `bin/detect`.
    pub fn detect(&self) -> Result<Outcome, Failure> {
        let plan = self.dir.join("build-plan.toml");
        fs_err::write(&plan, "")?;
        let mut outcome = self.phase("detect", &[("CNB_BUILD_PLAN_PATH", &plan)])?;
        outcome.plan = fs_err::read_to_string(&plan)?;
        Ok(outcome)
    }

    /// Runs `bin/build` with an empty Buildpack Plan.
    pub fn build(&self) -> Result<Outcome, Failure> {
        self.build_for(&[])
    }

    /// Runs `bin/build` with a Buildpack Plan that asks for `names`.
    pub fn build_for(&self, names: &[&str]) -> Result<Outcome, Failure> {
        let plan = self.dir.join("plan.toml");
        let entries: String =
            names.iter().flat_map(|name| ["[[entries]]\nname = \"", name, "\"\n"]).collect();
        fs_err::write(&plan, entries)?;
        let layers = self.layers_dir();
        self.phase("build", &[("CNB_BP_PLAN_PATH", &plan), ("CNB_LAYERS_DIR", &layers)])
    }

    /// Brings the layers directory into the state in which the next build finds it (requirement C58).
    pub fn restore(&self) -> Result<(), Failure> {
        let layers = self.layers_dir();
        for entry in fs_err::read_dir(&layers)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(layer) = name.strip_suffix(".toml") else { continue };
            if matches!(layer, "launch" | "build") {
                tree::remove(&path)?;
                continue;
            }
            if layer == "store" {
                continue;
            }
            let table: toml::Table = cnb_fs::toml_file::read_host(&path)?;
            let is = |name: &str| {
                table.get("types").and_then(|t| t.get(name)).and_then(toml::Value::as_bool).unwrap_or(false)
            };
            if !is("cache") {
                tree::remove(&layers.join(layer))?;
            }
            if is("cache") || (is("launch") && !is("build")) {
                let metadata = table.get("metadata").cloned();
                let kept: toml::Table = metadata.map(|m| ("metadata".to_owned(), m)).into_iter().collect();
                fs_err::write(&path, kept.to_string())?;
            } else {
                tree::remove(&path)?;
                for format in ["cdx.json", "spdx.json"] {
                    tree::remove(&layers.join(format!("{layer}.sbom.{format}")))?;
                }
            }
        }
        Ok(())
    }

    fn phase(&self, name: &str, more: &[(&str, &Path)]) -> Result<Outcome, Failure> {
        let program = self.buildpack_dir().join("bin").join(name);
        let mut env = self.base.clone();
        for entry in fs_err::read_dir(self.dir.join("platform/env"))? {
            let entry = entry?;
            env.insert(entry.file_name(), fs_err::read_to_string(entry.path())?.into());
        }
        let log = crate::log::Log::new(|_| {});
        let mut command = Command::new(program, &self.app_dir(), &env)
            .env("HOME", self.dir.join("home"))
            .env("CNB_BUILDPACK_DIR", self.buildpack_dir())
            .env("CNB_PLATFORM_DIR", self.dir.join("platform"))
            .env("CNB_TARGET_OS", "linux")
            .env("CNB_TARGET_ARCH", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
        for (name, value) in more {
            command = command.env(name, value);
        }
        let output = command.stream(&log)?;
        Ok(Outcome {
            success: output.success,
            status: output.status,
            output: output.tail,
            plan: String::new(),
        })
    }
}

/// Returns the variables of this process that the tools of languages need: where they are and how they reach
/// their registries.
#[expect(clippy::disallowed_methods, reason = "tests alone call this, to pass their own environment on")]
pub fn tool_env() -> Env {
    const NAMES: &[&str] = &[
        "PATH",
        "CI",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "GOPROXY",
        "GOSUMDB",
        "GONOSUMDB",
    ];
    let wanted = |name: &str| {
        NAMES.contains(&name)
            || name.to_ascii_lowercase().ends_with("_proxy")
            || name.to_ascii_lowercase().starts_with("npm_config_")
    };
    let mut env: Env = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(wanted)).collect();
    // Tests have a home of their own, where Cargo's settings are not.
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo").into_os_string());
    if let Some(cargo) = std::env::var_os("CARGO_HOME").or(home) {
        env.insert("CARGO_HOME".into(), cargo);
    }
    env
}
