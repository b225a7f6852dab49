//! uv, which installs for all managers: this machine's own, or the registry's package of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Cause, Command};
use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

use crate::index;

/// The layer of a uv that this machine does not have.
const LAYER: &str = "uv";

/// What the tools say when something is wrong, and what it means.
pub(crate) const CAUSES: &[Cause] = &[
    Cause {
        says: "No solution found",
        means: "the requirements contradict each other, or this Python",
        next: "read the lines above: they name the packages; loosen one, or ask for another Python with `.python-version`",
    },
    Cause {
        says: "hash mismatch",
        means: "a package is not the one that the lock file names",
        next: "find out which is right before you change the lock file",
    },
    Cause {
        says: "Hash mismatch",
        means: "a package is not the one that the lock file names",
        next: "find out which is right before you change the lock file",
    },
    Cause {
        says: "Python.h: No such file",
        means: "a package has to be compiled, and this machine's Python has no headers",
        next: "install the headers of Python (python3-dev), or a version of the package that has a wheel",
    },
    Cause {
        says: "pg_config",
        means: "psycopg2 has to be compiled, which needs PostgreSQL's headers",
        next: "use `psycopg2-binary` or `psycopg[binary]`, or install libpq-dev on this machine",
    },
    Cause {
        says: "error: command 'gcc' failed",
        means: "a package has to be compiled, and that failed",
        next: "the lines above say what is missing; a newer version of the package may have a wheel for this Python",
    },
    Cause {
        says: "error: command 'cc' failed",
        means: "a package has to be compiled, and that failed",
        next: "the lines above say what is missing; a newer version of the package may have a wheel for this Python",
    },
    Cause {
        says: "Failed to build",
        means: "a package that has no wheel for this Python could not be built",
        next: "ask for a version that has one, or for the Python that the package was made for, with `.python-version`",
    },
    Cause {
        says: "was not found in the package registry",
        means: "there is no such package",
        next: "check its spelling, and whether it needs a registry of its own (binding of type `pip`)",
    },
    Cause {
        says: "dns error",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy, and the address of the registry in `pip.conf`",
    },
    Cause {
        says: "error sending request",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy, and the address of the registry in `pip.conf`",
    },
    Cause {
        says: "No space left on device",
        means: "the disk is full",
        next: "free space, or allow the build more",
    },
];

/// A uv, and the environment to run it in.
#[derive(Clone, Debug)]
pub(crate) struct Uv {
    program: PathBuf,
    env: Env,
}

impl Uv {
    /// Finds it, or fetches it with the pip of `host`, a Python of this machine.
    pub(crate) fn find(cx: &BuildContext, host: &Path) -> Result<Self, Failure> {
        let mut env = cx.env_without_bindings();
        env.extend(index::settings(cx)?);
        for (name, value) in [
            // Layers are layers: nothing in one may be a link into another.
            ("UV_LINK_MODE", "copy"),
            ("UV_NO_PROGRESS", "1"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("UV_NO_CONFIG_DISCOVERY", "0"),
            ("PYC_INVALIDATION_MODE", "UNCHECKED_HASH"),
            // Versions from git tags: a build has no history.
            ("SETUPTOOLS_SCM_PRETEND_VERSION", "0.0.0"),
            ("PDM_BUILD_SCM_VERSION", "0.0.0"),
            ("POETRY_NO_INTERACTION", "1"),
            ("PIPENV_NOSPIN", "1"),
            ("PYTHONHASHSEED", "0"),
        ] {
            if var(&env, name).is_none() {
                env.insert(name.into(), value.into());
            }
        }
        env.insert("UV_CACHE_DIR".into(), cx.kept_layer("uv-cache")?.into());
        let program = match find_program(&env, "uv") {
            Some(program) => {
                // A layer of an earlier build has no use any more.
                cx.remove_layer(LAYER)?;
                program
            }
            None => fetch(cx, host, &env)?,
        };
        Ok(Self { program, env })
    }

    /// Makes a command that starts in `dir`.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, dir: &Path, args: impl IntoIterator<Item = A>) -> Command {
        Command::new(&self.program, dir, &self.env).args(args)
    }

    /// The environment that other tools run in, too.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }
}

fn fetch(cx: &BuildContext, host: &Path, env: &Env) -> Result<PathBuf, Failure> {
    let types = LayerTypes::CACHE;
    let layer =
        cx.cached_layer(LAYER, types, &metadata(&[("format", "1"), ("arch", &cx.target.arch)]), |layer| {
            let pip = Command::new(host, &cx.layers_dir, env)
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target"])
                .args([layer.path.join("lib")])
                .args(["uv"])
                .env("PIP_NO_CACHE_DIR", "1")
                .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
                .env("PIP_ROOT_USER_ACTION", "ignore")
                .title("pip install uv");
            let output = pip.stream(&cx.log)?;
            if output.says("No module named pip") {
                return Err(Failure::new("there is neither uv nor pip on this machine")
                    .next("install uv, or pip for this machine's Python (python3-pip)"));
            }
            if output.success { Ok(None) } else { Err(pip.failure(&output, CAUSES)) }
        })?;
    let program = layer.path.join("lib/bin/uv");
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new("what pip installed as uv has no program `uv`").next("install uv on this machine"))
}
