//! The build of an app: what is installed, what is run, and what the image starts.

use std::path::PathBuf;

use cnb_buildpack::layer::LayerTypes;
use cnb_buildpack::{BuildContext, Failure, Process, tree};

use cnb_static::settings::Settings;

use crate::decide::Start;
use crate::modules::{Kind, Modules};
use crate::npm::Runner;
use crate::package::Package;
use crate::plan::{self, Step};
use crate::runtime::Runtime;
use crate::script::{self, Script};
use crate::steps::{self, Steps};
use crate::tool::Tool;
use crate::workspaces::Target;
use crate::{ALL, PRODUCTION, start, svelte};

/// The packages while building; which of them go into the image is known only after it.
const BUILDING: LayerTypes = LayerTypes::CACHE;

/// An app, with everything that its build needs.
pub(crate) struct App<'a> {
    pub(crate) cx: &'a BuildContext,
    pub(crate) target: &'a Target,
    pub(crate) steps: &'a [Step],
    pub(crate) runtime: &'a Runtime,
    pub(crate) runner: &'a Runner<'a>,
    pub(crate) modules: &'a Modules<'a>,
    /// The package manager, where it is another than npm.
    pub(crate) tool: Option<&'a Tool>,
    /// The scripts whose result is in the image.
    pub(crate) done: Vec<String>,
    /// The process types of a `Procfile`: what they start must be in the image, too.
    pub(crate) procfile: Vec<(String, Script)>,
}

impl<'a> App<'a> {
    pub(crate) fn new(
        cx: &'a BuildContext,
        target: &'a Target,
        steps: &'a [Step],
        runtime: &'a Runtime,
        runner: &'a Runner<'a>,
        modules: &'a Modules<'a>,
        tool: Option<&'a Tool>,
    ) -> Self {
        let done = plan::done(steps);
        let procfile = fs_err::read_to_string(cx.app_dir.join("Procfile")).unwrap_or_default();
        let procfile = script::procfile(&procfile, &target.package, &done);
        Self { cx, target, steps, runtime, runner, modules, tool, done, procfile }
    }

    /// The app's own package.
    pub(crate) fn package(&self) -> &Package {
        &self.target.package
    }

    /// The folder of the app's own package.
    pub(crate) fn dir(&self) -> PathBuf {
        self.cx.app_dir.join(&self.target.dir)
    }

    /// Builds what the image starts.
    pub(crate) fn build(&self, is_fresh: bool) -> Result<(), Failure> {
        let built = self.run_steps(is_fresh)?;
        let process = match self.start()? {
            Start::Site { root, single_page } => {
                self.leave_out_server()?;
                let asked = Settings::read(&self.dir(), &self.cx.env).spa;
                cnb_static::install(self.cx, &root, asked.unwrap_or(single_page))?
            }
            Start::File(file) => {
                if self.procfile.is_empty() && start::is_complete(&file) {
                    self.ship_runtime(None)?;
                    self.leave_out_packages()?;
                } else {
                    self.ship(built.as_deref(), None)?;
                }
                self.here(start::process(&file))
            }
            Start::Script(script) => {
                self.ship(built.as_deref(), Some(&script))?;
                self.here(script.process())
            }
            Start::Procfile => {
                self.ship(built.as_deref(), None)?;
                return self.cx.write_launch(Vec::new());
            }
        };
        self.cx.log.step(format!("web: {}", process.command.join(" ")));
        self.cx.write_launch(vec![process.default()])
    }

    /// Makes a process start in the folder of the app's own package.
    fn here(&self, process: Process) -> Process {
        let working_dir = (!self.target.is_root()).then(|| self.dir().to_string_lossy().into_owned());
        Process { working_dir, ..process }
    }

    /// Builds what another language's app serves: nothing of Node.js is part of the image.
    pub(crate) fn build_front_end(&self, is_fresh: bool) -> Result<(), Failure> {
        self.run_steps(is_fresh)?;
        self.leave_out_server()?;
        self.cx.write_launch(Vec::new())
    }

    /// Installs what the scripts of the build need; returns whether an earlier build had not.
    pub(crate) fn install_for_scripts(&self) -> Result<bool, Failure> {
        if self.steps.is_empty() || !self.modules.has_packages() {
            return Ok(false);
        }
        let all = self.layer_of_all();
        let is_there = self.modules.is_installed(all, BUILDING, Kind::All);
        self.modules.install(all, BUILDING, Kind::All)?;
        Ok(!is_there)
    }

    /// Runs the scripts of the build; returns what names their result, if there are any.
    fn run_steps(&self, is_fresh: bool) -> Result<Option<String>, Failure> {
        if self.steps.is_empty() {
            steps::forget(self.cx)?;
            return Ok(None);
        }
        let steps = Steps::of(self.cx, self.steps, self.modules.key())?;
        let all = self.layer_of_all();
        let has_packages = self.modules.has_packages();
        if !is_fresh && steps.is_done() {
            steps.restore()?;
        } else {
            // Next.js follows no link out of the app's folder.
            let follows_links = !self.target.all().iter().any(|m| m.package.depends_on("next"));
            let linked = match (has_packages, follows_links) {
                (false, _) => Vec::new(),
                (true, true) => self.modules.link(all)?,
                (true, false) => self.modules.place(all)?,
            };
            let adapter = if svelte::leaves_choice(self.package()) {
                svelte::provide(self.cx, self.runner, all)?
            } else {
                None
            };
            steps.run(self.runner, &linked)?;
            adapter.map_or(Ok(()), |link| tree::remove(&link))?;
            if !follows_links && self.changes_packages(&self.cx.app_dir) {
                self.modules.take_back(all, &linked)?;
            }
            self.unlink(&linked)?;
        }
        Ok(Some(steps.key().to_owned()))
    }

    /// Without development dependencies one set of packages serves both.
    pub(crate) fn layer_of_all(&self) -> &'static str {
        if self.modules.has_dev() { ALL } else { PRODUCTION }
    }

    fn unlink(&self, linked: &[PathBuf]) -> Result<(), Failure> {
        linked.iter().try_for_each(|path| tree::remove(&self.cx.app_dir.join(path)))
    }
}
