//! `node_modules`: installed by npm into a layer, kept while what decides about it stays the same.
//!
//! npm runs inside the layer's folder, on copies of the files that decide what is installed and without the app's
//! own scripts. So a change of the source installs nothing again, and nothing of the app is inside the layer.

use std::path::{Component, Path, PathBuf};

use cnb_buildpack::command::{Command, Output};
use cnb_buildpack::layer::{Layer, LayerTypes, Scope, State, metadata};
use cnb_buildpack::log::Log;
use cnb_buildpack::{BuildContext, Failure, tree};
use cnb_spec::env::Action;

use crate::causes::CAUSES;
use crate::lock::{self, Lock};
use crate::npm::Runner;
use crate::package::{FILE, Package};
use crate::runtime::Runtime;
use crate::tool::Tool;
use crate::workspaces::Target;
use crate::{installed, manager};

/// The folder of installed packages.
pub(crate) const DIR: &str = "node_modules";
/// The lock file that a manager wrote where the app has none that matches, as the layer keeps it.
const MADE_LOCK: &str = "made-lock";
/// What tools leave in the folder that no image needs.
const LITTER: &[&str] = &[
    ".cache",
    ".vite",
    ".vite-temp",
    ".package-lock.json",
    ".modules.yaml",
    ".pnpm-workspace-state.json",
    ".pnpm-workspace-state-v1.json",
    ".yarn-integrity",
    ".yarn-state.yml",
];

/// Which packages a layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Those of production.
    Production,
    /// All of them.
    All,
}

impl Kind {
    fn flag(self) -> &'static str {
        match self {
            Self::Production => "--omit=dev",
            Self::All => "--include=dev",
        }
    }
}

/// What is to be installed.
#[derive(Debug)]
pub(crate) struct Modules<'a> {
    cx: &'a BuildContext,
    runner: &'a Runner<'a>,
    /// The files that npm needs, by their path within the app, with their text.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Archives of the app that are dependencies.
    archives: Vec<PathBuf>,
    tool: Option<&'a Tool>,
    lock: Option<&'static str>,
    /// Of several packages the one whose dependencies alone are for production.
    only: Option<String>,
    has_packages: bool,
    has_production: bool,
    has_dev: bool,
    key: String,
}

impl<'a> Modules<'a> {
    /// Collects what decides about the packages of an app.
    pub(crate) fn of(
        cx: &'a BuildContext,
        runner: &'a Runner<'a>,
        package: &Package,
        target: &Target,
        runtime: &Runtime,
        tool: Option<&'a Tool>,
    ) -> Result<Self, Failure> {
        let mut key = tree::Key::default()
            .with("format", "2")
            .with("node", runtime.version.to_string())
            .with("npm", &runtime.npm.version)
            .with("arch", &cx.target.arch)
            .with(FILE, package.dependency_fields());
        let mut files = vec![(PathBuf::from(FILE), package.for_install().into_bytes())];
        let mut has_dev = package.has_dev_dependencies();
        let local = package.local_dependencies();
        let has_workspaces = package.has_workspaces() || cx.app_dir.join("pnpm-workspace.yaml").is_file();
        if has_workspaces || !local.is_empty() {
            for path in manifests(&cx.app_dir)? {
                // A folder may hold one that is broken on purpose: npm reports it if it matters.
                let Ok(inner) = Package::read(&cx.app_dir.join(&path)) else { continue };
                has_dev |= has_workspaces && inner.has_dev_dependencies();
                let path = path.join(FILE);
                key = key.with(&path.to_string_lossy(), inner.dependency_fields());
                files.push((path, inner.for_install().into_bytes()));
            }
        }
        let lock = match tool {
            Some(tool) => {
                key = key.with("manager", tool.manager.registry_package(&cx.target.arch));
                for path in settings(&cx.app_dir, tool.manager.kind)? {
                    let bytes = fs_err::read(cx.app_dir.join(&path))?;
                    key = key.with(&path.to_string_lossy(), &bytes);
                    files.push((path, bytes));
                }
                tool.manager.lock
            }
            None => lock::own(&cx.app_dir),
        };
        for name in lock.into_iter().chain([".npmrc"]) {
            if let Ok(bytes) = fs_err::read(cx.app_dir.join(name)) {
                key = key.with(name, &bytes);
                files.push((PathBuf::from(name), bytes));
            }
        }
        let archives: Vec<PathBuf> =
            local.into_iter().map(PathBuf::from).filter(|p| cx.app_dir.join(p).is_file()).collect();
        for archive in &archives {
            key = key.with(&archive.to_string_lossy(), tree::hash_file(&cx.app_dir.join(archive))?);
        }
        for (name, value) in &cx.env {
            let name = name.to_string_lossy();
            if name.to_ascii_lowercase().starts_with("npm_config_") {
                key = key.with(&name, value.as_encoded_bytes());
            }
        }
        let has_packages = package.has_dependencies() || has_workspaces;
        let has_production = package.has_production_dependencies() || has_workspaces;
        let key = key.finish();
        let only = target.package.text("name").filter(|_| !target.is_root()).map(str::to_owned);
        Ok(Self { cx, runner, files, archives, tool, lock, only, has_packages, has_production, has_dev, key })
    }

    /// Returns whether there are any packages to install.
    pub(crate) fn has_packages(&self) -> bool {
        self.has_packages
    }

    /// Returns whether there are any packages to install for production.
    pub(crate) fn has_production_packages(&self) -> bool {
        self.has_production
    }

    /// Returns whether some packages are for development alone.
    pub(crate) fn has_dev(&self) -> bool {
        self.has_dev
    }

    /// Names what decides about the packages.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Says what the user should know about the lock file.
    pub(crate) fn explain_lock(&self) {
        if self.lock.is_some() {
            return;
        }
        let name = self.tool.map_or("npm", |tool| tool.manager.name());
        self.cx.log.warning(format!(
            "there is no {}: another build may install other versions; \
             `{name} install` writes one to commit",
            self.lock_name()
        ));
    }

    /// Returns whether an earlier build's layer has these packages.
    pub(crate) fn is_installed(&self, name: &str, types: LayerTypes, kind: Kind) -> bool {
        self.cx.is_reusable(name, types, &self.metadata(kind, ""))
    }

    /// Fills the layer, or uses an earlier build's.
    pub(crate) fn install(&self, name: &str, types: LayerTypes, kind: Kind) -> Result<(), Failure> {
        let metadata = self.metadata(kind, "");
        if self.is_installed(name, types, kind) {
            self.cx.log.step(format!("packages are those of an earlier build ({name})"));
        } else {
            self.explain_lock();
        }
        self.cx.cached_layer(name, types, &metadata, |layer| {
            self.copy_inputs(layer)?;
            let mut has_lock = self.lock.is_some();
            let made = self.cx.layer_path(crate::ALL).join(MADE_LOCK);
            // The same versions for production as for the build. Other managers than npm renew a lock in place.
            let is_wanted = !has_lock || self.tool.is_some();
            if is_wanted && kind == Kind::Production && made.is_file() {
                fs_err::copy(made, layer.path.join(self.lock_name()))?;
                has_lock = true;
            }
            self.run(&layer.path, kind, has_lock)?;
            self.finish(layer)
        })?;
        Ok(())
    }

    /// Fills the layer with those packages of another layer that production needs; `because` names what changed
    /// them after they were installed.
    pub(crate) fn prune(
        &self,
        from: &str,
        name: &str,
        types: LayerTypes,
        because: &str,
    ) -> Result<(), Failure> {
        self.cx.cached_layer(name, types, &self.metadata(Kind::Production, because), |layer| {
            let from = self.cx.layer_path(from);
            for (rel, _) in found(&from)? {
                tree::copy(&from.join(&rel).join(DIR), &layer.path.join(&rel).join(DIR))?;
            }
            self.copy_inputs(layer)?;
            if self.lock.is_none() && from.join(MADE_LOCK).is_file() {
                fs_err::copy(from.join(MADE_LOCK), layer.path.join("package-lock.json"))?;
            }
            self.runner
                .install(&layer.path, &["prune", "--omit=dev", "--ignore-scripts"])
                .run(&self.cx.log, CAUSES)?;
            self.finish(layer)
        })?;
        Ok(())
    }

    /// Records what the layer of these packages is for.
    pub(crate) fn retype(&self, name: &str, types: LayerTypes, kind: Kind) -> Result<(), Failure> {
        self.cx.write_layer_toml(name, types, &self.metadata(kind, ""))
    }

    fn metadata(&self, kind: Kind, because: &str) -> toml::Table {
        let (kind, only) = match kind {
            Kind::All => ("all", ""),
            Kind::Production => ("production", self.only.as_deref().unwrap_or_default()),
        };
        metadata(&[("key", &self.key), ("packages", kind), ("of", only), ("because", because)])
    }

    fn copy_inputs(&self, layer: &Layer) -> Result<(), Failure> {
        for (path, text) in &self.files {
            let to = layer.path.join(path);
            fs_err::create_dir_all(to.parent().unwrap_or(&layer.path))?;
            fs_err::write(to, text)?;
        }
        for path in &self.archives {
            let to = layer.path.join(path);
            fs_err::create_dir_all(to.parent().unwrap_or(&layer.path))?;
            fs_err::copy(self.cx.app_dir.join(path), to)?;
        }
        Ok(())
    }

    /// Runs npm, and again with what users would try next where that is known to help.
    fn run(&self, dir: &Path, kind: Kind, has_lock: bool) -> Result<(), Failure> {
        if let Some(tool) = self.tool {
            return self.run_tool(tool, dir, kind, has_lock);
        }
        let mut args = vec![if has_lock { "ci" } else { "install" }, kind.flag()];
        let only = self.only.as_ref().filter(|_| kind == Kind::Production);
        let only: Vec<String> = only.map(|name| format!("--workspace={name}")).into_iter().collect();
        if !only.is_empty() {
            args.extend(only.iter().map(String::as_str).chain(["--include-workspace-root"]));
        }
        loop {
            let command = self.runner.install(dir, &args);
            let output = self.stream(&command)?;
            if output.success {
                return Ok(());
            }
            if args[0] == "ci" && output.says("EUSAGE") {
                self.cx.log.warning(
                    "the lock file does not match package.json, so npm chooses the versions anew; \
                     run `npm install` and commit the lock file",
                );
                args[0] = "install";
            } else if !args.contains(&"--legacy-peer-deps") && output.says("ERESOLVE") {
                self.cx.log.warning(
                    "the packages' peer dependencies contradict each other; npm goes on without checking them. \
                     `legacy-peer-deps=true` in the app's `.npmrc` says the same",
                );
                args.push("--legacy-peer-deps");
            } else {
                return Err(command.failure(&output, CAUSES));
            }
            tree::remove(&dir.join(DIR))?;
        }
    }

    /// Runs another manager, and again without its lock file's word where that does not match.
    fn run_tool(&self, tool: &Tool, dir: &Path, kind: Kind, has_lock: bool) -> Result<(), Failure> {
        let manager = &tool.manager;
        let all = kind == Kind::All || !manager.can_leave_out_dev();
        let only = match (self.only.as_ref().filter(|_| !all), manager.kind) {
            (Some(name), manager::Kind::Pnpm) => {
                vec![format!("--filter={name}..."), "--filter={.}".to_owned()]
            }
            (Some(name), manager::Kind::YarnBerry) => vec![name.clone()],
            _ => Vec::new(),
        };
        let args = |frozen: bool| {
            let mut args = manager.install(all, frozen);
            args.extend(only.iter().map(String::as_str));
            args
        };
        let command = tool.command(self.cx, self.runner, dir, &args(has_lock))?;
        let output = command.stream(&self.cx.log)?;
        if output.success {
            return Ok(());
        }
        if !has_lock || !manager.says_stale().iter().any(|s| output.says(s)) {
            return Err(command.failure(&output, CAUSES));
        }
        self.cx.log.warning(format!(
            "the lock file does not match package.json, so {0} chooses versions anew; run `{0} install` and commit the \
             lock file",
            manager.name()
        ));
        tree::remove(&dir.join(DIR))?;
        tool.command(self.cx, self.runner, dir, &args(false))?.run(&self.cx.log, CAUSES)
    }

    /// Runs npm and shows what it printed, without the help text that it adds to a refusal.
    fn stream(&self, command: &Command) -> Result<Output, Failure> {
        self.cx.log.step(format!("$ {}", command.shown()));
        let output = command.stream(&Log::new(|_| {}))?;
        let shown = output.tail.split("\nnpm error Clean install a project").next().unwrap_or_default();
        self.cx.log.output(shown);
        Ok(output)
    }

    /// Leaves nothing but packages, the same whatever registry they came from.
    fn finish(&self, layer: &Layer) -> Result<Option<cnb_buildpack::sbom::Sbom>, Failure> {
        let sbom = self.sbom(layer)?;
        let made = layer.path.join(self.lock_name());
        let is_news = self.lock.is_none() || self.tool.is_some();
        if is_news && made.is_file() && layer.name == crate::ALL {
            tree::move_to(&made, &layer.path.join(MADE_LOCK))?;
        }
        for (path, _) in &self.files {
            tree::remove(&layer.path.join(path))?;
        }
        let made = [
            "package-lock.json",
            "pnpm-lock.yaml",
            "yarn.lock",
            "bun.lock",
            "bun.lockb",
            ".yarn",
            ".pnp.cjs",
        ];
        for path in self.archives.iter().map(PathBuf::as_path).chain(made.map(Path::new)) {
            tree::remove(&layer.path.join(path))?;
        }
        for (_, dir) in found(&layer.path)? {
            self.lead_links_to_app(&layer.path, &dir)?;
        }
        fs_err::create_dir_all(layer.path.join(DIR))?;
        if layer.name != crate::ALL {
            remove_litter(&layer.path)?;
        }
        Ok(Some(sbom))
    }

    fn lock_name(&self) -> &'static str {
        self.tool.map_or("package-lock.json", |tool| tool.manager.lock_name())
    }

    fn sbom(&self, layer: &Layer) -> Result<cnb_buildpack::sbom::Sbom, Failure> {
        if self.tool.is_none() {
            return Ok(Lock::read(&layer.path.join(DIR).join(".package-lock.json")).sbom());
        }
        let folders = found(&layer.path)?;
        installed::sbom(folders.iter().map(|(_, dir)| dir.as_path()))
    }

    /// Packages that are folders of the app are links; they lead out of the layer's copy into the app itself.
    fn lead_links_to_app(&self, layer: &Path, dir: &Path) -> Result<(), Failure> {
        for entry in fs_err::read_dir(dir)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_symlink() {
                let target = normal(&dir.join(fs_err::read_link(&path)?));
                if let Ok(inside) = target.strip_prefix(layer)
                    && !inside.components().any(|c| c.as_os_str() == DIR)
                {
                    tree::link(&self.cx.app_dir.join(inside), &path)?;
                }
            } else if entry.file_name().as_encoded_bytes().starts_with(b"@") {
                self.lead_links_to_app(layer, &path)?;
            }
        }
        Ok(())
    }

    /// Copies the packages of a layer into the app, and returns the paths within the app that they have there.
    ///
    /// Some build tools follow no link that leads out of the app's folder.
    pub(crate) fn place(&self, name: &str) -> Result<Vec<PathBuf>, Failure> {
        let mut placed = Vec::new();
        for (rel, dir) in found(&self.cx.layer_path(name))? {
            if self.cx.app_dir.join(&rel).is_dir() {
                let path = rel.join(DIR);
                tree::remove(&self.cx.app_dir.join(&path))?;
                tree::copy(&dir, &self.cx.app_dir.join(&path))?;
                placed.push(path);
            }
        }
        Ok(placed)
    }

    /// Moves packages that were placed in the app back into the layer, with what changed them meanwhile.
    pub(crate) fn take_back(&self, name: &str, placed: &[PathBuf]) -> Result<(), Failure> {
        for path in placed {
            let (from, to) = (self.cx.app_dir.join(path), self.cx.layer_path(name).join(path));
            tree::remove(&to)?;
            tree::move_to(&from, &to)?;
        }
        Ok(())
    }

    /// Lets what is started in a folder of the app find the commands of its packages, before those of the whole app.
    pub(crate) fn reach(&self, name: &str, dir: &Path) -> Result<(), Failure> {
        let layer = Layer { name: name.to_owned(), path: self.cx.layer_path(name), state: State::Reused };
        let mut folders = vec![self.cx.app_dir.clone()];
        if dir != Path::new("") {
            folders.insert(0, self.cx.app_dir.join(dir));
        }
        let path = std::env::join_paths(folders.iter().map(|f| f.join(DIR).join(".bin")))
            .map_err(Failure::on("failed to set PATH"))?;
        layer.set_env(&Scope::Launch, "PATH", Action::PrependPath, &path.to_string_lossy())
    }

    /// Makes the packages of a layer those of the app, and returns the paths within the app that became links.
    pub(crate) fn link(&self, name: &str) -> Result<Vec<PathBuf>, Failure> {
        let mut linked = Vec::new();
        for (rel, dir) in found(&self.cx.layer_path(name))? {
            if self.cx.app_dir.join(&rel).is_dir() {
                let path = rel.join(DIR);
                tree::link(&dir, &self.cx.app_dir.join(&path))?;
                linked.push(path);
            }
        }
        Ok(linked)
    }
}

/// Lists the files that a manager reads beside manifests and lock file.
fn settings(app: &Path, kind: manager::Kind) -> Result<Vec<PathBuf>, Failure> {
    let names: &[&str] = match kind {
        manager::Kind::Npm => &[],
        manager::Kind::Pnpm => &["pnpm-workspace.yaml", ".pnpmfile.cjs", "patches"],
        manager::Kind::YarnClassic => &[".yarnrc"],
        manager::Kind::YarnBerry => {
            &[".yarnrc.yml", ".yarn/releases", ".yarn/plugins", ".yarn/patches", "patches"]
        }
        manager::Kind::Bun => &["bunfig.toml", "patches"],
    };
    let mut found = Vec::new();
    for name in names {
        let path = app.join(name);
        if path.is_file() {
            found.push(PathBuf::from(name));
        } else if path.is_dir() {
            let files = tree::snapshot(&path, &|_| false)?;
            found.extend(
                files.into_keys().filter(|p| path.join(p).is_file()).map(|p| Path::new(name).join(p)),
            );
        }
    }
    Ok(found)
}

/// Removes what tools leave beside the packages.
pub(crate) fn remove_litter(layer: &Path) -> Result<(), Failure> {
    for (_, dir) in found(layer)? {
        for name in LITTER {
            tree::remove(&dir.join(name))?;
        }
    }
    tree::remove(&layer.join(MADE_LOCK))
}

/// Finds the package folders in a layer: the path that each belongs to, and the folder.
fn found(layer: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(rel) = todo.pop() {
        for entry in fs_err::read_dir(layer.join(&rel))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if entry.file_name() == DIR {
                found.push((rel.clone(), entry.path()));
            } else {
                todo.push(rel.join(entry.file_name()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Finds the folders below an app that have a package.json, outside of installed packages.
pub(crate) fn manifests(app: &Path) -> Result<Vec<PathBuf>, Failure> {
    folders_with(app, FILE)
}

/// Finds the folders below an app that have a file of a name, outside of installed packages.
pub(crate) fn folders_with(app: &Path, file: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(rel) = todo.pop() {
        for entry in fs_err::read_dir(app.join(&rel))? {
            let entry = entry?;
            let name = entry.file_name();
            if !entry.file_type()?.is_dir() || name == DIR || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = rel.join(name);
            if app.join(&path).join(file).is_file() {
                found.push(path.clone());
            }
            todo.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Resolves `..` by the text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Path, found, manifests, normal};

    #[test]
    fn folders_of_packages_are_found_but_not_those_inside_of_packages() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["node_modules/a/node_modules/b", "packages/x/node_modules/c"] {
            fs_err::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs_err::write(dir.path().join("packages/x/package.json"), "{}").unwrap();
        fs_err::write(dir.path().join("node_modules/a/package.json"), "{}").unwrap();
        let rels: Vec<_> = found(dir.path()).unwrap().into_iter().map(|(rel, _)| rel).collect();
        assert_eq!(rels, [Path::new(""), Path::new("packages/x")]);
        assert_eq!(manifests(dir.path()).unwrap(), [Path::new("packages/x")]);
    }

    #[test]
    fn parents_are_resolved_by_text() {
        assert_eq!(normal(Path::new("/l/node_modules/../packages/a")), Path::new("/l/packages/a"));
    }
}
