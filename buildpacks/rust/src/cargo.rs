//! Cargo as it is run: whose it is, where it keeps what it downloads, and what its errors mean.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Cause, Command};
use cnb_buildpack::context::var;
use cnb_buildpack::wanted;
use cnb_buildpack::{BuildContext, Failure, tree};
use cnb_spec::env::Env;

use crate::{manifest, toolchain};

/// The binding that holds a `credentials.toml`.
const BINDING: &str = "cargo";

/// What Cargo and the compiler say when something is wrong, and what it means.
pub(crate) const CAUSES: &[Cause] = &[
    Cause {
        says: "linker `cc` not found",
        means: "there is no C compiler to link with",
        next: "install gcc or clang on this machine (build-essential)",
    },
    Cause {
        says: "is `cmake` not installed?",
        means: "a package builds a C library with cmake, which is missing",
        next: "install cmake on this machine",
    },
    Cause {
        says: "Could not find directory of OpenSSL installation",
        means: "a package needs the headers of OpenSSL",
        next: "install libssl-dev and pkg-config, use the package with rustls, or its feature `vendored`",
    },
    Cause {
        says: "The system library",
        means: "a package needs a C library and its headers",
        next: "install the development package of the library that is named above",
    },
    Cause {
        says: "pkg-config command could not be run",
        means: "a package looks for a C library with pkg-config, which is missing",
        next: "install pkg-config, and the development package of the library, on this machine",
    },
    Cause {
        says: "Could not find `protoc`",
        means: "a package compiles protocol buffers with protoc, which is missing",
        next: "install protobuf-compiler on this machine",
    },
    Cause {
        says: "requires rustc",
        means: "a package needs a newer compiler than this machine has",
        next: "update Rust on this machine, or ask for an older version of the package",
    },
    Cause {
        says: "feature may not be used on the stable release channel",
        means: "the app needs a nightly compiler",
        next: "install one and make it the default of this machine (`rustup default nightly`)",
    },
    Cause {
        says: "Could not resolve host",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy, and the registry in Cargo's `config.toml`",
    },
    Cause {
        says: "failed to download",
        means: "a package could not be downloaded",
        next: "check the network, the proxy, and the registry in Cargo's `config.toml`",
    },
    Cause {
        says: "No space left on device",
        means: "the disk is full",
        next: "free space, or allow the build more",
    },
];

/// A cargo, and the environment to run it in.
#[derive(Clone, Debug)]
pub(crate) struct Cargo {
    program: PathBuf,
    env: Env,
    home: PathBuf,
    /// The version of the compiler, such as `1.95.0`.
    pub(crate) version: String,
}

impl Cargo {
    /// Finds this machine's, and says which it is.
    pub(crate) fn find(cx: &BuildContext) -> Result<Self, Failure> {
        let wish = wanted::choose(&cx.log, "Rust", manifest::wishes(&cx.app_dir, &cx.env));
        let toolchain = toolchain::find(cx, wish.as_ref())?;
        let mut env = cx.env_without_bindings();
        let home = cx.kept_layer("cargo-home")?;
        settings(cx, &home)?;
        env.insert("CARGO_HOME".into(), home.clone().into());
        env.insert("CARGO_TERM_COLOR".into(), "never".into());
        env.insert("CARGO_TERM_PROGRESS_WHEN".into(), "never".into());
        for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            env.remove(OsStr::new(name));
        }
        if let Some(bin) = &toolchain.bin {
            let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
            let path = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
            let path = std::env::join_paths(path).map_err(Failure::on("failed to set PATH"))?;
            env.insert("PATH".into(), path);
        }
        let said = Command::new(&toolchain.rustc, Path::new("/"), &env).args(["--version"]).read()?;
        let version = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
        match wish {
            Some(wish) if !manifest::is_asked_for(&wish.version, &version) => {
                let more = if manifest::is_nightly(&wish.version) {
                    // The compiler itself is the same; a release only refuses what is not stable yet.
                    env.insert("RUSTC_BOOTSTRAP".into(), "1".into());
                    ", with the features that are not stable"
                } else {
                    ""
                };
                cx.log.warning(format!(
                    "{} asks for Rust {}, which is not on this machine; {version} is used{more}",
                    wish.source, wish.version
                ));
            }
            _ => cx.log.step(format!("Rust {version} (of this machine)")),
        }
        Ok(Self { program: toolchain.cargo, env, home, version })
    }

    /// Makes a command that starts in the app's folder.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, app: &Path, args: impl IntoIterator<Item = A>) -> Command {
        Command::new(&self.program, app, &self.env).args(args)
    }

    /// What beside the source decides what Cargo compiles: its variables, and the user's settings.
    pub(crate) fn settings_key(&self, cx: &BuildContext) -> String {
        let mut key = tree::Key::default();
        for (name, value) in &cx.env {
            let name = name.to_string_lossy();
            if (name.starts_with("CARGO_") && name != "CARGO_HOME") || name.starts_with("RUST") {
                key = key.with(&name, value.as_encoded_bytes());
            }
        }
        key.with("config", fs_err::read(self.home.join("config.toml")).unwrap_or_default()).finish()
    }

    /// Removes what must not be kept.
    pub(crate) fn close(&self) -> Result<(), Failure> {
        tree::remove(&self.home.join("credentials.toml"))
    }
}

/// The user's settings, of which the sandbox shows the addresses; and the credentials of a binding, in their place.
fn settings(cx: &BuildContext, home: &Path) -> Result<(), Failure> {
    let own = var(&cx.env, "CARGO_HOME").map(PathBuf::from);
    let own = own.or_else(|| var(&cx.env, "HOME").map(|h| Path::new(h).join(".cargo")));
    tree::remove(&home.join("config.toml"))?;
    if let Some(config) = own.map(|o| o.join("config.toml")).filter(|c| c.is_file()) {
        fs_err::copy(config, home.join("config.toml"))?;
    }
    tree::remove(&home.join("credentials.toml"))?;
    match cx.binding(BINDING)?.and_then(|b| b.file("credentials.toml")) {
        Some(file) => tree::link(&file, &home.join("credentials.toml")),
        None => Ok(()),
    }
}
