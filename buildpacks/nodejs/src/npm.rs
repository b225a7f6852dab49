//! The `npm` command: how it is run here, and what its failures mean.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

use crate::modules;
use crate::package::{FILE, Package};
use crate::plan::Step;
use crate::range::{Range, Version};
use crate::runtime::{self, Runtime};

/// The binding that holds a `.npmrc` with the logins of registries.
const BINDING: &str = "npmrc";

/// An npm.
#[derive(Clone, Debug)]
pub(crate) struct Npm {
    /// The folder of the npm package.
    pub(crate) root: PathBuf,
    /// Its version.
    pub(crate) version: String,
    /// The Node.js versions that it runs with.
    engines: Option<Range>,
}

impl Npm {
    /// Finds the machine's npm.
    pub(crate) fn of_this_machine(env: &Env) -> Option<Self> {
        let cli = find_program(env, "npm")?.canonicalize().ok()?;
        let beside = cli.parent().and_then(Path::parent);
        // Some installations have a script in `bin` and the package in `lib`.
        let in_lib = beside.map(|p| p.join("lib/node_modules/npm"));
        Self::at(beside?).or_else(|| Self::at(&in_lib?))
    }

    /// Reads the npm package in a folder.
    pub(crate) fn at(root: &Path) -> Option<Self> {
        let package = Package::read(root).ok().filter(|p| p.text("name") == Some("npm"))?;
        Some(Self {
            root: root.to_owned(),
            version: package.text("version")?.to_owned(),
            engines: package.engine().and_then(Range::parse),
        })
    }

    /// Returns whether it runs with a Node.js.
    pub(crate) fn runs_with(&self, version: Version) -> bool {
        self.engines.as_ref().is_none_or(|e| e.contains(version))
    }

    pub(crate) fn cli(&self) -> PathBuf {
        self.root.join("bin/npm-cli.js")
    }
}

/// npm as this build uses it.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    cx: &'a BuildContext,
    node: PathBuf,
    npm: Npm,
    env: Env,
}

impl<'a> Runner<'a> {
    /// Makes a runner of the npm that installs for a runtime; scripts find the runtime first on their PATH.
    pub(crate) fn new(cx: &'a BuildContext, runtime: &Runtime) -> Result<Self, Failure> {
        let bin = runtime::bin(&runtime.node);
        let cache = cx.kept_layer("npm-cache")?;
        let mut env = cx.env.clone();
        let path = std::iter::once(bin.to_owned())
            .chain(std::env::split_paths(cx.env.get(OsStr::new("PATH")).map_or(OsStr::new(""), |p| p)));
        let path = std::env::join_paths(path).map_err(Failure::on("failed to set PATH"))?;
        env.insert("PATH".into(), path);
        env.insert("npm_config_cache".into(), cache.into());
        if let Some(file) = cx.binding(BINDING)?.and_then(|b| b.file(".npmrc")) {
            env.insert("npm_config_userconfig".into(), file.into());
        }
        if let Some(headers) = runtime.headers.as_ref().filter(|_| cx.var("npm_config_nodedir").is_none()) {
            env.insert("npm_config_nodedir".into(), headers.into());
        }
        let defaults = [
            ("npm_config_audit", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_update_notifier", "false"),
            ("npm_config_progress", "false"),
            ("npm_config_loglevel", "warn"),
            ("npm_config_logs_max", "0"),
            // Neither git hooks, browsers for tests nor reports to makers belong into an image.
            ("HUSKY", "0"),
            ("CYPRESS_INSTALL_BINARY", "0"),
            ("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"),
            ("NEXT_TELEMETRY_DISABLED", "1"),
            ("NUXT_TELEMETRY_DISABLED", "1"),
            ("ASTRO_TELEMETRY_DISABLED", "1"),
            ("NG_CLI_ANALYTICS", "false"),
            ("TURBO_TELEMETRY_DISABLED", "1"),
            ("NX_DAEMON", "false"),
            ("NX_NO_CLOUD", "true"),
            ("DISABLE_OPENCOLLECTIVE", "1"),
        ];
        for (name, value) in defaults {
            if var(&cx.env, name).is_none() {
                env.insert(name.into(), value.into());
            }
        }
        Ok(Self { cx, node: runtime.npm_node.clone(), npm: runtime.npm.clone(), env })
    }

    /// Puts a folder of programs in front of what scripts find.
    pub(crate) fn prefer(&mut self, bin: &Path) -> Result<(), Failure> {
        let path = self.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let path = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
        self.env
            .insert("PATH".into(), std::env::join_paths(path).map_err(Failure::on("failed to set PATH"))?);
        Ok(())
    }

    /// Sets a variable for what is run.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    /// Returns the environment that installations have.
    pub(crate) fn install_env(&self) -> Env {
        let mut env = self.env.clone();
        env.remove(OsStr::new("NODE_ENV"));
        env
    }

    /// Makes a command that installs: what `NODE_ENV` says must not decide which packages that are.
    pub(crate) fn install(&self, dir: &Path, args: &[&str]) -> Command {
        self.command(dir, &self.install_env(), args)
    }

    /// Makes a command that does a step of the build.
    pub(crate) fn step(&self, step: &Step) -> Result<Command, Failure> {
        let mut env = self.env.clone();
        if self.cx.var("NODE_ENV").is_none() {
            env.insert("NODE_ENV".into(), "production".into());
        }
        let dir = self.cx.app_dir.join(step.dir());
        match step {
            Step::Script { name, .. } => Ok(self.command(&dir, &env, &["run", name]).title(step.to_string())),
            Step::Tool { program, args, .. } => {
                let bins = [&dir, &self.cx.app_dir].map(|d| d.join(modules::DIR).join(".bin"));
                let found = bins.iter().map(|bin| bin.join(program)).find(|p| p.is_file());
                let found = found.ok_or_else(|| {
                    Failure::new(format!("`{program}` is not among the packages"))
                        .next(format!("add the package that provides it to the dependencies in {FILE}"))
                })?;
                let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
                let path = std::env::join_paths(bins.into_iter().chain(std::env::split_paths(&path)))
                    .map_err(Failure::on("failed to set PATH"))?;
                env.insert("PATH".into(), path);
                Ok(Command::new(found, &dir, &env).args(args).title(step.to_string()))
            }
        }
    }

    fn command(&self, dir: &Path, env: &Env, args: &[&str]) -> Command {
        let title = format!("npm {}", args.join(" "));
        Command::new(&self.node, dir, env).args([self.npm.cli()]).args(args).title(title)
    }
}
