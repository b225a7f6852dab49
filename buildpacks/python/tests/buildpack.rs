//! The buildpack as a platform runs it, with a Python of this machine and tiny packages of its registry.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cnb_buildpack::context::find_program;
use cnb_buildpack::tree;
use cnb_buildpack::trial::{Outcome, Subject, Trial};

/// What is tried.
const SUBJECT: Subject = Subject {
    manifest_dir: env!("CARGO_MANIFEST_DIR"),
    program: env!("CARGO_BIN_EXE_buildpack-python"),
    tools: &["python3"],
};

fn trial(dir: &Path, fixture: &str) -> Option<Trial> {
    let trial = SUBJECT.trial(dir, fixture).unwrap()?;
    // The tests share what they download.
    trial.share("uv-cache", &Path::new(env!("CARGO_TARGET_TMPDIR")).join("uv-cache")).unwrap();
    Some(trial)
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[track_caller]
fn build(trial: &Trial) -> Outcome {
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    outcome
}

/// Starts the image's web process, as the launcher would.
fn start(trial: &Trial) -> String {
    let launch: toml::Table = read(&trial.layers_dir().join("launch.toml")).parse().unwrap();
    let processes = launch["processes"].as_array().unwrap();
    let web = processes.iter().find(|p| p["type"].as_str() == Some("web")).unwrap();
    let command: Vec<&str> = web["command"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    let (venv, python) = (trial.layers_dir().join("venv"), trial.layers_dir().join("python"));
    let path = format!("{}:{}:/usr/bin:/bin", venv.join("bin").display(), python.join("bin").display());
    let libraries = format!("{}:{}", venv.join("lib").display(), python.join("lib").display());
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(trial.app_dir())
        .env_clear()
        .envs([("PATH", path), ("LD_LIBRARY_PATH", libraries), ("PORT", "1".to_owned())])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", read(&venv.join("env.launch/PYTHONPATH.prepend")))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Builds a fixture that needs `iniconfig`, and checks that it starts, and that a change of source or nothing at all
/// installs nothing again.
#[track_caller]
fn installs_once(fixture: &str, command: &str) {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), fixture) else { return };
    assert!(trial.detect().unwrap().success);
    let outcome = build(&trial);
    assert!(outcome.output.contains(command), "{}", outcome.output);
    assert!(!outcome.output.contains("warning"), "{}", outcome.output);
    assert!(start(&trial).starts_with("hello iniconfig"));
    for format in ["cdx", "spdx"] {
        let sbom = read(&trial.layers_dir().join(format!("venv.sbom.{format}.json")));
        assert!(sbom.contains("pkg:pypi/iniconfig@2.0.0"), "{sbom}");
        assert!(!sbom.contains("pkg:pypi/six@"), "what only developers need is installed: {sbom}");
    }
    let left: Vec<_> = tree::snapshot(&trial.app_dir(), &|_| false).unwrap().into_keys().collect();
    let own: Vec<_> = tree::snapshot(&SUBJECT.fixture(fixture), &|_| false).unwrap().into_keys().collect();
    assert_eq!(left, own, "the build left files in the app's folder");

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture(fixture)).unwrap();
    fs_err::write(trial.app_dir().join("more.py"), "MORE = 1\n").unwrap();
    let outcome = build(&trial);
    assert!(!outcome.output.contains("$ "), "{}", outcome.output);
    assert!(start(&trial).starts_with("hello iniconfig"));
}

#[test]
fn pip_lists_are_installed_once() {
    installs_once("pip", "$ uv pip install -r requirements.txt");
}

#[test]
fn poetry_locks_are_installed_once_without_the_packages_of_developers() {
    installs_once("poetry", "$ poetry export --only main");
}

#[test]
fn pdm_locks_are_installed_once_without_the_packages_of_developers() {
    installs_once("pdm", "$ pdm export --prod");
}

#[test]
fn pipenv_locks_are_installed_once_without_the_packages_of_developers() {
    installs_once("pipenv", "$ uv pip install -r requirements.txt");
}

#[test]
fn a_package_of_setuptools_is_installed_itself() {
    installs_once("setuptools", "$ uv pip install --no-deps --editable .");
}

#[test]
fn a_lock_of_uv_that_does_not_match_is_renewed_with_a_warning_and_one_that_does_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "uv") else { return };
    let outcome = build(&trial);
    assert!(outcome.output.contains("warning: `uv.lock` does not match its manifest"), "{}", outcome.output);
    assert!(start(&trial).starts_with("hello iniconfig"));
    assert_eq!(read(&trial.app_dir().join("uv.lock")), read(&SUBJECT.fixture("uv/uv.lock")));

    // A lock names the registry of whoever made it, so it is made here.
    let uv = [
        trial.layers_dir().join("uv/lib/bin/uv"),
        find_program(&cnb_buildpack::trial::tool_env(), "uv").unwrap_or_default(),
    ];
    let uv = uv.iter().find(|p| p.is_file()).unwrap();
    assert!(
        Command::new(uv).args(["lock", "--quiet"]).current_dir(trial.app_dir()).status().unwrap().success()
    );
    trial.restore().unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("$ uv export --locked"), "{}", outcome.output);
    assert!(!outcome.output.contains("warning"), "{}", outcome.output);
}

#[test]
fn the_same_app_has_the_same_layers_each_time() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("same");
    let build_once = |zone: &str| {
        tree::remove(&dir).unwrap();
        fs_err::create_dir(&dir).unwrap();
        let trial = trial(&dir, "pip")?;
        trial.set("TZ", zone).unwrap();
        build(&trial);
        let of = |layer: &str| tree::snapshot(&trial.layers_dir().join(layer), &|_| false).unwrap();
        Some([of("python"), of("venv")])
    };
    let Some(first) = build_once("UTC") else { return };
    let second = build_once("Asia/Tokyo").unwrap();
    for (one, other) in first.iter().zip(&second) {
        let differs = one.iter().filter(|(path, node)| other.get(*path) != Some(*node));
        assert_eq!(differs.map(|(path, _)| path).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
        assert_eq!(one.len(), other.len());
    }
}

#[test]
fn an_app_without_python_is_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let outcome = trial.detect().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("would need: a `requirements.txt`"), "{}", outcome.output);
}

#[test]
fn an_app_that_does_not_tell_what_to_start_is_told_how() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "nothing") else { return };
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("error: nothing in the app tells what to start"), "{}", outcome.output);
    assert!(outcome.output.contains("next step: write a `Procfile`"), "{}", outcome.output);
}

#[test]
fn a_python_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "poetry") else { return };
    let manifest = read(&SUBJECT.fixture("poetry/pyproject.toml")).replace(">=3.9", ">=3.99");
    fs_err::write(trial.app_dir().join("pyproject.toml"), manifest).unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(
        outcome.output.contains("error: there is no Python `>=3.99` on this machine: available: 3."),
        "{}",
        outcome.output
    );
}

#[test]
fn what_a_build_would_do_is_in_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "uv") else { return };
    let plan: toml::Table = trial.detect().unwrap().plan.parse().unwrap();
    let intent = &plan["requires"][0]["metadata"];
    assert_eq!(intent["versions"][0]["version"].as_str(), Some(">=3.8"));
    assert_eq!(intent["processes"]["web"].as_str(), Some("exec python main.py"));
    assert!(intent["commands"][0].as_str().unwrap().contains("uv export"));
}
