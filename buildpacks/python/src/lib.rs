//! Python applications: the runtime, the packages, and what to start.
//!
//! Reading order: [`project`], [`version`], [`interpreter`], `runtime`, [`manager`], `environment` (with `uv` and
//! `index`), [`source`], [`start`] (with [`django`]); the build that joins them is here.

mod bytecode;
pub mod django;
mod environment;
mod index;
mod installed;
pub mod interpreter;
pub mod manager;
pub mod project;
mod runtime;
pub mod source;
pub mod start;
mod uv;
pub mod version;

use std::collections::BTreeSet;
use std::path::Path;

use cnb_buildpack::detection::Version as Chosen;
use cnb_buildpack::{
    BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, Process, assets, tree,
};
use cnb_spec::env::Env;

use django::Django;
use interpreter::Interpreter;
use manager::Manager;
use project::PyProject;
use source::Module;
use start::{App, Start};
use version::Range;

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Python;

/// The name in the Build Plan.
const NAME: &str = "python";
/// Files that make an app one of Python.
const MARKS: &[&str] = &[
    "requirements.txt",
    project::FILE,
    "Pipfile",
    "setup.py",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "manage.py",
    "main.py",
    "app.py",
    "server.py",
    "runtime.txt",
    ".python-version",
];
/// Variables that ask for a version, the first first; the second is that of Paketo.
const VARIABLES: [&str; 2] = ["CNB_PYTHON_VERSION", "BP_CPYTHON_VERSION"];

impl Buildpack for Python {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let Some(mark) = MARKS.iter().find(|m| cx.app_dir.join(m).is_file()) else {
            return Ok(Detection::would_need(
                "a `requirements.txt`, `pyproject.toml`, `Pipfile`, `setup.py`, or a `main.py` or `app.py`, in the app's folder",
            ));
        };
        let known = Known::of(&cx.app_dir)?;
        let has_source = !known.modules.is_empty();
        if !has_source && matches!(*mark, "requirements.txt" | "runtime.txt" | ".python-version") {
            return Ok(Detection::would_need(format!("Python files beside the `{mark}`")));
        }
        let asked = VARIABLES.map(|name| (name, cx.var(name)));
        let wishes = interpreter::wishes(&cx.app_dir, &asked, known.project.as_ref());
        let versions = wishes.into_iter().flatten().take(1).map(|w| Chosen {
            of: NAME.to_owned(),
            version: w.version,
            source: w.source,
        });
        let start = known.app(&cx.app_dir, &known.listed).start();
        let release = Django::find(&cx.app_dir, &known.modules)
            .map(|_| ("release".to_owned(), "python manage.py migrate --noinput".to_owned()));
        let intent = Intent {
            because: format!("a `{mark}`"),
            versions: versions.collect(),
            commands: known.manager.command().into_iter().collect(),
            processes: start.into_iter().map(|s| ("web".to_owned(), s.line)).chain(release).collect(),
        };
        let detection = Detection::intends(NAME, &intent)?;
        Ok(if assets::front_end(&cx.app_dir).is_some() { detection.or_with(assets::NAME) } else { detection })
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        let known = Known::of(&cx.app_dir)?;
        for own in ["venv", ".venv", "env"] {
            if cx.app_dir.join(own).join("pyvenv.cfg").is_file() {
                cx.log.step(format!(
                    "the app's own `{own}` is left out: the packages are installed for the image"
                ));
                tree::remove(&cx.app_dir.join(own))?;
            }
        }
        let python = choose(cx, known.project.as_ref())?;
        let runtime = runtime::install(cx, &python)?;
        cx.log.step(format!("packages: {}", known.manager.name()));
        let has_procfile = procfile_has_web(&cx.app_dir);
        let planned = known.app(&cx.app_dir, &known.listed).start().filter(|_| !has_procfile);
        let wish = environment::Wish {
            manager: &known.manager,
            project: known.project.as_ref(),
            server: planned.as_ref().and_then(|s| s.server),
        };
        let venv = environment::install(cx, &runtime, &wish)?;
        let env = launch_env(cx, &venv);
        let django = Django::find(&cx.app_dir, &known.modules);
        if let Some(django) = &django {
            django.collect_static(cx, &venv.join("bin/python"), &env)?;
        }
        // Frameworks that only other packages bring are known now.
        let mut all = known.listed.clone();
        all.extend(installed::names(&venv)?);
        let start = planned.or_else(|| known.app(&cx.app_dir, &all).start());
        cx.write_launch(processes(cx, start, django.as_ref(), has_procfile)?)
    }
}

fn processes(
    cx: &BuildContext,
    start: Option<Start>,
    django: Option<&Django>,
    has_procfile: bool,
) -> Result<Vec<Process>, Failure> {
    let mut found = Vec::new();
    if let Some(django) = django {
        let folder = django.folder();
        let line = format!("cd ./{folder} && exec python manage.py migrate --noinput");
        found.push(Process::shell("release", &line));
    }
    if has_procfile {
        return Ok(found);
    }
    let start = start.ok_or_else(|| {
        Failure::new("nothing in the app tells what to start")
            .because("there is no Django project, no app of FastAPI, Flask or their kin, no main.py or app.py, and no script in pyproject.toml")
            .next("write a `Procfile`, such as `web: python serve.py`")
    })?;
    cx.log.step(format!("web: {} ({})", start.line.trim_start_matches("exec "), start.because));
    found.push(Process::shell("web", &start.line).default());
    Ok(found)
}

/// What the app's files tell.
struct Known {
    project: Option<PyProject>,
    manager: Manager,
    modules: Vec<Module>,
    /// The packages that its files list, or its modules import.
    listed: BTreeSet<String>,
}

impl Known {
    fn of(app: &Path) -> Result<Self, Failure> {
        let project = PyProject::read(app)?;
        let manager = Manager::of(app, project.as_ref());
        let modules = source::modules(app);
        let listed = listed(app, project.as_ref(), &modules);
        Ok(Self { project, manager, modules, listed })
    }

    fn app<'a>(&'a self, dir: &'a Path, packages: &'a BTreeSet<String>) -> App<'a> {
        App { dir, modules: &self.modules, packages, project: self.project.as_ref() }
    }
}

/// Frameworks that count as needed where a module imports them: without, the app would not start anyway.
const IMPORTED: &[&str] = &[
    "bottle",
    "dash",
    "falcon",
    "fastapi",
    "flask",
    "gradio",
    "litestar",
    "quart",
    "sanic",
    "starlette",
    "streamlit",
];

fn listed(app: &Path, project: Option<&PyProject>, modules: &[Module]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let read = |name: &str| fs_err::read_to_string(app.join(name)).unwrap_or_default();
    let lists = fs_err::read_dir(app.join("requirements")).into_iter().flatten().flatten();
    let mut texts: Vec<String> =
        lists.map(|e| fs_err::read_to_string(e.path()).unwrap_or_default()).collect();
    texts.extend(["requirements.txt", "requirements.in", "requirements-prod.txt"].map(read));
    found.extend(texts.iter().flat_map(|t| t.lines()).filter_map(project::name_of));
    if let Some(project) = project {
        let standard = project.project.iter().flat_map(|p| &p.dependencies);
        found.extend(standard.filter_map(|d| project::name_of(d)));
        let poetry =
            project.tool("poetry").and_then(|p| p.get("dependencies")).and_then(toml::Value::as_table);
        found.extend(poetry.into_iter().flatten().map(|(name, _)| project::normal(name)));
    }
    if let Ok(pipfile) = toml::from_str::<toml::Table>(&read("Pipfile")) {
        let packages = pipfile.get("packages").and_then(toml::Value::as_table);
        found.extend(packages.into_iter().flatten().map(|(name, _)| project::normal(name)));
    }
    let imported = IMPORTED.iter().filter(|package| modules.iter().any(|m| m.imports(package)));
    found.extend(imported.map(|p| (*p).to_owned()));
    found
}

fn procfile_has_web(app: &Path) -> bool {
    let text = fs_err::read_to_string(app.join("Procfile")).unwrap_or_default();
    text.lines().any(|l| l.trim_start().starts_with("web:"))
}

/// Chooses the Python: one of this machine that fits, or the nearest.
fn choose(cx: &BuildContext, project: Option<&PyProject>) -> Result<Interpreter, Failure> {
    let asked = VARIABLES.map(|name| (name, cx.var(name)));
    let (range, wanted) = interpreter::wish(&cx.log, interpreter::wishes(&cx.app_dir, &asked, project))?;
    let all = interpreter::of_this_machine(&cx.env, &cx.layers_dir);
    let asks =
        wanted.as_ref().map(|w| format!(", {} asks for `{}`", w.source, w.version)).unwrap_or_default();
    if let Some(found) = interpreter::choose(&all, &range) {
        cx.log.step(format!("Python {} (of this machine{asks})", found.version));
        return Ok(found.clone());
    }
    let wish = wanted.as_ref().map_or("*", |w| w.version.as_str());
    let allowed = project.and_then(PyProject::python).and_then(Range::parse);
    let allowed = allowed.or_else(|| project.is_none().then(Range::any));
    if let Some(found) = interpreter::nearest(&all, &range, allowed.as_ref()) {
        cx.log.warning(format!(
            "Python `{wish}` is not on this machine; {} is the nearest{asks}",
            found.version
        ));
        return Ok(found.clone());
    }
    let mut there: Vec<String> = all.iter().map(|i| i.version.to_string()).collect();
    there.dedup();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    Err(Failure::new(format!("there is no Python `{wish}` on this machine"))
        .because(format!("available: {there}{asks}"))
        .next("install that Python here, or ask for one of these with `--env CNB_PYTHON_VERSION=…`"))
}

/// The environment that the app's own programs have while building.
fn launch_env(cx: &BuildContext, venv: &Path) -> Env {
    let mut env = cx.env_without_bindings();
    let path = env.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
    let mut dirs = vec![venv.join("bin")];
    dirs.extend(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(dirs) {
        env.insert("PATH".into(), path);
    }
    env.insert("PYTHONPATH".into(), cx.app_dir.clone().into());
    let libraries = [venv.join("lib"), cx.layer_path("python").join("lib")];
    env.insert("LD_LIBRARY_PATH".into(), std::env::join_paths(libraries).unwrap_or_default());
    env
}
