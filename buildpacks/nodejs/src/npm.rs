//! The `npm` command: how it is run here, and what its failures mean.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Cause, Command};
use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

use crate::package::Package;
use crate::range::{Range, Version};
use crate::runtime::{self, Runtime};

/// What npm and its helpers say when something is wrong, and what it means.
pub(crate) const CAUSES: &[Cause] = &[
    Cause {
        says: "EUNSUPPORTEDPROTOCOL",
        means: "a dependency is written in a way that npm does not know, such as `workspace:`",
        next: "this buildpack installs with npm: write the dependency as a version or `file:`",
    },
    Cause {
        says: "ERESOLVE",
        means: "the packages' peer dependencies contradict each other",
        next: "update the packages, or put `legacy-peer-deps=true` into the app's `.npmrc`",
    },
    Cause {
        says: "EINTEGRITY",
        means: "a package is not the one that the lock file names",
        next: "find out which is right before you change the lock file",
    },
    Cause {
        says: "EBADENGINE",
        means: "a package refuses this version of Node.js or npm",
        next: "name a version that it accepts in `engines.node` or `.nvmrc`",
    },
    Cause {
        says: "gyp ERR! find Python",
        means: "a package compiles native code and Python is missing",
        next: "install python3 on this machine, or use a version of the package with prebuilt binaries",
    },
    Cause {
        says: "not found: make",
        means: "a package compiles native code and make is missing",
        next: "install make and a C++ compiler on this machine",
    },
    Cause {
        says: "gyp ERR!",
        means: "a package's native code could not be compiled",
        next: "read the lines above; a C++ compiler, make, python3 and the Node.js headers must be on this machine",
    },
    Cause {
        says: "E401",
        means: "the package registry wants to know who is asking",
        next: "put the registry's token into the app's `.npmrc`, as `${NPM_TOKEN}` with `--env NPM_TOKEN=…`",
    },
    Cause {
        says: "E403",
        means: "the package registry refuses a package",
        next: "check the registry's rules and the token in `.npmrc`",
    },
    Cause {
        says: "E404",
        means: "a package is not in the registry",
        next: "check its name; for a private package, name its registry in the app's `.npmrc`",
    },
    Cause {
        says: "ETARGET",
        means: "a version of a package is not in the registry",
        next: "choose a published version in `package.json`",
    },
    Cause {
        says: "SELF_SIGNED_CERT_IN_CHAIN",
        means: "the package registry's certificate is not trusted here",
        next: "add the registry's authority to this machine's CA certificates",
    },
    Cause {
        says: "unable to get local issuer certificate",
        means: "the package registry's certificate is not trusted here",
        next: "add the registry's authority to this machine's CA certificates",
    },
    Cause {
        says: "ENOTFOUND",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "EAI_AGAIN",
        means: "the package registry cannot be reached: its name does not resolve",
        next: "check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "ECONNRESET",
        means: "the connection to the package registry broke",
        next: "try again; check the network and the proxy",
    },
    Cause {
        says: "ECONNREFUSED",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "ETIMEDOUT",
        means: "the package registry does not answer in time",
        next: "try again; check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "JavaScript heap out of memory",
        means: "Node.js ran out of memory",
        next: "set `NODE_OPTIONS=--max-old-space-size=4096` with `--env`, or split the build",
    },
    Cause {
        says: "ERR_OSSL_EVP_UNSUPPORTED",
        means: "an old build tool wants a hash that this Node.js no longer has",
        next: "update the tool, or set `NODE_OPTIONS=--openssl-legacy-provider` with `--env`",
    },
    Cause { says: "ENOSPC", means: "the disk is full", next: "free space, or allow the build more" },
    Cause {
        says: "command not found",
        means: "a script uses a command that is neither installed here nor a dependency",
        next: "add the package that provides it to the dependencies in `package.json`",
    },
    Cause {
        says: ": not found",
        means: "a script uses a command that is neither installed here nor a dependency",
        next: "add the package that provides it to the dependencies in `package.json`",
    },
];

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

    /// Makes a command that runs a script of the app.
    pub(crate) fn script(&self, dir: &Path, name: &str) -> Command {
        let mut env = self.env.clone();
        if self.cx.var("NODE_ENV").is_none() {
            env.insert("NODE_ENV".into(), "production".into());
        }
        self.command(dir, &env, &["run", name])
    }

    fn command(&self, dir: &Path, env: &Env, args: &[&str]) -> Command {
        let title = format!("npm {}", args.join(" "));
        Command::new(&self.node, dir, env).args([self.npm.cli()]).args(args).title(title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_cannot_be_reached_is_named_as_the_cause() {
        for code in ["EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT"] {
            let line = format!("npm error code {code}");
            let cause = CAUSES.iter().find(|c| line.contains(c.says)).map(|c| c.means);
            assert!(cause.is_some_and(|means| means.contains("registry")), "{code}: {cause:?}");
        }
    }
}
