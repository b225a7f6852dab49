//! Which Node.js an app gets: this machine's own when it fits, else the registry's package, else a download.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::layer::{LayerTypes, Scope, metadata};
use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};
use cnb_buildpack::wanted::{self, Wanted};
use cnb_buildpack::{BuildContext, Failure, tree};
use cnb_spec::env::{Action, Env};

use crate::engines::{CHOSEN_FOR, Demand};
use crate::fetch::{self, INCLUDE};
use crate::npm::Npm;
use crate::package::Package;
use crate::range::{Range, Version};

/// The layer of the runtime.
pub(crate) const LAYER: &str = "node";
/// A runtime that was fetched stays for the next build; later buildpacks may use it.
const FETCHED: LayerTypes = LayerTypes { launch: false, build: true, cache: true };

/// A Node.js to build with and to ship.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    /// Its version.
    pub(crate) version: Version,
    /// The executable file.
    pub(crate) node: PathBuf,
    /// The npm that installs.
    pub(crate) npm: Npm,
    /// The Node.js that runs npm.
    pub(crate) npm_node: PathBuf,
    /// The folder with `include/node`, where its headers are there: native packages need not download them.
    pub(crate) headers: Option<PathBuf>,
    /// What the layer of a fetched runtime is known by; `None` for this machine's own.
    fetched: Option<toml::Table>,
}

/// Lists what the app asks for, in the order in which it counts.
pub(crate) fn wishes(app: &Path, env: &Env, package: &Package) -> Vec<Option<Wanted>> {
    let asked = |name: &'static str| Wanted::new(var(env, name).unwrap_or_default(), name);
    vec![
        asked("CNB_NODE_VERSION"),
        asked("BP_NODE_VERSION"),
        Wanted::in_file(app, ".nvmrc"),
        Wanted::in_file(app, ".node-version"),
        Wanted::in_version_managers(app, &["nodejs", "node"]),
        package.volta().and_then(|v| Wanted::new(v, "`volta.node` of package.json")),
        package.engine().and_then(|v| Wanted::new(v, "`engines.node` of package.json")),
    ]
}

/// This machine's own Node.js.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) node: PathBuf,
    pub(crate) version: Version,
}

/// Finds the runtime for an app; what its packages demand is within what the app asks for.
pub(crate) fn find(
    cx: &BuildContext,
    package: &Package,
    demand: Option<&Demand>,
) -> Result<Runtime, Failure> {
    let wish = wanted::choose(&cx.log, "Node.js", wishes(&cx.app_dir, &cx.env, package));
    let range = match &wish {
        Some(w) => Range::parse(&w.version).ok_or_else(|| {
            Failure::new(format!("`{}` in {} is no version of Node.js", w.version, w.source))
                .next("write a version or a range, such as `20`, `>=18 <23` or `lts/*`")
        })?,
        None => Range::parse("*").ok_or_else(|| Failure::new("failed to read a range"))?,
    };
    let host = host(cx)?;
    if let Some(demand) = demand {
        let text = demand.version.to_string();
        let exact = Range::parse(&text).unwrap_or(range);
        return fetched(cx, host.as_ref(), &text, &exact, &demand.packages, ", its packages need it");
    }
    let asked =
        wish.as_ref().map_or_else(String::new, |w| format!(", {} asks for `{}`", w.source, w.version));
    if let Some(host) = host.as_ref().filter(|h| range.contains(h.version)) {
        cx.log.step(format!("Node.js {} (of this machine{asked})", host.version));
        let npm = Npm::of_this_machine(&cx.env).ok_or_else(|| {
            Failure::new("there is no npm beside this machine's Node.js").next("install npm on this machine")
        })?;
        return Ok(Runtime {
            version: host.version,
            node: host.node.clone(),
            npm_node: host.node.clone(),
            headers: bin(&host.node).parent().filter(|p| p.join(INCLUDE).is_dir()).map(Path::to_owned),
            npm,
            fetched: None,
        });
    }
    let text = wish.as_ref().map_or("*", |w| w.version.as_str());
    fetched(cx, host.as_ref(), text, &range, "", &asked)
}

fn fetched(
    cx: &BuildContext,
    host: Option<&Host>,
    text: &str,
    range: &Range,
    packages: &str,
    asked: &str,
) -> Result<Runtime, Failure> {
    let restored = cx.restored_metadata(LAYER);
    let field = |name: &str| restored.get(name).and_then(toml::Value::as_str);
    let headers = cx.kept_layer("node-headers")?;
    let known = field("wish") == Some(text)
        && field("arch") == Some(&cx.target.arch)
        && field(CHOSEN_FOR).unwrap_or_default() == packages
        && cx.layer_path(LAYER).join("bin/node").is_file();
    let (metadata, version) =
        if let Some(version) = field("version").and_then(Version::parse).filter(|_| known) {
            cx.log.step(format!("Node.js {version} (fetched in an earlier build{asked})"));
            (restored, version)
        } else {
            let choice = fetch::choose(cx, host, text, range)?;
            cx.log.step(format!("Node.js {} (from {}{asked})", choice.version, choice.place()));
            let version = choice.version.to_string();
            let metadata = metadata(&[
                ("wish", text),
                ("version", &version),
                ("arch", &cx.target.arch),
                (CHOSEN_FOR, packages),
            ]);
            tree::remove(&headers.join("include"))?;
            cx.cached_layer(LAYER, FETCHED, &metadata, |layer| {
                fetch::fetch(cx, host, &choice, &layer.path, &headers)?;
                layer.set_env(&Scope::Launch, "NODE_ENV", Action::Default, "production")?;
                Ok(None)
            })?;
            (metadata, choice.version)
        };
    cx.write_layer_toml(LAYER, FETCHED, &metadata)?;
    let node = cx.layer_path(LAYER).join("bin/node");
    let npm = Npm::of_this_machine(&cx.env)
        .or_else(|| Npm::at(&cx.layer_path(LAYER).join("lib/node_modules/npm")))
        .ok_or_else(|| Failure::new("there is no npm on this machine").next("install npm on this machine"))?;
    let npm_node = match host {
        Some(host) if !npm.runs_with(version) => host.node.clone(),
        _ => node.clone(),
    };
    let headers = headers.join(INCLUDE).is_dir().then_some(headers);
    Ok(Runtime { version, node, npm, npm_node, headers, fetched: Some(metadata) })
}

impl Runtime {
    /// Puts the runtime into the image.
    pub(crate) fn ship(&self, cx: &BuildContext) -> Result<(), Failure> {
        if let Some(metadata) = &self.fetched {
            cx.write_layer_toml(LAYER, LayerTypes { launch: true, ..FETCHED }, metadata)?;
        } else {
            let meta = fs_err::metadata(&self.node)?;
            let metadata = metadata(&[
                ("version", &self.version.to_string()),
                ("arch", &cx.target.arch),
                ("size", &meta.size().to_string()),
                ("changed", &format!("{}.{}", meta.mtime(), meta.mtime_nsec())),
            ]);
            cx.cached_layer(LAYER, LayerTypes::LAUNCH, &metadata, |layer| {
                let bin = layer.path.join("bin");
                fs_err::create_dir_all(&bin)?;
                fs_err::copy(&self.node, bin.join("node"))?;
                copy_libraries(cx, &self.node, &layer.path.join("lib"))?;
                layer.set_env(&Scope::Launch, "NODE_ENV", Action::Default, "production")?;
                Ok(None)
            })?;
        }
        let version = self.version.to_string();
        let purl = format!("pkg:generic/node@{}", purl_segment(&version));
        let component = Component::new(Kind::Application, "node", &version, purl).license(Some("MIT"));
        cx.write_layer_sbom(LAYER, &Sbom::from_iter([component]))
    }

    /// Leaves the runtime out of the image.
    pub(crate) fn leave_out(&self, cx: &BuildContext) -> Result<(), Failure> {
        if self.fetched.is_none() { cx.remove_layer(LAYER) } else { Ok(()) }
    }
}

/// Libraries that every run image for native programs has.
const STANDARD: &[&str] = &[
    "libc.so",
    "libm.so",
    "libdl.so",
    "libpthread.so",
    "librt.so",
    "libstdc++.so",
    "libgcc_s.so",
    "ld-linux",
    "linux-vdso",
];

/// Copies the libraries that this machine's Node.js needs beyond the standard ones.
fn copy_libraries(cx: &BuildContext, node: &Path, lib: &Path) -> Result<(), Failure> {
    let Some(ldd) = find_program(&cx.env, "ldd") else { return Ok(()) };
    // A static program is no error worth a stop.
    let Ok(text) = Command::new(ldd, Path::new("/"), &cx.env).args([node]).read() else { return Ok(()) };
    for (name, path) in libraries(&text) {
        fs_err::create_dir_all(lib)?;
        fs_err::copy(path, lib.join(name))?;
    }
    Ok(())
}

/// Reads the output of `ldd`.
fn libraries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(" => ")?;
        let path = rest.split(" (").next()?.trim();
        (path.starts_with('/') && !STANDARD.iter().any(|s| name.starts_with(s))).then_some((name, path))
    })
}

/// Where the store remembers what this machine's `node` said of itself.
const STORE: &str = "host-node";

/// Finds this machine's Node.js; what it says of itself is remembered, so that it need not be asked again.
pub(crate) fn host(cx: &BuildContext) -> Result<Option<Host>, Failure> {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    if cx.target.arch != arch {
        return Ok(None);
    }
    let Some(found) = find_program(&cx.env, "node") else { return Ok(None) };
    let stamp = stamp(&found)?;
    let stored = cx.store.get(STORE).and_then(toml::Value::as_table);
    let text = |name: &str| stored.and_then(|s| s.get(name)).and_then(toml::Value::as_str);
    let known = || {
        let node = PathBuf::from(text("path")?);
        let fresh = text("found") == Some(&stamp) && text("file") == Some(&self::stamp(&node).ok()?);
        let version = Version::parse(text("version")?)?;
        fresh.then_some(Host { node, version })
    };
    if let Some(host) = known() {
        cx.write_store(cx.store.clone())?;
        return Ok(Some(host));
    }
    let said = Command::new(&found, &cx.app_dir, &cx.env)
        .args(["-p", "process.version + '\\n' + require('fs').realpathSync(process.execPath)"])
        .title("node --version")
        .read();
    let said = match said {
        Ok(said) => said,
        Err(failure) => {
            cx.log.warning(format!("this machine's Node.js does not run: {failure}"));
            return Ok(None);
        }
    };
    let mut lines = said.lines();
    let (Some(version), Some(node)) = (lines.next().and_then(Version::parse), lines.next()) else {
        return Ok(None);
    };
    let host = Host { node: PathBuf::from(node), version };
    let file = self::stamp(&host.node)?;
    let known =
        metadata(&[("path", node), ("found", &stamp), ("file", &file), ("version", &version.to_string())]);
    cx.write_store([(STORE.to_owned(), toml::Value::Table(known))].into_iter().collect())?;
    Ok(Some(host))
}

/// Names a file so that another one in its place is noticed.
fn stamp(file: &Path) -> Result<String, Failure> {
    let path = file.canonicalize().map_err(Failure::on(format!("failed to find `{}`", file.display())))?;
    let meta = fs_err::metadata(&path)?;
    Ok(format!("{} {} {}.{}", path.display(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

/// The program folder of a runtime.
pub(crate) fn bin(node: &Path) -> &Path {
    node.parent().unwrap_or(Path::new("/usr/bin"))
}

/// Makes an empty folder beside the layers.
pub(crate) fn scratch(cx: &BuildContext, name: &str) -> Result<PathBuf, Failure> {
    let dir = cx.layers_dir.join(name);
    tree::remove(&dir)?;
    fs_err::create_dir_all(&dir)?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::{Package, libraries, wishes};

    #[test]
    fn the_nearest_wish_counts() {
        let dir = tempfile::tempdir().unwrap();
        let package = Package::parse(r#"{"engines":{"node":">=18"},"volta":{"node":"20.5.0"}}"#).unwrap();
        let first = |asked: &str| {
            let env = [("CNB_NODE_VERSION".into(), asked.into())].into();
            let wish = wishes(dir.path(), &env, &package).into_iter().flatten().next().unwrap();
            (wish.version, wish.source)
        };
        let check = |asked: &str, version: &str, source: &str| {
            assert_eq!(first(asked), (version.to_owned(), source.to_owned()));
        };
        let write = |name: &str, text: &str| fs_err::write(dir.path().join(name), text).unwrap();
        check("", "20.5.0", "`volta.node` of package.json");
        write(".tool-versions", "nodejs 21.1.0\n");
        check("", "21.1.0", ".tool-versions");
        write(".node-version", "20.1.0\n");
        check("", "20.1.0", ".node-version");
        write(".nvmrc", "# ours\n\n lts/iron # until 2026\n");
        check("", "lts/iron", ".nvmrc");
        check("22", "22", "CNB_NODE_VERSION");
    }

    #[test]
    fn libraries_beyond_the_standard_ones_are_found() {
        let text = "\tlinux-vdso.so.1 (0x0)\n\tlibnode.so.108 => /lib/x/libnode.so.108 (0x1)\n\
                    \tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n\tlibz.so.1 => not found\n";
        assert_eq!(libraries(text).collect::<Vec<_>>(), [("libnode.so.108", "/lib/x/libnode.so.108")]);
    }
}
