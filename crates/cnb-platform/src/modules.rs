//! Which buildpacks a build uses, and in which groups they are tried.
//!
//! `--buildpack` and `project.toml` name a directory, a tarball, a `.cnb` file, or `id[@version]` of a
//! bundled buildpack; without either, the default order is tried (requirements F11, G5, G6).

use std::path::{Path, PathBuf};

use cnb_fs::{HostPath, toml_file};
use cnb_spec::buildpack::buildpack_toml::BuildpackDescriptor;
use cnb_spec::exec_env::ExecEnvs;
use cnb_spec::id::ModuleId;
use cnb_spec::platform::order_toml::{OrderEntry, OrderFile, OrderGroup};

use crate::guest::MountedBuildpack;
use crate::parts::BundledBuildpack;
use crate::{Failure, FailureKind, packages};

/// The groups of the embedded default builder: the language in front, `cnb/procfile` behind it if it applies.
///
/// In an app of another language `cnb/nodejs` builds a front-end that this one asks for.
const DEFAULT_ORDER: &[&[(&str, bool)]] = &[
    &[("cnb/nodejs", true), ("cnb/go", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", true), ("cnb/rust", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", true), ("cnb/java", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", true), ("cnb/python", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", false), ("cnb/procfile", true)],
    &[("cnb/shell", false), ("cnb/procfile", true)],
    &[("cnb/static", false), ("cnb/procfile", true)],
    &[("cnb/procfile", false)],
];

/// A buildpack that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub id: ModuleId,
    pub version: String,
    pub host: HostPath,
    pub descriptor: BuildpackDescriptor,
    /// What its specification forbids of it, or of its package.
    pub violations: Vec<String>,
    /// Whether the user asked for it; the others of a package are there for those.
    pub named: bool,
}

/// The buildpacks of a build.
#[derive(Debug)]
pub(crate) struct Modules {
    pub order: OrderFile,
    pub mounts: Vec<MountedBuildpack>,
}

/// Returns the default order over the bundled buildpacks.
pub(crate) fn default_order(bundled: &[BundledBuildpack]) -> OrderFile {
    let entry = |(id, optional): &(&str, bool)| {
        let descriptor = bundled.iter().map(|b| &b.descriptor.buildpack).find(|b| b.id == *id)?;
        Some(OrderEntry {
            id: descriptor.id.parse().ok()?,
            version: descriptor.version.clone(),
            optional: *optional,
            exec_env: ExecEnvs::default(),
        })
    };
    let group = |g: &&[(&str, bool)]| OrderGroup { group: g.iter().filter_map(entry).collect() };
    OrderFile { order: DEFAULT_ORDER.iter().map(group).collect(), order_extensions: Vec::new() }
}

/// Finds the buildpacks that `named` asks for; `scratch` takes what has to be unpacked.
pub(crate) fn find(
    named: &[String],
    base: &Path,
    bundled: &[BundledBuildpack],
    scratch: &HostPath,
) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    for (number, text) in named.iter().enumerate() {
        let dir = scratch.join(format!("buildpack-{number}"));
        all.extend(find_one(text, base, bundled, &dir)?);
    }
    Ok(all)
}

/// Finds one; a package holds several, the one it is about first.
fn find_one(
    text: &str,
    base: &Path,
    bundled: &[BundledBuildpack],
    scratch: &HostPath,
) -> Result<Vec<Found>, Failure> {
    let path = text.strip_prefix("file://").map_or_else(|| base.join(text), PathBuf::from);
    if path.is_dir() {
        return Ok(vec![read_descriptor(&HostPath::absolute(&path))?]);
    }
    if path.is_file() {
        return packages::unpack(&path, scratch);
    }
    let (id, version) = text.split_once('@').unwrap_or((text, ""));
    let of_bundled = bundled.iter().find(|b| {
        let info = &b.descriptor.buildpack;
        info.id == id && (version.is_empty() || info.version == version)
    });
    if let Some(bundled) = of_bundled {
        return Ok(vec![read_descriptor(&bundled.dir)?]);
    }
    let known: Vec<String> = bundled
        .iter()
        .map(|b| format!("{}@{}", b.descriptor.buildpack.id, b.descriptor.buildpack.version))
        .collect();
    let failure = Failure::new(FailureKind::Request, format!("no buildpack `{text}`"));
    Err(if text.contains("://") || text.starts_with("urn:") {
        failure
            .hint("only directories, tarballs, .cnb files and bundled buildpacks can be used by this version")
    } else if text.starts_with(['.', '/']) || text.contains(".tgz") || text.contains(".cnb") {
        failure.hint(format!("there is no file or directory `{}`", path.display()))
    } else {
        failure.hint(format!(
            "bundled buildpacks are {}; a directory is given by its path, such as ./{text}",
            known.join(", ")
        ))
    })
}

pub(crate) fn read_descriptor(dir: &HostPath) -> Result<Found, Failure> {
    let path = dir.join("buildpack.toml");
    let bad = |e: toml_file::TomlFileError| {
        let missing = e.is_not_found();
        let failure =
            Failure::new(FailureKind::Request, format!("`{dir}` is no usable buildpack")).because(e);
        if missing { failure.hint("a buildpack has a `buildpack.toml` in its top folder") } else { failure }
    };
    let descriptor: BuildpackDescriptor = toml_file::read_host(path.as_path()).map_err(bad)?;
    let named =
        |what: &str| Failure::new(FailureKind::Request, format!("`{path}` has no usable buildpack.{what}"));
    let id: ModuleId = descriptor.buildpack.id.parse().map_err(|e| named("id").because(e))?;
    let version = descriptor.buildpack.version.clone();
    if id.is_reserved() || matches!(version.as_str(), "" | "." | "..") || version.contains('/') {
        return Err(named(if id.is_reserved() { "id" } else { "version" }));
    }
    let violations = descriptor.violations();
    Ok(Found { id, version, host: dir.clone(), descriptor, violations, named: true })
}

/// Puts the buildpacks of a build together.
///
/// `chosen` replaces the default order when there are any; `pre` and `post` go around every group.
pub(crate) fn modules(
    chosen: &[Found],
    pre: &[Found],
    post: &[Found],
    bundled: &[BundledBuildpack],
) -> Result<Modules, Failure> {
    let entry = |f: &Found| OrderEntry {
        id: f.id.clone(),
        version: f.version.clone(),
        optional: false,
        exec_env: ExecEnvs::default(),
    };
    let named: Vec<&Found> = chosen.iter().chain(pre).chain(post).filter(|f| f.named).collect();
    check_unique(&named)?;
    let mut order = if chosen.is_empty() {
        default_order(bundled)
    } else {
        let group = OrderGroup { group: chosen.iter().filter(|f| f.named).map(entry).collect() };
        OrderFile { order: vec![group], order_extensions: Vec::new() }
    };
    for group in &mut order.order {
        group.group.splice(0..0, pre.iter().filter(|f| f.named).map(entry));
        group.group.extend(post.iter().filter(|f| f.named).map(entry));
    }
    let mut mounts: Vec<MountedBuildpack> = Vec::new();
    let bundled: Vec<Found> = bundled.iter().map(|b| read_descriptor(&b.dir)).collect::<Result<_, _>>()?;
    for found in chosen.iter().chain(pre).chain(post).chain(&bundled) {
        let mount = MountedBuildpack {
            host: found.host.clone(),
            escaped_id: found.id.escaped(),
            version: found.version.clone(),
        };
        if !mounts.iter().any(|m| m.escaped_id == mount.escaped_id && m.version == mount.version) {
            mounts.push(mount);
        }
    }
    Ok(Modules { order, mounts })
}

/// Fails if two buildpacks that a user named cannot be told apart by their IDs, in which case does not count.
fn check_unique(named: &[&Found]) -> Result<(), Failure> {
    for (number, one) in named.iter().enumerate() {
        let is_same = |other: &&&Found| {
            let differ_in_case =
                one.id != other.id && one.id.as_str().eq_ignore_ascii_case(other.id.as_str());
            let are_one = one.id == other.id && one.version == other.version;
            one.host != other.host && (differ_in_case || are_one)
        };
        if let Some(other) = named[..number].iter().find(is_same) {
            let what = format!(
                "the buildpacks `{}` and `{}` have the same ID: `{}` and `{}`",
                other.host, one.host, other.id, one.id
            );
            return Err(Failure::new(FailureKind::Request, what).hint("give each buildpack an ID of its own"));
        }
    }
    Ok(())
}
