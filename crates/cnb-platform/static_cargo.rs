//! A second cargo that links programs statically, for places that have nothing beside them.
//!
//! Cargo cannot link some programs of one build statically and others not, and `crt-static` without `--target`
//! breaks procedural macros; so this cargo has a target and a target directory of its own.
//! The file belongs to the build script, and is also a module of `xtask`: what is packaged is built as what is
//! carried (`docs/adr/0010-static-parts.md`).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs that `cnb` carries: the package, and its program.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("cnb-launcher", "launcher"),
    ("cnb-sandbox", "cnb-init"),
    ("cnb-procfile", "buildpack-procfile"),
    ("cnb-static", "buildpack-static"),
    ("cnb-nodejs", "buildpack-nodejs"),
    ("cnb-go", "buildpack-go"),
    ("cnb-python", "buildpack-python"),
    ("cnb-rust", "buildpack-rust"),
    ("cnb-java", "buildpack-java"),
    ("cnb-shell", "buildpack-shell"),
];

/// What to build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StaticBuild<'a> {
    /// The cargo to run.
    pub(crate) cargo: &'a OsStr,
    /// Where cargo keeps the sources of dependencies; programs must not tell where that was.
    pub(crate) cargo_home: &'a Path,
    /// The folder of the workspace.
    pub(crate) workspace: &'a Path,
    /// Where to build; no other cargo that this one is started by may use it.
    pub(crate) target_dir: &'a Path,
    /// The target triple.
    pub(crate) target: &'a str,
    /// The profile, whose folder has the same name.
    pub(crate) profile: &'a str,
    /// Packages, each with its program. What is built together agrees on features, and so on bytes.
    pub(crate) programs: &'a [(&'a str, &'a str)],
    /// Variables that the sources look at.
    pub(crate) env: &'a [(&'a str, &'a str)],
}

impl StaticBuild<'_> {
    /// Builds the programs; returns the folder they are in, which has those of other builds as well.
    pub(crate) fn run(&self) -> Result<PathBuf, String> {
        let mut cargo = Command::new(self.cargo);
        cargo
            .current_dir(self.workspace)
            .args(["build", "--profile", self.profile, "--target", self.target, "--target-dir"])
            .arg(self.target_dir);
        for (package, program) in self.programs {
            cargo.args(["--package", package, "--bin", program]);
        }
        // What an outer build sets for itself must not change this one, or it would be built twice.
        for name in [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CLIPPY_ARGS",
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
        ] {
            cargo.env_remove(name);
        }
        let mut flags = OsString::from("-Ctarget-feature=+crt-static\x1f--remap-path-prefix=");
        flags.push(self.cargo_home);
        flags.push("=/cargo");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags).envs(self.env.iter().copied());
        let status = cargo.status().map_err(|e| format!("`cargo` could not be started: {e}"))?;
        if status.success() {
            Ok(self.target_dir.join(self.target).join(self.profile))
        } else {
            Err("the static programs could not be built: see cargo's message above".to_owned())
        }
    }
}

/// Returns where cargo keeps things, by what `variable` says of the environment.
pub(crate) fn cargo_home(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let by_home = || PathBuf::from(variable("HOME").unwrap_or_default()).join(".cargo");
    variable("CARGO_HOME").map_or_else(by_home, PathBuf::from)
}

/// Returns the target to link the parts for: musl where that is installed, glibc otherwise.
pub(crate) fn parts_target(rustc: &OsStr, arch: &str) -> Result<String, String> {
    let musl = format!("{arch}-unknown-linux-musl");
    Ok(if has_target(rustc, &musl)? { musl } else { format!("{arch}-unknown-linux-gnu") })
}

/// Returns whether the toolchain has the standard library for `target`.
pub(crate) fn has_target(rustc: &OsStr, target: &str) -> Result<bool, String> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|e| format!("`rustc` could not be started: {e}"))?;
    let sysroot = String::from_utf8_lossy(&output.stdout);
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir())
}
