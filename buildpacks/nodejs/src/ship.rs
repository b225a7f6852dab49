//! What goes into the image: the runtime, the packages, and a package manager where the app starts with it.

use std::path::{Path, PathBuf};

use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{Failure, tree};

use crate::app::App;
use crate::imports::Installed;
use crate::lock::{self, Lock};
use crate::modules::Kind;
use crate::plan::Step;
use crate::script::Script;
use crate::{ALL, PRODUCTION, installed, manager, modules, steps};

/// The layer of npm, for apps that run it when they start.
const NPM: &str = "npm";
/// The layer of Bun, for apps that it runs.
const BUN: &str = "bun";

impl App<'_> {
    /// Puts runtime and packages into the image.
    pub(crate) fn ship(&self, built: Option<&str>, script: Option<&Script>) -> Result<(), Failure> {
        self.ship_runtime(script)?;
        let mut kept = self.kept_dev_tools(script);
        if kept.is_empty() && built.is_some() && self.modules.has_dev() {
            kept = self.imported()?;
        } else if !kept.is_empty() {
            self.cx.log.warning(format!(
                "development dependencies are part of the image, since the app starts with {}; \
                 move what is needed to `dependencies`, or start without it",
                kept.join(", ")
            ));
        }
        if !self.modules.has_packages() {
            self.cx.remove_layer(PRODUCTION)?;
            return self.cx.remove_layer(ALL);
        }
        if kept.is_empty() && !self.modules.has_production_packages() {
            return self.cx.remove_layer(PRODUCTION);
        }
        let launch = LayerTypes::LAUNCH_CACHE;
        let layer = if built.is_some() && (!self.modules.has_dev() || !kept.is_empty()) {
            let all = self.layer_of_all();
            modules::remove_litter(&self.cx.layer_path(all))?;
            self.modules.retype(all, launch, Kind::All)?;
            all
        } else if !kept.is_empty() {
            self.modules.install(ALL, launch, Kind::All)?;
            ALL
        } else if self.tool.is_some() && built.is_some() && self.keeps_all() {
            modules::remove_litter(&self.cx.layer_path(ALL))?;
            self.modules.retype(ALL, launch, Kind::All)?;
            ALL
        } else if let Some(changed) = built.filter(|_| self.changes_packages(&self.cx.layer_path(ALL))) {
            self.modules.prune(ALL, PRODUCTION, launch, changed)?;
            PRODUCTION
        } else {
            self.modules.install(PRODUCTION, launch, Kind::Production)?;
            PRODUCTION
        };
        if layer == ALL {
            self.cx.remove_layer(PRODUCTION)?;
        }
        self.modules.reach(layer, &self.target.dir)?;
        self.modules.link(layer).map(drop)
    }

    /// Lists the packages that what was built imports and that production does not have.
    fn imported(&self) -> Result<Vec<String>, Failure> {
        let installed = Installed { app: &self.cx.app_dir, layer: &self.cx.layer_path(ALL) };
        let found = installed.missing(&steps::files(self.cx), self.target)?;
        if !found.is_empty() {
            self.cx.log.step(format!(
                "all packages are part of the image, since what was built imports {}, which only development has",
                found.join(", ")
            ));
        }
        Ok(found)
    }

    /// Whether packages of development stay in the image, since what the build changed in the packages, or the manager
    /// itself, does not allow to leave them out.
    fn keeps_all(&self) -> bool {
        self.changes_packages(&self.cx.layer_path(ALL))
            || self.tool.is_some_and(|tool| !tool.manager.can_leave_out_dev())
    }

    /// Returns whether scripts of the build change the packages below `dir`: patches, generated clients.
    pub(crate) fn changes_packages(&self, dir: &Path) -> bool {
        dir.join(modules::DIR).join(".prisma").is_dir() || self.steps.iter().any(Step::is_after_install)
    }

    fn kept_dev_tools(&self, script: Option<&Script>) -> Vec<String> {
        let lock = lock::own(&self.cx.app_dir).map(|name| Lock::read(&self.cx.app_dir.join(name)));
        let lock = lock.unwrap_or_default();
        let installed = self.cx.layer_path(ALL).join(modules::DIR);
        let by_command =
            |word: &str| self.tool.and_then(|_| installed::dev_provider(&installed, self.package(), word));
        let mut tools: Vec<String> =
            self.started(script).flat_map(|s| s.dev_tools(self.package(), &lock, &by_command)).collect();
        tools.sort();
        tools.dedup();
        tools
    }

    /// Lists everything that the image can start; a `Procfile` wins over the start script.
    fn started<'s>(&'s self, script: Option<&'s Script>) -> impl Iterator<Item = &'s Script> {
        let has_own_web = self.procfile.iter().any(|(kind, _)| kind == "web");
        script.filter(|_| !has_own_web).into_iter().chain(self.procfile.iter().map(|(_, s)| s))
    }

    /// Puts the runtime into the image, with npm or Bun where those start the app.
    pub(crate) fn ship_runtime(&self, script: Option<&Script>) -> Result<(), Failure> {
        self.runtime.ship(self.cx)?;
        self.ship_npm(script)
    }

    fn ship_npm(&self, script: Option<&Script>) -> Result<(), Failure> {
        let foreign = self.started(script).find_map(Script::foreign_manager);
        self.ship_bun(foreign.is_some_and(|name| name.starts_with("bun")))?;
        if let Some(manager) = foreign.filter(|name| !name.starts_with("bun") || self.bun().is_none()) {
            self.cx.log.warning(format!("the app starts with `{manager}`, which is not part of the image"));
        }
        if !self.started(script).any(Script::needs_npm) {
            return self.cx.remove_layer(NPM);
        }
        let npm = &self.runtime.npm;
        self.cx.cached_layer(NPM, LayerTypes::LAUNCH, &metadata(&[("version", &npm.version)]), |layer| {
            let inside = layer.path.join("lib/node_modules/npm");
            fs_err::create_dir_all(layer.path.join("lib/node_modules"))?;
            fs_err::create_dir_all(layer.path.join("bin"))?;
            tree::copy(&npm.root, &inside)?;
            for (name, file) in [("npm", "npm-cli.js"), ("npx", "npx-cli.js")] {
                let target = PathBuf::from("../lib/node_modules/npm/bin").join(file);
                tree::link(&target, &layer.path.join("bin").join(name))?;
            }
            Ok(None)
        })?;
        Ok(())
    }

    /// The program of a Bun that manages the packages.
    fn bun(&self) -> Option<PathBuf> {
        self.tool.filter(|tool| tool.manager.kind == manager::Kind::Bun).map(|tool| tool.bin.join("bun"))
    }

    /// Puts Bun into the image, for apps that it runs.
    fn ship_bun(&self, wanted: bool) -> Result<(), Failure> {
        let Some((program, tool)) = self.bun().filter(|_| wanted).zip(self.tool) else {
            return self.cx.remove_layer(BUN);
        };
        let metadata = metadata(&[("package", &tool.manager.registry_package(&self.cx.target.arch))]);
        self.cx.cached_layer(BUN, LayerTypes::LAUNCH, &metadata, |layer| {
            let bin = layer.path.join("bin");
            fs_err::create_dir_all(&bin)?;
            fs_err::copy(program, bin.join("bun"))?;
            tree::link(Path::new("bun"), &bin.join("bunx"))?;
            Ok(None)
        })?;
        Ok(())
    }

    /// A site needs neither Node.js nor packages in the image.
    pub(crate) fn leave_out_server(&self) -> Result<(), Failure> {
        self.runtime.leave_out(self.cx)?;
        self.cx.remove_layer(NPM)?;
        self.cx.remove_layer(BUN)?;
        self.leave_out_packages()
    }

    pub(crate) fn leave_out_packages(&self) -> Result<(), Failure> {
        if self.layer_of_all() == ALL { self.cx.remove_layer(PRODUCTION) } else { Ok(()) }
    }
}
