//! Which buildpacks a build uses, and in which groups they are tried.
//!
//! `--buildpack` and `project.toml` name a directory, a tarball, a `.cnb` file, or `id[@version]` of a
//! bundled buildpack; without either, the default order is tried (requirements F11, G5, G6).

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, HostPath, atomic, toml_file};
use cnb_image::archive;
use cnb_image::unpack::{self, Limits};
use cnb_spec::buildpack::buildpack_toml::BuildpackDescriptor;
use cnb_spec::exec_env::ExecEnvs;
use cnb_spec::id::ModuleId;
use cnb_spec::platform::order_toml::{OrderEntry, OrderFile, OrderGroup};

use crate::guest::MountedBuildpack;
use crate::parts::BundledBuildpack;
use crate::{Failure, FailureKind};

/// The groups of the embedded default builder: the language in front, `cnb/procfile` behind it if it applies.
///
/// In an app of another language `cnb/nodejs` builds a front-end that this one asks for.
const DEFAULT_ORDER: &[&[(&str, bool)]] = &[
    &[("cnb/nodejs", true), ("cnb/go", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", true), ("cnb/rust", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", true), ("cnb/java", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", true), ("cnb/python", false), ("cnb/procfile", true)],
    &[("cnb/nodejs", false), ("cnb/procfile", true)],
    &[("cnb/static", false), ("cnb/procfile", true)],
    &[("cnb/procfile", false)],
];

/// The most bytes that a packaged buildpack may have, unpacked: 4 GiB.
const PACKAGE_LIMITS: Limits = Limits { bytes: 4 << 30, entries: 1_000_000 };

/// A buildpack that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub id: ModuleId,
    pub version: String,
    pub host: HostPath,
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
        return unpack_file(&path, scratch);
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

fn read_descriptor(dir: &HostPath) -> Result<Found, Failure> {
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
    Ok(Found { id, version, host: dir.clone(), named: true })
}

/// Unpacks a `.cnb` file or a tarball, compressed or not.
fn unpack_file(path: &Path, scratch: &HostPath) -> Result<Vec<Found>, Failure> {
    let bad =
        || Failure::new(FailureKind::Request, format!("failed to unpack the buildpack `{}`", path.display()));
    fs::create_dir_all(scratch.as_path())
        .map_err(|e| bad().because(FsError::on("create", scratch.as_path())(e)))?;
    let host = HostPath::absolute(path);
    if let Ok(image) = archive::read_oci(&host, None, None) {
        for (number, layer) in image.layers().iter().enumerate() {
            let dir = scratch.join(format!("layer-{number}"));
            unpack::unpack(layer, &dir, PACKAGE_LIMITS, None).map_err(|e| bad().because(e))?;
        }
        let dirs = packaged(scratch, image.layers().len()).map_err(|e| bad().because(e))?;
        let mut found = dirs.iter().map(read_descriptor).collect::<Result<Vec<_>, _>>()?;
        let about = about(image.config().config.labels.get(PACKAGE_METADATA).map_or("", String::as_str));
        for module in &mut found {
            module.named = about
                .as_ref()
                .is_some_and(|(id, version)| id == module.id.as_str() && *version == module.version);
        }
        if !found.iter().any(|f| f.named) {
            let no_name = format!("the label {PACKAGE_METADATA} names none of the buildpacks in it");
            return Err(Failure::new(
                FailureKind::Request,
                format!("`{}` is no buildpackage: {no_name}", path.display()),
            ));
        }
        return Ok(found);
    }
    let dir = scratch.join("tarball");
    untar(path, &dir).map_err(|e| bad().because(e))?;
    // A tarball of a folder has the folder as its only entry.
    let mut top = dir.clone();
    if !top.join("buildpack.toml").as_path().exists() {
        let entries: Vec<_> = fs::read_dir(dir.as_path()).into_iter().flatten().flatten().collect();
        if let [only] = &entries[..] {
            top = HostPath::absolute(only.path());
        }
    }
    Ok(vec![read_descriptor(&top)?])
}

/// The label of a package that names the buildpack it is about (requirement F4).
const PACKAGE_METADATA: &str = "io.buildpacks.buildpackage.metadata";

/// Returns ID and version of the buildpack that a package is about.
fn about(label: &str) -> Option<(String, String)> {
    let label: serde_json::Value = serde_json::from_str(label).ok()?;
    let text = |key: &str| Some(label.get(key)?.as_str()?.to_owned());
    Some((text("id")?, text("version")?))
}

/// The folders of all buildpacks in an unpacked package.
fn packaged(scratch: &HostPath, layers: usize) -> Result<Vec<HostPath>, FsError> {
    let mut found = Vec::new();
    for number in 0..layers {
        let top = scratch.join(format!("layer-{number}/cnb/buildpacks"));
        for id in subfolders(&top)? {
            found.extend(subfolders(&id)?);
        }
    }
    Ok(found)
}

fn subfolders(dir: &HostPath) -> Result<Vec<HostPath>, FsError> {
    let entries = match fs::read_dir(dir.as_path()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FsError::on("list", dir.as_path())(e)),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| HostPath::absolute(e.path()))
        .collect();
    found.sort();
    Ok(found)
}

fn untar(path: &Path, dir: &HostPath) -> Result<(), FsError> {
    let read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        let mut magic = [0u8; 2];
        let length = file.read(&mut magic)?;
        file.rewind()?;
        let gzip = length == 2 && magic == [0x1f, 0x8b];
        let reader: Box<dyn Read> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
        // A bomb ends at the limit with an error of the archive, not with a full disk.
        let mut archive = tar::Archive::new(reader.take(PACKAGE_LIMITS.bytes));
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(false);
        let temporary = atomic::beside(dir.as_path());
        fs::create_dir_all(&temporary)?;
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.into_owned();
            // `unpack_in` refuses names and links that lead out of the folder.
            if !entry.unpack_in(&temporary)? {
                return Err(std::io::Error::other(format!(
                    "the entry `{}` leads out of the archive",
                    name.display()
                )));
            }
        }
        crate::workdir::let_read(&temporary).map_err(std::io::Error::other)?;
        fs::rename(&temporary, dir.as_path())
    };
    read().map_err(FsError::on("unpack", path))
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
