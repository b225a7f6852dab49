//! Fetches a Node.js that this machine does not have: from the package registry, or from the language's own site.

use std::path::Path;

use cnb_buildpack::command::Command;
use cnb_buildpack::{BuildContext, Failure, download, tree};
use serde::Deserialize;

use crate::npm::Npm;
use crate::range::{Range, Version};
use crate::runtime::{Host, scratch};

/// Where the language publishes its releases.
const SITE: &str = "https://nodejs.org/dist/";

/// Where an installation has its headers.
pub(crate) const INCLUDE: &str = "include/node";

/// A Node.js that can be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) version: Version,
    from_registry: bool,
}

impl Choice {
    /// Returns where it comes from, in words.
    pub(crate) fn place(&self) -> &'static str {
        if self.from_registry { "the package registry" } else { SITE }
    }
}

/// Node's word for an architecture.
fn arch(cx: &BuildContext) -> &str {
    if cx.target.arch == "amd64" { "x64" } else { &cx.target.arch }
}

/// Chooses the newest version that fits; for one that cannot be had, the nearest, with a warning.
pub(crate) fn choose(
    cx: &BuildContext,
    host: Option<&Host>,
    text: &str,
    range: &Range,
) -> Result<Choice, Failure> {
    let mut reasons = Vec::new();
    let mut lists = Vec::new();
    match registry_versions(cx, host) {
        Ok(versions) => lists.push((true, versions)),
        Err(failure) => reasons.push(format!("the package registry: {failure}")),
    }
    if let Some(choice) = pick(&lists, range) {
        return Ok(choice);
    }
    match site_versions(cx) {
        Ok(versions) => lists.push((false, versions)),
        Err(failure) => reasons.push(failure.to_string()),
    }
    if let Some(choice) = pick(&lists, range) {
        return Ok(choice);
    }
    if let Some(choice) = pick(&lists, &range.relaxed()) {
        cx.log
            .warning(format!("Node.js `{text}` cannot be had; {} is the nearest that fits", choice.version));
        return Ok(choice);
    }
    let mut failure =
        Failure::new(format!("Node.js `{text}` is not on this machine and could not be fetched"));
    for reason in reasons {
        failure = failure.because(reason.replace("\nnext step: ", "; "));
    }
    let mut available: Vec<String> = newest_of_each_line(&lists).iter().map(Version::to_string).collect();
    available.extend(host.map(|h| format!("{} (of this machine)", h.version)));
    Err(failure
        .because(format!("available are {}", available.join(", ")))
        .next("ask for one of these in `engines.node`, `.nvmrc` or with `--env CNB_NODE_VERSION=…`"))
}

fn pick(lists: &[(bool, Vec<Version>)], range: &Range) -> Option<Choice> {
    lists.iter().find_map(|(from_registry, versions)| {
        let version = range.newest(versions.iter().copied())?;
        Some(Choice { version, from_registry: *from_registry })
    })
}

fn newest_of_each_line(lists: &[(bool, Vec<Version>)]) -> Vec<Version> {
    let mut all: Vec<Version> = lists.iter().flat_map(|(_, v)| v.iter().copied()).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.dedup_by_key(|v| v.0);
    all.truncate(8);
    all.reverse();
    all
}

fn npm(cx: &BuildContext, host: Option<&Host>, dir: &Path, args: &[&str]) -> Result<Command, Failure> {
    let (Some(host), Some(npm)) = (host, Npm::of_this_machine(&cx.env)) else {
        return Err(Failure::new("there is no npm on this machine to ask it with"));
    };
    let command = Command::new(&host.node, dir, &cx.env).args([npm.cli()]).args(args);
    let command = command.env("npm_config_update_notifier", "false").env("npm_config_loglevel", "error");
    Ok(command.env("npm_config_cache", cx.kept_layer("npm-cache")?).title(format!("npm {}", args.join(" "))))
}

/// The name of the registry's package that holds the runtime alone.
fn package(cx: &BuildContext) -> String {
    format!("node-linux-{}", arch(cx))
}

/// Lists the versions that the package registry has.
pub(crate) fn registry_versions(cx: &BuildContext, host: Option<&Host>) -> Result<Vec<Version>, Failure> {
    let text = npm(cx, host, &cx.app_dir, &["view", &package(cx), "versions", "--json"])?.read()?;
    let versions: Vec<String> =
        serde_json::from_str(&text).map_err(Failure::on("failed to read the answer of `npm view`"))?;
    Ok(versions.iter().filter_map(|v| Version::parse(v)).collect())
}

fn site_versions(cx: &BuildContext) -> Result<Vec<Version>, Failure> {
    #[derive(Deserialize)]
    struct Release {
        version: String,
        files: Vec<String>,
    }
    let dir = scratch(cx, ".node-index")?;
    let file = dir.join("index.json");
    let listed = download::download(&cx.env, &format!("{SITE}index.json"), &file, None)
        .and_then(|()| Ok(fs_err::read(&file)?));
    tree::remove(&dir)?;
    let releases: Vec<Release> =
        serde_json::from_slice(&listed?).map_err(Failure::on("failed to read the list of releases"))?;
    let kind = format!("linux-{}", arch(cx));
    let fits = releases.iter().filter(|r| r.files.contains(&kind));
    Ok(fits.filter_map(|r| Version::parse(&r.version)).collect())
}

/// Fetches into a folder: `bin/node`, and npm where this machine has none; the headers for native packages go into
/// another folder, where there are any.
pub(crate) fn fetch(
    cx: &BuildContext,
    host: Option<&Host>,
    choice: &Choice,
    to: &Path,
    headers: &Path,
) -> Result<(), Failure> {
    let dir = scratch(cx, ".node-fetch")?;
    let fetched = if choice.from_registry {
        from_registry(cx, host, choice, &dir)
    } else {
        from_site(cx, choice, &dir)
    };
    fetched?;
    let unpacked = dir.join("unpacked");
    let node = unpacked.join("bin/node");
    if !node.is_file() {
        return Err(Failure::new(format!(
            "what was fetched as Node.js {} has no `bin/node`",
            choice.version
        )));
    }
    fs_err::create_dir_all(to.join("bin"))?;
    tree::move_to(&node, &to.join("bin/node"))?;
    if unpacked.join(INCLUDE).is_dir() {
        fs_err::create_dir_all(headers.join("include"))?;
        tree::move_to(&unpacked.join(INCLUDE), &headers.join(INCLUDE))?;
    }
    let npm = unpacked.join("lib/node_modules/npm");
    if host.is_none() && npm.is_dir() {
        fs_err::create_dir_all(to.join("lib/node_modules"))?;
        tree::move_to(&npm, &to.join("lib/node_modules/npm"))?;
    }
    tree::remove(&dir)
}

fn from_registry(cx: &BuildContext, host: Option<&Host>, choice: &Choice, dir: &Path) -> Result<(), Failure> {
    let spec = format!("{}@{}", package(cx), choice.version);
    // npm checks the integrity that the registry publishes.
    let name = npm(cx, host, dir, &["pack", &spec, "--silent"])?.read()?;
    let archive = dir.join(name.trim().lines().last().unwrap_or_default());
    download::unpack(&cx.env, &archive, &dir.join("unpacked"))
}

fn from_site(cx: &BuildContext, choice: &Choice, dir: &Path) -> Result<(), Failure> {
    let version = choice.version;
    let file = format!("node-v{version}-linux-{}.tar.gz", arch(cx));
    let sums = dir.join("SHASUMS256.txt");
    download::download(&cx.env, &format!("{SITE}v{version}/SHASUMS256.txt"), &sums, None)?;
    let sums = fs_err::read_to_string(&sums)?;
    let sum = sums.lines().find_map(|l| l.split_once("  ").filter(|(_, name)| *name == file));
    let (sum, _) = sum.ok_or_else(|| Failure::new(format!("{SITE} publishes no checksum for `{file}`")))?;
    let archive = dir.join(&file);
    download::download(&cx.env, &format!("{SITE}v{version}/{file}"), &archive, Some(sum))?;
    download::unpack(&cx.env, &archive, &dir.join("unpacked"))
}
