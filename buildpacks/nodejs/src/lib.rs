//! Node.js applications with npm, pnpm, Yarn or Bun: the runtime, the packages, the build script, and what to start.
//!
//! Reading order: `intent` (detection), [`package`], [`range`], `runtime` (with `fetch`), `npm`, [`manager`] (with `tool`),
//! `modules` (with [`lock`] and `installed`), [`steps`], [`script`], [`start`]; the build that joins them is here.

mod engines;
mod fetch;
mod installed;
mod intent;
pub mod lock;
pub mod manager;
mod modules;
mod npm;
pub mod package;
pub mod range;
mod runtime;
pub mod script;
pub mod start;
pub mod steps;
mod tool;

use std::path::{Path, PathBuf};

use cnb_buildpack::context::is_on;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, Process, assets, tree};

use engines::Demand;
use lock::Lock;
use manager::Manager;
use modules::{Kind, Modules};
use npm::Runner;
use package::{FILE, Package};
use runtime::Runtime;
use script::Script;
use steps::Steps;
use tool::Tool;

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Nodejs;

/// The layer of the packages of production.
pub(crate) const PRODUCTION: &str = "modules";
/// The layer of all packages.
pub(crate) const ALL: &str = "dev-modules";
/// The layer of npm, for apps that run it when they start.
const NPM: &str = "npm";
/// The layer of Bun, for apps that it runs.
const BUN: &str = "bun";
/// The packages while building; which of them go into the image is known only after it.
const BUILDING: LayerTypes = LayerTypes::CACHE;

impl Buildpack for Nodejs {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        intent::detect(cx)
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        let folder = assets::front_end(&cx.app_dir).filter(|_| cx.provides(assets::NAME));
        if let Some(folder) = folder {
            cx.log.step(format!("the front-end in {} is built for the app", shown(folder)));
        }
        let cx = &cx.in_folder(folder.unwrap_or("."));
        let has_package = cx.app_dir.join(FILE).is_file();
        let package = if has_package { Package::read(&cx.app_dir)? } else { Package::default() };
        let installed = cx.app_dir.join(modules::DIR);
        if installed.symlink_metadata().is_ok() {
            cx.log.step("the app's own `node_modules` is left out: the packages are installed for the image");
            tree::remove(&installed)?;
        }
        let manager = Manager::of(&cx.app_dir, &package);
        let packages = engines::key(&cx.app_dir, &package, &manager);
        let mut demand = engines::remembered(cx, &packages);
        if demand.is_none() {
            demand = engines::better(cx, &package, &engines::in_lock(&cx.app_dir, &manager), &packages)?;
        }
        while let Some(better) = build_with(cx, &package, &manager, folder, demand.as_ref(), &packages)? {
            demand = Some(better);
        }
        Ok(())
    }
}

/// Builds with the runtime that fits; returns another that the packages need, once they are installed, instead.
fn build_with(
    cx: &BuildContext,
    package: &Package,
    manager: &Manager,
    folder: Option<&str>,
    demand: Option<&Demand>,
    packages: &str,
) -> Result<Option<Demand>, Failure> {
    let scripts = steps::scripts(package, cx.var("CNB_NODE_BUILD"))?;
    let runtime = runtime::find(cx, package, demand)?;
    let mut runner = Runner::new(cx, &runtime)?;
    let tool = Tool::find(cx, manager, &runner, &runtime.node)?;
    if let Some(tool) = &tool {
        // Scripts run it, too.
        runner.prefer(&tool.bin)?;
    }
    let modules = Modules::of(cx, &runner, package, &runtime, tool.as_ref())?;
    let procfile = fs_err::read_to_string(cx.app_dir.join("Procfile")).unwrap_or_default();
    let app = App {
        procfile: script::procfile(&procfile, package, &scripts),
        cx,
        package,
        runtime: &runtime,
        runner: &runner,
        modules: &modules,
        tool: tool.as_ref(),
        scripts: &scripts,
    };
    let is_fresh = app.install_for_scripts()?;
    if is_fresh && demand.is_none() {
        let demands = engines::installed(&cx.layer_path(app.layer_of_all()));
        let better = engines::better(cx, package, &demands, packages)?;
        if better.is_some() {
            return Ok(better);
        }
    }
    if folder.is_some() { app.build_front_end(is_fresh) } else { app.build(is_fresh) }.map(|()| None)
}

/// A folder of the app as the user reads it.
fn shown(folder: &str) -> String {
    if folder == "." { "the app's folder".to_owned() } else { format!("`{folder}`") }
}

/// What the image starts.
enum Start {
    Script(Script),
    File(String),
    Site {
        root: String,
        single_page: bool,
    },
    /// What the `Procfile` says, which is another buildpack's to read.
    Procfile,
}

struct App<'a> {
    cx: &'a BuildContext,
    package: &'a Package,
    runtime: &'a Runtime,
    runner: &'a Runner<'a>,
    modules: &'a Modules<'a>,
    /// The package manager, where it is another than npm.
    tool: Option<&'a Tool>,
    scripts: &'a [String],
    /// The process types of a `Procfile`: what they start must be in the image, too.
    procfile: Vec<(String, Script)>,
}

impl App<'_> {
    fn build(&self, is_fresh: bool) -> Result<(), Failure> {
        let built = self.run_steps(is_fresh)?;
        let process = match self.start()? {
            Start::Site { root, single_page } => {
                self.leave_out_server()?;
                let asked = self.cx.var("CNB_STATIC_SPA");
                cnb_static::install(self.cx, &root, asked.map_or(single_page, |a| is_on(Some(a))))?
            }
            Start::File(file) => {
                if self.procfile.is_empty() && start::is_complete(&file) {
                    self.ship_runtime(None)?;
                    self.leave_out_packages()?;
                } else {
                    self.ship(built.as_deref(), None)?;
                }
                Process::new("web", &["node", &file])
            }
            Start::Script(script) => {
                self.ship(built.as_deref(), Some(&script))?;
                script.process()
            }
            Start::Procfile => {
                self.ship(built.as_deref(), None)?;
                return self.cx.write_launch(Vec::new());
            }
        };
        self.cx.log.step(format!("web: {}", process.command.join(" ")));
        self.cx.write_launch(vec![process.default()])
    }

    /// Builds what another language's app serves: nothing of Node.js is part of the image.
    fn build_front_end(&self, is_fresh: bool) -> Result<(), Failure> {
        self.run_steps(is_fresh)?;
        self.leave_out_server()?;
        self.cx.write_launch(Vec::new())
    }

    /// Installs what the scripts of the build need; returns whether an earlier build had not.
    fn install_for_scripts(&self) -> Result<bool, Failure> {
        if self.scripts.is_empty() || !self.package.has_dependencies() {
            return Ok(false);
        }
        let all = self.layer_of_all();
        let is_there = self.modules.is_installed(all, BUILDING, Kind::All);
        self.modules.install(all, BUILDING, Kind::All)?;
        Ok(!is_there)
    }

    /// Runs the scripts of the build; returns what names their result, if there are any.
    fn run_steps(&self, is_fresh: bool) -> Result<Option<String>, Failure> {
        if self.scripts.is_empty() {
            steps::forget(self.cx)?;
            return Ok(None);
        }
        let steps = Steps::of(self.cx, self.scripts, self.modules.key())?;
        let all = self.layer_of_all();
        let has_packages = self.package.has_dependencies();
        if !is_fresh && steps.is_done() {
            steps.restore()?;
        } else {
            // Next.js follows no link out of the app's folder.
            let follows_links = !self.package.depends_on("next");
            let linked = match (has_packages, follows_links) {
                (false, _) => Vec::new(),
                (true, true) => self.modules.link(all)?,
                (true, false) => self.modules.place(all)?,
            };
            steps.run(self.runner, &linked)?;
            if !follows_links && self.changes_packages(&self.cx.app_dir) {
                self.modules.take_back(all, &linked)?;
            }
            self.unlink(&linked)?;
        }
        Ok(Some(steps.key().to_owned()))
    }

    /// Without development dependencies one set of packages serves both.
    fn layer_of_all(&self) -> &'static str {
        if self.modules.has_dev() { ALL } else { PRODUCTION }
    }

    fn unlink(&self, linked: &[PathBuf]) -> Result<(), Failure> {
        linked.iter().try_for_each(|path| tree::remove(&self.cx.app_dir.join(path)))
    }

    /// Decides what the image starts, by what is there after the build.
    fn start(&self) -> Result<Start, Failure> {
        let app = &self.cx.app_dir;
        let site = |root: String| {
            let single_page = start::is_single_page(&app.join(&root));
            Start::Site { root, single_page }
        };
        if let Some(root) = self.cx.var("CNB_STATIC_ROOT") {
            let root = cnb_static::root::find(app, Some(root))?;
            return Ok(site(root.unwrap_or_else(|| ".".to_owned())));
        }
        let script = script::script(self.package, self.scripts);
        let has_own_web = self.procfile.iter().any(|(kind, _)| kind == "web");
        let built_site = || start::site(app).filter(|_| !self.scripts.is_empty() && !has_own_web);
        if let Some(script) = script {
            let built = start::built_server(app).filter(|_| script.previews() && !has_own_web);
            if let Some(built) = built {
                self.cx.log.step(format!("`{}` shows what was built; its server is started", script.line));
                return Ok(Start::File(built.to_owned()));
            }
            return Ok(match built_site() {
                Some(root) if script.serves_front_end() => {
                    self.cx.log.step(format!(
                        "`{}` is a server for developers; the built front-end is served in its place",
                        script.line
                    ));
                    site(root)
                }
                _ => Start::Script(script),
            });
        }
        if let Some(root) = built_site().filter(|_| !start::is_server(self.package, app)) {
            return Ok(site(root));
        }
        if let Some(file) = start::file(self.package, app) {
            return Ok(Start::File(file));
        }
        if !self.procfile.is_empty() {
            return Ok(Start::Procfile);
        }
        if let Some(root) = built_site() {
            return Ok(site(root));
        }
        if let Some(file) = start::compiled_file(app) {
            return Ok(Start::File(file.to_owned()));
        }
        if self.package.depends_on("next") && app.join(".next").is_dir() {
            return Ok(Start::Script(Script { name: "start".to_owned(), line: "next start".to_owned() }));
        }
        let by_bun = self.tool.is_some_and(|tool| tool.manager.kind == manager::Kind::Bun);
        if let Some(script) = start::typescript(self.package, app, by_bun) {
            return Ok(Start::Script(script));
        }
        if let Some(root) = cnb_static::root::find(app, None)? {
            return Ok(site(root));
        }
        Err(Failure::new("package.json does not say what to start")
            .because("there is no script `start`, no `main` that exists, no server.js, index.js or app.js, and no built site")
            .next("add a script `start` to package.json, such as `node server.js`, or a `Procfile`"))
    }

    /// Puts runtime and packages into the image.
    fn ship(&self, built: Option<&str>, script: Option<&Script>) -> Result<(), Failure> {
        self.ship_runtime(script)?;
        let kept = self.kept_dev_tools(script);
        if !kept.is_empty() {
            self.cx.log.warning(format!(
                "development dependencies are part of the image, since the app starts with {}; \
                 move what is needed to `dependencies`, or start without it",
                kept.join(", ")
            ));
        }
        if !self.package.has_dependencies() {
            self.cx.remove_layer(PRODUCTION)?;
            return self.cx.remove_layer(ALL);
        }
        if kept.is_empty() && !self.package.has_production_dependencies() {
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
        self.modules.link(layer).map(drop)
    }

    /// Whether packages of development stay in the image, since what the build changed in the packages, or the manager
    /// itself, does not allow to leave them out.
    fn keeps_all(&self) -> bool {
        self.changes_packages(&self.cx.layer_path(ALL))
            || self.tool.is_some_and(|tool| !tool.manager.can_leave_out_dev())
    }

    /// Returns whether scripts of the build change the packages below `dir`: patches, generated clients.
    fn changes_packages(&self, dir: &Path) -> bool {
        dir.join(modules::DIR).join(".prisma").is_dir()
            || self.scripts.iter().any(|s| package::AFTER_INSTALL.contains(&s.as_str()))
    }

    fn kept_dev_tools(&self, script: Option<&Script>) -> Vec<String> {
        let lock = lock::own(&self.cx.app_dir).map(|name| Lock::read(&self.cx.app_dir.join(name)));
        let lock = lock.unwrap_or_default();
        let installed = self.cx.layer_path(ALL).join(modules::DIR);
        let by_command =
            |word: &str| self.tool.and_then(|_| installed::dev_provider(&installed, self.package, word));
        let mut tools: Vec<String> =
            self.started(script).flat_map(|s| s.dev_tools(self.package, &lock, &by_command)).collect();
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
    fn ship_runtime(&self, script: Option<&Script>) -> Result<(), Failure> {
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
    fn leave_out_server(&self) -> Result<(), Failure> {
        self.runtime.leave_out(self.cx)?;
        self.cx.remove_layer(NPM)?;
        self.cx.remove_layer(BUN)?;
        self.leave_out_packages()
    }

    fn leave_out_packages(&self) -> Result<(), Failure> {
        if self.layer_of_all() == ALL { self.cx.remove_layer(PRODUCTION) } else { Ok(()) }
    }
}
