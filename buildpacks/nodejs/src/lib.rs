//! Node.js applications with npm, pnpm, Yarn or Bun: the runtime, the packages, the build script, and what to start.
//!
//! Reading order: `intent` (detection), [`package`], [`range`], `runtime` (with `fetch` and `engines`), `npm` (with
//! `causes`), [`manager`] (with `tool`), `modules` (with [`lock`] and `installed`), [`workspaces`] (with `delegation`
//! and [`nx`]), [`plan`], [`steps`] (with `svelte`), [`script`], [`start`]; `app` joins them, with `decide` (with
//! `next`) and `ship` (with `imports`).

mod app;
mod causes;
mod decide;
mod delegation;
mod engines;
mod fetch;
mod imports;
mod installed;
mod intent;
pub mod lock;
pub mod manager;
mod modules;
mod next;
mod npm;
pub mod nx;
pub mod package;
pub mod plan;
pub mod range;
mod runtime;
pub mod script;
mod ship;
pub mod start;
pub mod steps;
mod svelte;
mod tool;
pub mod workspaces;

use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, assets, tree};

use app::App;
use engines::Demand;
use manager::Manager;
use modules::Modules;
use npm::Runner;
use package::{FILE, Package};
use tool::Tool;

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Nodejs;

/// The layer of the packages of production.
pub(crate) const PRODUCTION: &str = "modules";
/// The layer of all packages.
pub(crate) const ALL: &str = "dev-modules";

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
    let asked = cx.var(workspaces::NAMED).or_else(|| cx.var("BP_NODE_PROJECT_PATH"));
    let target = workspaces::target(&cx.app_dir, package, asked, &cx.log)?;
    if !target.is_root() {
        cx.log.step(format!("the package in `{}` is the app", target.dir.display()));
    } else if let Some(project) = &target.nx {
        cx.log.step(format!("the project `{}` of Nx is the app", project.name));
    }
    let steps = plan::plan(&cx.app_dir, package, &target, cx.var("CNB_NODE_BUILD"))?;
    let runtime = runtime::find(cx, package, demand)?;
    let mut runner = Runner::new(cx, &runtime)?;
    let tool = Tool::find(cx, manager, &runner, &runtime.node)?;
    if let Some(tool) = &tool {
        // Scripts run it, too.
        runner.prefer(&tool.bin)?;
    }
    if svelte::leaves_choice(&target.package) {
        runner.set(svelte::VARIABLE, "cnb");
    }
    let modules = Modules::of(cx, &runner, package, &target, &runtime, tool.as_ref())?;
    let app = App::new(cx, &target, &steps, &runtime, &runner, &modules, tool.as_ref());
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
