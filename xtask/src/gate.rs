//! The one test command: everything that a change must pass, in the order in which it fails fastest.
//!
//! As root, peers that tests need (engines, a registry, image tools) are installed first as Debian packages;
//! without root, tests that miss one say that they were skipped.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fs_err as fs;

use crate::mutations;
use crate::package::{self, Options, Package};

/// The programs that tests use as peers, and the Debian packages that bring them.
const PEERS: &[(&str, &str)] = &[
    ("bwrap", "bubblewrap"),
    ("curl", "curl"),
    ("dockerd", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("gradle", "gradle"),
    ("newuidmap", "uidmap"),
    ("openssl", "openssl"),
    ("perl", "perl-base"),
    // Examples have a database.
    ("pg_ctlcluster", "postgresql"),
    ("podman", "podman"),
    // Some specification cases use it for registries that misbehave.
    ("python3", "python3"),
    ("runc", "runc"),
    ("setpriv", "util-linux"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("zstd", "zstd"),
];

/// What of the environment counts.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where programs are looked for.
    pub path: OsString,
    /// Whether nothing may be skipped: `CI=true`.
    pub ci: bool,
    /// Where cargo keeps the sources of dependencies.
    pub cargo_home: PathBuf,
}

/// A command of the gate.
struct Step {
    name: &'static str,
    program: &'static str,
    args: Vec<String>,
    env: &'static [(&'static str, &'static str)],
}

fn step(name: &'static str, program: &'static str, args: &[&str]) -> Step {
    Step { name, program, args: args.iter().map(|a| (*a).to_owned()).collect(), env: &[] }
}

/// Runs everything in the workspace `root`; `say` gets one line for each step.
///
/// # Errors
/// The first step that failed, by name.
pub fn run(root: &Path, around: &Surroundings, say: &(dyn Fn(&str) + Sync)) -> Result<(), String> {
    install_peers(around, say)?;
    let mounts = mounts();
    let doc = Step {
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        ..step("documentation", "cargo", &["doc", "--workspace", "--no-deps", "--document-private-items"])
    };
    for step in [
        step("format", "cargo", &["fmt", "--all", "--check"]),
        step("lints", "cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        doc,
        step("tests", "cargo", &["test", "--workspace"]),
        step("release build", "cargo", &["build", "--release"]),
    ] {
        execute(root, &step, say)?;
    }
    let package = package(root, around, say)?;
    let platform = root.join("target/release/cnb");
    try_package(root, around, &package, &platform, say)?;
    let needed = crate::examples::missing(root, &[], &around.path).map_err(|e| format!("examples: {e}"))?;
    if around.ci && !needed.is_empty() {
        return Err(format!("examples need {}", needed.join(", ")));
    }
    let start = Instant::now();
    let count = crate::examples::run_all(root, &platform, &[], say).map_err(|e| format!("examples: {e}"))?;
    say(&format!("==> examples: {count} commands passed in {} s", start.elapsed().as_secs()));
    let left: Vec<String> = self::mounts().difference(&mounts).cloned().collect();
    if left.is_empty() { Ok(()) } else { Err(format!("mounts were left behind: {}", left.join(", "))) }
}

/// Packages the lifecycle, twice: the second time cargo has nothing to do, and the bytes must be the same.
fn package(root: &Path, around: &Surroundings, say: &(dyn Fn(&str) + Sync)) -> Result<Package, String> {
    say("==> package: cargo xtask package lifecycle");
    let start = Instant::now();
    let options = Options { output: None, target: None, cargo_home: around.cargo_home.clone() };
    let once = || package::lifecycle(root, &options).map_err(|e| format!("package: {e}"));
    let (first, package) = (once()?, once()?);
    if first.sha256 != package.sha256 {
        return Err(format!("package: `{}` has other bytes each time", package.archive.display()));
    }
    say(&format!("==> package: passed in {} s", start.elapsed().as_secs()));
    Ok(package)
}

/// Runs what is packaged: in an image without anything else, and, with the command `platform`, against the
/// specification. A second, dynamic lifecycle would be one that nobody is given.
fn try_package(
    root: &Path,
    around: &Surroundings,
    package: &Package,
    platform: &Path,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(), String> {
    let missing = missing(around, &["bwrap", "docker-registry", "python3"]);
    if !missing.is_empty() {
        let what = format!("package trial and specification cases need {}", missing.join(", "));
        if around.ci {
            return Err(what);
        }
        say(&format!("skipped: {what}"));
        return Ok(());
    }
    say("==> package trial: in an image without anything else");
    package::trial::run(root, package).map_err(|e| format!("package trial: {e}"))?;
    say("==> specification cases");
    let start = Instant::now();
    let text = |text: &str| say(text.trim_end_matches('\n'));
    let summary = crate::spec::own(&package.lifecycle_dir, &package.launcher, platform, &text)
        .map_err(|e| format!("specification cases: {e}"))?;
    if summary.failed > 0 || (around.ci && summary.skipped > 0) {
        return Err(format!("specification cases: {summary}"));
    }
    say(&format!("==> specification cases: {} passed in {} s", summary.passed, start.elapsed().as_secs()));
    say("==> mutations: cargo xtask spec --mutations");
    let start = Instant::now();
    let summary = crate::spec::faults(root, &mutations::Options::default(), &text)
        .map_err(|e| format!("mutations: {}", cnb_spec_tests::cli::describe(&e)))?;
    if summary.survived > 0 {
        return Err(format!("mutations: {} faults are caught by no case", summary.survived));
    }
    say(&format!("==> mutations: {} faults caught in {} s", summary.caught, start.elapsed().as_secs()));
    Ok(())
}

fn execute(root: &Path, step: &Step, say: &(dyn Fn(&str) + Sync)) -> Result<(), String> {
    say(&format!("==> {}: {} {}", step.name, step.program, step.args.join(" ")));
    let start = Instant::now();
    let status =
        Command::new(step.program).args(&step.args).envs(step.env.iter().copied()).current_dir(root).status();
    match status {
        Ok(status) if status.success() => {
            say(&format!("==> {}: passed in {} s", step.name, start.elapsed().as_secs()));
            Ok(())
        }
        Ok(status) => Err(format!("{} failed: {status}", step.name)),
        Err(e) => Err(format!("{} could not start `{}`: {e}", step.name, step.program)),
    }
}

/// Installs what is missing, as root on a Debian system.
fn install_peers(around: &Surroundings, say: &(dyn Fn(&str) + Sync)) -> Result<(), String> {
    let all: Vec<&str> = PEERS.iter().map(|(program, _)| *program).collect();
    let missing = missing(around, &all);
    let packages: Vec<&str> =
        PEERS.iter().filter(|(p, _)| missing.contains(p)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    if !is_root() || !on_path(around, "apt-get") {
        say(&format!("missing peers, whose tests are skipped: {}", missing.join(", ")));
        return Ok(());
    }
    say(&format!("==> installing {}", packages.join(", ")));
    for args in
        [vec!["update", "-q"], [vec!["install", "-q", "-y", "--no-install-recommends"], packages].concat()]
    {
        let mut command = Command::new("apt-get");
        command.args(&args).env("DEBIAN_FRONTEND", "noninteractive");
        // Services of the packages are not for us: the tests start what they need, and end it.
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let ours = !policy.exists() && fs::write(policy, "#!/bin/sh\nexit 101\n").is_ok();
        if ours {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(policy, mode).map_err(|e| e.to_string())?;
        }
        let status = command.status();
        if ours {
            fs::remove_file(policy).map_err(|e| e.to_string())?;
        }
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("apt-get {} failed: {status}", args[0])),
            Err(e) => return Err(format!("apt-get could not be started: {e}")),
        }
    }
    Ok(())
}

fn missing<'a>(around: &Surroundings, programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|p| !on_path(around, p)).collect()
}

fn on_path(around: &Surroundings, program: &str) -> bool {
    // Root's programs may not be on the path of an ordinary user.
    std::env::split_paths(&around.path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// Root owns what it makes.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Where something is mounted now.
fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect()
}
