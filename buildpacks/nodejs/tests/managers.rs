//! Apps of each package manager, as a platform builds them, with tiny packages of the registry.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;
use std::process::Command;

use cnb_buildpack::context::find_program;
use cnb_buildpack::tree;
use cnb_buildpack::trial::{Outcome, Subject, Trial};

/// What is tried.
const SUBJECT: Subject = Subject {
    manifest_dir: env!("CARGO_MANIFEST_DIR"),
    program: env!("CARGO_BIN_EXE_buildpack-nodejs"),
    tools: &["npm"],
};

fn trial(dir: &Path, fixture: &str) -> Option<Trial> {
    SUBJECT.trial(dir, fixture).unwrap()
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

/// Starts what the image would start.
#[track_caller]
fn start(trial: &Trial) -> String {
    let launch: toml::Table = read(&trial.layers_dir().join("launch.toml")).parse().unwrap();
    let command: Vec<&str> =
        launch["processes"][0]["command"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    let path = format!("{}:/usr/bin:/bin", trial.layers_dir().join("node/bin").display());
    let program = find_program(&[("PATH".into(), path.clone().into())].into(), command[0]).unwrap();
    let output = Command::new(program)
        .args(&command[1..])
        .current_dir(trial.app_dir())
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Builds a fixture with a lock file that matches, then with another source, then with a lock file that does not
/// match; `leaves_out_dev` says whether the image has no packages of development.
#[track_caller]
fn builds(fixture: &str, install: &str, leaves_out_dev: bool) {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), fixture) else { return };
    assert!(trial.detect().unwrap().success);
    let outcome = build(&trial);
    assert!(outcome.output.contains(install), "{}", outcome.output);
    assert!(!outcome.output.contains("warning: the lock file"), "{}", outcome.output);
    assert_eq!(start(&trial), "true 172800000\n\n");
    let packages = trial.app_dir().join("node_modules");
    assert!(packages.join("is-number").is_dir());
    assert_eq!(packages.join("ms").exists(), !leaves_out_dev);
    let layer = packages.canonicalize().unwrap();
    let layer = layer.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let sbom = read(&trial.layers_dir().join(format!("{layer}.sbom.cdx.json")));
    assert!(sbom.contains("pkg:npm/is-number@7.0.0") && sbom.contains("MIT"), "{sbom}");

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture(fixture)).unwrap();
    let server = read(&trial.app_dir().join("server.js"));
    fs_err::write(trial.app_dir().join("server.js"), format!("// more\n{server}")).unwrap();
    let outcome = build(&trial);
    assert!(!outcome.output.contains("install"), "{}", outcome.output);
    assert_eq!(start(&trial), "true 172800000\n\n");

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture(fixture)).unwrap();
    let manifest = read(&trial.app_dir().join("package.json")).replace("\"7.0.0\"", "\"6.0.0\"");
    fs_err::write(trial.app_dir().join("package.json"), manifest).unwrap();
    let outcome = build(&trial);
    assert!(
        outcome.output.contains("warning: the lock file does not match package.json"),
        "{}",
        outcome.output
    );
    assert!(read(&packages.join("is-number/package.json")).contains("\"6.0.0\""));
}

#[test]
fn pnpm() {
    builds("with-pnpm", "$ pnpm install --frozen-lockfile", true);
}

#[test]
fn yarn_classic() {
    builds("with-yarn-classic", "$ yarn install --frozen-lockfile", true);
}

#[test]
fn yarn_berry() {
    builds("with-yarn-berry", "$ yarn install --immutable", true);
}

#[test]
fn bun() {
    builds("with-bun", "$ bun install --frozen-lockfile", true);
}

#[test]
fn a_manager_that_the_registry_does_not_have_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "with-pnpm") else { return };
    let manifest = read(&trial.app_dir().join("package.json"));
    let named = manifest.replacen('{', "{ \"packageManager\": \"pnpm@0.0.99\",", 1);
    fs_err::write(trial.app_dir().join("package.json"), named).unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("error: pnpm 0.0.99 could not be fetched"), "{}", outcome.output);
    assert!(outcome.output.contains("`packageManager` of package.json"), "{}", outcome.output);
}

#[test]
fn packages_of_a_pnpm_workspace_are_links_into_the_app() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "workspaces") else { return };
    tree::remove(&trial.app_dir().join("package-lock.json")).unwrap();
    fs_err::write(trial.app_dir().join("pnpm-workspace.yaml"), "packages:\n  - 'packages/*'\n").unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("$ pnpm install --no-frozen-lockfile"), "{}", outcome.output);
}
