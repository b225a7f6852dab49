//! The layer `venv`: a virtual environment with the app's packages, and the app itself where it is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cnb_buildpack::layer::{Layer, LayerTypes, Scope, metadata};
use cnb_buildpack::{BuildContext, Failure, libraries, tree};
use cnb_spec::env::Action;

use crate::manager::{self, Manager};
use crate::project::PyProject;
use crate::runtime::Runtime;
use crate::uv::{CAUSES, Uv};
use crate::{bytecode, installed};

/// The layer's name; its programs come before the runtime's, since it comes later in the alphabet.
const LAYER: &str = "venv";

/// What decides about the environment.
pub(crate) struct Wish<'a> {
    pub(crate) manager: &'a Manager,
    pub(crate) project: Option<&'a PyProject>,
    /// A server that the app does not list, by the name of its package.
    pub(crate) server: Option<&'a str>,
}

/// Fills the layer unless what decides about it is as it was; returns the environment's folder.
pub(crate) fn install(cx: &BuildContext, runtime: &Runtime, wish: &Wish<'_>) -> Result<PathBuf, Failure> {
    let key = tree::Key::default().with("format", "1").with("python", &runtime.key);
    let key = key.with("server", wish.server.unwrap_or_default());
    let key = wish.manager.key(&cx.app_dir, key)?;
    let key = if compiles_itself(&cx.app_dir, wish.project) {
        key.with_snapshot("app", &tree::snapshot(&cx.app_dir, &|p| p.starts_with(".git"))?)
    } else {
        key
    };
    let metadata = metadata(&[("key", &key.finish())]);
    let layer = cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &metadata, |layer| {
        let before = paths(&cx.app_dir)?;
        let locks = Locks::of(&cx.app_dir);
        let scratch = cx.layers_dir.join(".python");
        tree::remove(&scratch)?;
        fs_err::create_dir_all(&scratch)?;
        let filled = Filling { cx, runtime, wish, layer, uv: &Uv::find(cx, &runtime.host)? }.fill(&scratch);
        tree::remove(&scratch)?;
        // What tools leave in the app's folder would be there in this build only.
        for path in paths(&cx.app_dir)?.difference(&before) {
            tree::remove(&cx.app_dir.join(path))?;
        }
        locks.restore(&cx.app_dir)?;
        filled?;
        installed::sbom(&layer.path).map(Some)
    })?;
    if layer.state == cnb_buildpack::layer::State::Reused {
        cx.log.step("packages: those of the last build");
    }
    Ok(layer.path)
}

struct Filling<'a> {
    cx: &'a BuildContext,
    runtime: &'a Runtime,
    wish: &'a Wish<'a>,
    layer: &'a Layer,
    uv: &'a Uv,
}

impl Filling<'_> {
    fn fill(&self, scratch: &Path) -> Result<(), Failure> {
        let (cx, layer) = (self.cx, self.layer);
        let venv = layer.path.to_string_lossy();
        let python = self.runtime.python.to_string_lossy();
        self.uv
            .command(
                &cx.layers_dir,
                ["venv", "--quiet", "--relocatable", "--no-project", "--no-config", "--allow-existing"],
            )
            .args(["--prompt", "app", "--python", &*python, &*venv])
            .read()?;
        let wanted = manager::requirements(cx, self.wish.manager, self.uv, self.runtime, scratch)?;
        let mut itself = self.wish.project.is_some_and(PyProject::is_package);
        if let Some(wanted) = wanted {
            itself |= wanted.app_itself;
            let file = wanted.file.to_string_lossy().into_owned();
            let shown = wanted.file.strip_prefix(&cx.app_dir).unwrap_or(Path::new("requirements.txt"));
            self.pip(&["-r", &file], &format!("uv pip install -r {}", shown.display()))?;
        }
        if itself {
            self.install_app();
        }
        if installed::uses_pkg_resources(&layer.path)? {
            // Python 3.11 and earlier had it in every new environment, so packages of that time do not list it.
            cx.log.step("a package uses `pkg_resources` without listing it, so `setuptools` is installed");
            self.pip(&["setuptools<81"], "uv pip install 'setuptools<81'")?;
        }
        if let Some(server) = self.wish.server {
            cx.log.step(format!(
                "the app lists no server, so `{server}` is installed; list it to choose its version"
            ));
            self.pip(&[server], &format!("uv pip install {server}"))?;
        }
        self.carry_libraries()?;
        bytecode::compile(cx, &layer.path.join("bin/python"), &layer.path.join("lib"))?;
        layer.set_env(&Scope::Both, "VIRTUAL_ENV", Action::Override, &venv)?;
        let mut modules = vec![cx.app_dir.to_string_lossy().into_owned()];
        if cx.app_dir.join("src").is_dir() && !itself {
            modules.push(cx.app_dir.join("src").to_string_lossy().into_owned());
        }
        layer.set_env(&Scope::Launch, "PYTHONPATH", Action::PrependPath, &modules.join(":"))
    }

    fn pip(&self, args: &[&str], title: &str) -> Result<(), Failure> {
        let venv = self.layer.path.to_string_lossy();
        self.uv
            .command(&self.cx.app_dir, ["pip", "install", "--no-config", "--python", &venv])
            .args(args)
            .title(title)
            .run(&self.cx.log, CAUSES)
    }

    /// Installs the app itself so that its modules are read from its own folder; an app that cannot be installed
    /// can still be started from there.
    fn install_app(&self) {
        let editable = !compiles_itself(&self.cx.app_dir, self.wish.project);
        let args: &[&str] = if editable { &["--no-deps", "--editable", "."] } else { &["--no-deps", "."] };
        if let Err(failure) = self.pip(args, &format!("uv pip install {}", args.join(" "))) {
            let reason = failure.to_string();
            self.cx.log.warning(format!(
                "the app itself could not be installed as a package, and is used as a folder of modules: {}",
                reason.lines().next().unwrap_or_default()
            ));
        }
    }

    fn carry_libraries(&self) -> Result<(), Failure> {
        let lib = self.layer.path.join("lib");
        let files = libraries::programs_below(&lib)?;
        let missing = libraries::carry(self.cx, &files, &lib)?;
        let mut by_library: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (file, library) in missing {
            by_library.entry(library).or_default().push(file);
        }
        for (library, files) in by_library {
            let file = files[0].strip_prefix(&lib).unwrap_or(&files[0]).display().to_string();
            let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
            self.cx.log.warning(format!(
                "`{file}`{more} needs {library}, which this machine does not have: the part of the package that uses \
                 it will not load; install the library here, or use a run image that has it"
            ));
        }
        Ok(())
    }
}

/// Whether installing the app compiles modules of its own, which then lie in the environment.
fn compiles_itself(app: &Path, project: Option<&PyProject>) -> bool {
    let backend = project.map(PyProject::backend).unwrap_or_default();
    let native =
        ["maturin", "scikit_build", "mesonpy", "setuptools_rust"].iter().any(|b| backend.starts_with(b));
    let setup = fs_err::read_to_string(app.join("setup.py")).unwrap_or_default();
    native || setup.contains("ext_modules") || setup.contains("cythonize")
}

fn paths(app: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let mut found = BTreeSet::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs_err::read_dir(app.join(&dir))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if entry.file_type()?.is_dir() && entry.file_name() != ".git" {
                todo.push(path.clone());
            }
            found.insert(path);
        }
    }
    Ok(found)
}

/// Lock files as they were, since a renewed one would be part of the image in this build only.
struct Locks(Vec<(&'static str, Vec<u8>)>);

impl Locks {
    fn of(app: &Path) -> Self {
        let all = ["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"];
        Self(all.into_iter().filter_map(|name| Some((name, fs_err::read(app.join(name)).ok()?))).collect())
    }

    fn restore(self, app: &Path) -> Result<(), Failure> {
        for (name, bytes) in self.0 {
            if fs_err::read(app.join(name)).ok().as_ref() != Some(&bytes) {
                fs_err::write(app.join(name), bytes)?;
            }
        }
        Ok(())
    }
}
