//! Who manages the app's packages, and how its lock becomes a list of requirements that uv installs.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Command, Output};
use cnb_buildpack::context::var;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::project::{FILE, PyProject, normal};
use crate::runtime::Runtime;
use crate::uv::{CAUSES, Uv};

/// A package manager, by the files that it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// `uv.lock`.
    Uv,
    /// `poetry.lock`.
    Poetry,
    /// `pdm.lock`.
    Pdm,
    /// `Pipfile`, and `Pipfile.lock` if there is one.
    Pipenv,
    /// A list of requirements, which is this file.
    Requirements(String),
    /// What `pyproject.toml` lists, without a lock.
    Project,
    /// What `setup.py` or `setup.cfg` lists.
    Setup(&'static str),
    /// The app needs nothing but Python.
    Nothing,
}

/// Names under which lists of requirements are kept, in the order in which they are looked for.
const LISTS: &[&str] = &[
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/base.txt",
    "requirements/requirements.txt",
    "requirements/common.txt",
    "requirements-prod.txt",
    "requirements.in",
];

/// Files that say which packages there are: where they stay the same, nothing is installed again.
const MANIFESTS: &[&str] = &[
    FILE,
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "setup.py",
    "setup.cfg",
    "poetry.toml",
    "uv.toml",
];

impl Manager {
    /// Finds the manager of an app.
    pub fn of(app: &Path, project: Option<&PyProject>) -> Self {
        let has = |name: &str| app.join(name).is_file();
        if has("uv.lock") && project.is_some() {
            return Self::Uv;
        }
        if has("poetry.lock") && project.is_some() {
            return Self::Poetry;
        }
        if has("pdm.lock") && project.is_some() {
            return Self::Pdm;
        }
        if has("Pipfile.lock") || (has("Pipfile") && !has("requirements.txt")) {
            return Self::Pipenv;
        }
        if has("requirements.txt") {
            return Self::Requirements("requirements.txt".to_owned());
        }
        if project.is_some_and(PyProject::has_dependencies) {
            return Self::Project;
        }
        if let Some(setup) = ["setup.py", "setup.cfg"].into_iter().find(|s| has(s)) {
            return Self::Setup(setup);
        }
        let list = LISTS.iter().find(|l| has(l));
        list.map_or(Self::Nothing, |l| Self::Requirements((*l).to_owned()))
    }

    /// Its name for the user.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Poetry => "Poetry",
            Self::Pdm => "PDM",
            Self::Pipenv => "Pipenv",
            Self::Requirements(_) => "pip",
            Self::Project => "pyproject.toml without a lock",
            Self::Setup(_) => "setuptools",
            Self::Nothing => "no packages",
        }
    }

    /// What would be run for it, as `cnb plan` shows it.
    pub fn command(&self) -> Option<String> {
        Some(match self {
            Self::Uv => "uv export --locked --no-dev && uv pip install".to_owned(),
            Self::Poetry => "poetry export --only main && uv pip install".to_owned(),
            Self::Pdm => "pdm export --prod && uv pip install".to_owned(),
            Self::Pipenv => "pipenv requirements --hash && uv pip install".to_owned(),
            Self::Requirements(file) => format!("uv pip install -r {file}"),
            Self::Project => format!("uv pip install -r {FILE}"),
            Self::Setup(file) => format!("uv pip install -r {file}"),
            Self::Nothing => return None,
        })
    }

    /// Adds what decides about the packages to a key.
    pub fn key(&self, app: &Path, key: tree::Key) -> Result<tree::Key, Failure> {
        let mut key = key.with("manager", self.name());
        let add = |key: tree::Key, name: &str| {
            let bytes = fs_err::read(app.join(name)).unwrap_or_default();
            key.with(name, bytes)
        };
        for name in MANIFESTS {
            key = add(key, name);
        }
        let mut local = false;
        if let Self::Requirements(list) = self {
            for file in included(app, list) {
                local |= lists_own_folders(&fs_err::read_to_string(app.join(&file)).unwrap_or_default());
                key = add(key, &file);
            }
        }
        let own = fs_err::read_to_string(app.join(FILE)).unwrap_or_default();
        if local || own.contains("[tool.uv.workspace]") || own.contains("path =") || own.contains("path=") {
            // Packages of the app's own folders are installed with the others.
            let skip = |path: &Path| path.starts_with(".git") || path.ends_with("__pycache__");
            key = key.with_snapshot("app", &tree::snapshot(app, &skip)?);
        }
        Ok(key)
    }
}

/// Lists the files that a list of requirements consists of, itself first.
fn included(app: &Path, list: &str) -> Vec<String> {
    let mut found = vec![list.to_owned()];
    let mut next = 0;
    while next < found.len() && found.len() < 100 {
        let file = found[next].clone();
        next += 1;
        let text = fs_err::read_to_string(app.join(&file)).unwrap_or_default();
        for line in text.lines().map(str::trim) {
            let option =
                ["-r", "--requirement", "-c", "--constraint"].iter().find_map(|o| line.strip_prefix(o));
            if let Some(name) =
                option.map(|n| n.trim_start_matches('=').split('#').next().unwrap_or_default().trim())
                && let Some(folder) = Path::new(&file).parent()
            {
                let path = folder.join(name).to_string_lossy().into_owned();
                if !found.contains(&path) {
                    found.push(path);
                }
            }
        }
    }
    found
}

/// Whether a requirement is a folder of the app, other than the app itself.
fn lists_own_folders(text: &str) -> bool {
    text.lines()
        .map(|l| l.trim().trim_start_matches("-e").trim())
        .any(|l| (l.starts_with("./") || l.starts_with("../") || l.starts_with("file:")) && !is_app_itself(l))
}

/// Whether a requirement is the app itself.
fn is_app_itself(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    let line = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable")).unwrap_or(line).trim();
    matches!(line.split('[').next().unwrap_or_default(), "." | "./")
}

/// What is to be installed: a file for `uv pip install -r`, and whether it lists the app itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirements {
    pub(crate) file: PathBuf,
    pub(crate) app_itself: bool,
}

/// Makes the list of requirements; `scratch` takes it.
pub(crate) fn requirements(
    cx: &BuildContext,
    manager: &Manager,
    uv: &Uv,
    runtime: &Runtime,
    scratch: &Path,
) -> Result<Option<Requirements>, Failure> {
    let file = scratch.join("requirements.txt");
    let out = file.to_string_lossy().into_owned();
    match manager {
        Manager::Nothing => return Ok(None),
        Manager::Uv => uv_export(cx, uv, runtime, &out)?,
        Manager::Poetry => {
            let poetry = tool(cx, uv, runtime, "poetry", &["poetry", "poetry-plugin-export"])?;
            let export =
                poetry(&["export", "--only", "main", "--format", "requirements.txt", "--output", &out]);
            locked(
                cx,
                &export,
                &["changed significantly", "not up to date", "is not compatible"],
                "poetry.lock",
                || poetry(&["lock"]).run(&cx.log, CAUSES),
            )?;
        }
        Manager::Pdm => {
            let pdm = tool(cx, uv, runtime, "pdm", &["pdm[locked]"])?;
            let pdm = |args: &[&str]| pdm(args).env("PDM_CHECK_UPDATE", "false");
            if !pdm(&["lock", "--check"]).quietly()?.success {
                stale(cx, "pdm.lock");
                pdm(&["lock"]).run(&cx.log, CAUSES)?;
            }
            pdm(&["export", "--prod", "--format", "requirements", "--output", &out]).run(&cx.log, CAUSES)?;
        }
        Manager::Pipenv => {
            let pipenv = tool(cx, uv, runtime, "pipenv", &["pipenv"])?;
            if !cx.app_dir.join("Pipfile.lock").is_file() {
                unlocked(cx, "`Pipfile.lock`", "pipenv lock");
                pipenv(&["lock"]).run(&cx.log, CAUSES)?;
            } else if lacks_packages(&cx.app_dir) {
                stale(cx, "Pipfile.lock");
                pipenv(&["lock"]).run(&cx.log, CAUSES)?;
            }
            fs_err::write(&file, pipenv(&["requirements", "--hash"]).capture(&cx.log, CAUSES)?)?;
        }
        Manager::Requirements(list) => return own_list(cx, list).map(Some),
        Manager::Project => {
            unlocked(cx, "lock file", "uv lock");
            return Ok(Some(Requirements { file: cx.app_dir.join(FILE), app_itself: false }));
        }
        Manager::Setup(setup) => {
            return Ok(Some(Requirements { file: cx.app_dir.join(setup), app_itself: true }));
        }
    }
    Ok(Some(Requirements { file, app_itself: false }))
}

fn uv_export(cx: &BuildContext, uv: &Uv, runtime: &Runtime, out: &str) -> Result<(), Failure> {
    let python = runtime.python.to_string_lossy();
    let export = |lock: &[&str]| {
        let args =
            ["export", "--no-dev", "--no-emit-project", "--no-editable", "--quiet", "--python", &python];
        uv.command(&cx.app_dir, args).args(["--format", "requirements-txt", "--output-file", out]).args(lock)
    };
    let shown = "uv export --locked --no-dev";
    locked(
        cx,
        &export(&["--locked"]).title(shown),
        &["needs to be updated", "Unable to find lockfile"],
        "uv.lock",
        || uv.command(&cx.app_dir, ["lock", "--python", &python]).title("uv lock").run(&cx.log, CAUSES),
    )
}

/// Runs a command that fails where the lock is out of date; then `renew` makes it anew, in the build's copy.
fn locked(
    cx: &BuildContext,
    export: &Command,
    says: &[&str],
    lock: &str,
    renew: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let output = export.stream(&cx.log)?;
    if output.success {
        return Ok(());
    }
    if !says.iter().any(|s| output.says(s)) {
        return Err(failed(export, &output));
    }
    stale(cx, lock);
    renew()?;
    let again = export.stream(&cx.log)?;
    if again.success { Ok(()) } else { Err(failed(export, &again)) }
}

fn failed(command: &Command, output: &Output) -> Failure {
    command.failure(output, CAUSES)
}

fn stale(cx: &BuildContext, lock: &str) {
    cx.log.warning(format!(
        "`{lock}` does not match its manifest, so it is made anew for this build; lock again and commit it"
    ));
}

fn unlocked(cx: &BuildContext, what: &str, command: &str) {
    cx.log.warning(format!(
        "there is no {what}, so the packages are the newest that fit; run `{command}` and commit what it writes"
    ));
}

/// Whether `Pipfile` lists a package that `Pipfile.lock` does not have.
fn lacks_packages(app: &Path) -> bool {
    let read = |name: &str| fs_err::read_to_string(app.join(name)).unwrap_or_default();
    let pipfile: toml::Table = read("Pipfile").parse().unwrap_or_default();
    let lock: serde_json::Value = serde_json::from_str(&read("Pipfile.lock")).unwrap_or_default();
    let locked = |name: &str| {
        let all = lock.get("default").and_then(serde_json::Value::as_object);
        all.is_some_and(|all| all.keys().any(|k| normal(k) == normal(name)))
    };
    let listed = pipfile.get("packages").and_then(toml::Value::as_table);
    listed.into_iter().flatten().any(|(name, _)| !locked(name))
}

/// A list without a line for the app itself, which is installed in a step of its own.
fn own_list(cx: &BuildContext, list: &str) -> Result<Requirements, Failure> {
    let text = fs_err::read_to_string(cx.app_dir.join(list))?;
    if !text.lines().any(is_app_itself) {
        return Ok(Requirements { file: cx.app_dir.join(list), app_itself: false });
    }
    // Beside the list, since what it includes is named from there.
    let file = cx.app_dir.join(list).with_file_name(".cnb-requirements.txt");
    let kept: String = text.lines().filter(|l| !is_app_itself(l)).flat_map(|l| [l, "\n"]).collect();
    fs_err::write(&file, kept)?;
    Ok(Requirements { file, app_itself: true })
}

/// Installs a package manager into a layer that is not part of the image, and returns how to run it.
fn tool(
    cx: &BuildContext,
    uv: &Uv,
    runtime: &Runtime,
    name: &str,
    packages: &[&str],
) -> Result<impl Fn(&[&str]) -> Command, Failure> {
    let metadata = metadata(&[("format", "1"), ("tool", name), ("python", &runtime.key)]);
    let layer = cx.cached_layer("tools", LayerTypes::CACHE, &metadata, |layer| {
        let venv = layer.path.to_string_lossy().into_owned();
        let python = runtime.python.to_string_lossy().into_owned();
        uv.command(
            &cx.layers_dir,
            [
                "venv",
                "--quiet",
                "--no-project",
                "--no-config",
                "--allow-existing",
                "--python",
                &python,
                &venv,
            ],
        )
        .read()?;
        uv.command(&cx.layers_dir, ["pip", "install", "--quiet", "--no-config", "--python", &venv])
            .args(packages)
            .title(format!("uv pip install {}", packages.join(" ")))
            .run(&cx.log, CAUSES)?;
        Ok(None)
    })?;
    let (program, dir) = (layer.path.join("bin").join(name), cx.app_dir.clone());
    let mut env = uv.env().clone();
    env.insert("PIPENV_PYTHON".into(), runtime.python.clone().into());
    env.insert("PIPENV_IGNORE_VIRTUALENVS".into(), "1".into());
    env.insert("POETRY_VIRTUALENVS_CREATE".into(), "false".into());
    env.insert("PDM_PYTHON".into(), runtime.python.clone().into());
    let caches =
        var(&cx.env, "TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from).join("python-tools");
    for variable in ["POETRY_CACHE_DIR", "PIPENV_CACHE_DIR", "PDM_CACHE_DIR", "WORKON_HOME"] {
        env.insert(variable.into(), caches.clone().into());
    }
    let name = name.to_owned();
    Ok(move |args: &[&str]| {
        let shown: Vec<&str> = args.iter().copied().take_while(|a| *a != "--output").collect();
        Command::new(&program, &dir, &env).args(args).title(format!("{name} {}", shown.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::{Manager, PyProject, included, is_app_itself, lists_own_folders};

    #[test]
    fn locks_come_before_lists_and_lists_before_manifests() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| fs_err::write(dir.path().join(name), "").unwrap();
        let project: PyProject = toml::from_str("[project]\nname='a'\n").unwrap();
        let found = |project: Option<&PyProject>| Manager::of(dir.path(), project);
        assert_eq!(found(None), Manager::Nothing);
        assert_eq!(found(Some(&PyProject::default())), Manager::Nothing);
        assert_eq!(found(Some(&project)), Manager::Project);
        write("setup.py");
        assert_eq!(found(None), Manager::Setup("setup.py"));
        write("requirements.txt");
        assert_eq!(found(Some(&project)), Manager::Requirements("requirements.txt".to_owned()));
        write("Pipfile.lock");
        assert_eq!(found(None), Manager::Pipenv);
        write("pdm.lock");
        assert_eq!(found(Some(&project)), Manager::Pdm);
        write("poetry.lock");
        assert_eq!(found(Some(&project)), Manager::Poetry);
        write("uv.lock");
        assert_eq!(found(Some(&project)), Manager::Uv);
    }

    #[test]
    fn lists_of_requirements_include_others() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("requirements")).unwrap();
        fs_err::write(
            dir.path().join("requirements.txt"),
            "-r requirements/base.txt # all\n-c c.txt\nflask\n",
        )
        .unwrap();
        fs_err::write(dir.path().join("requirements/base.txt"), "--requirement=more.txt\n").unwrap();
        assert_eq!(
            included(dir.path(), "requirements.txt"),
            ["requirements.txt", "requirements/base.txt", "c.txt", "requirements/more.txt"]
        );
    }

    #[test]
    fn the_app_itself_is_told_from_its_folders() {
        assert!(is_app_itself("-e .") && is_app_itself(".[web]  # us") && is_app_itself("--editable ./"));
        assert!(!is_app_itself("flask") && !is_app_itself("-e ./lib"));
        assert!(lists_own_folders("flask\n-e ./lib\n") && !lists_own_folders("-e .\n"));
    }
}
