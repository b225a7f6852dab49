//! The buildpack as a platform runs it, with the Go of this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;
use std::process::Command;

use cnb_buildpack::tree;
use cnb_buildpack::trial::{Subject, Trial};

/// What is tried.
const SUBJECT: Subject = Subject {
    manifest_dir: env!("CARGO_MANIFEST_DIR"),
    program: env!("CARGO_BIN_EXE_buildpack-go"),
    tools: &["go"],
};

fn trial(dir: &Path, fixture: &str) -> Option<Trial> {
    let trial = SUBJECT.trial(dir, fixture).unwrap()?;
    // The tests share what Go compiles of its own library, which takes longer than all the rest.
    trial.share("build-cache", &Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build")).unwrap();
    Some(trial)
}

fn launch(trial: &Trial) -> String {
    fs_err::read_to_string(trial.layers_dir().join("launch.toml")).unwrap()
}

#[test]
fn a_module_becomes_a_static_binary_and_its_source_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    assert!(trial.detect().unwrap().success);
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    let binary = trial.layers_dir().join("app/bin/hello");
    let said = Command::new(&binary).current_dir(trial.app_dir()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello from a template\n");
    let bytes = fs_err::read(&binary).unwrap();
    assert!(!bytes.windows(9).any(|w| w == b"ld-linux-"), "the binary is not static");
    assert!(!trial.app_dir().join("main.go").exists());
    assert!(!trial.app_dir().join("go.mod").exists());
    assert!(trial.app_dir().join("templates/hello.txt").is_file());
    assert!(
        launch(&trial).contains("type = \"web\"\ncommand = [\"hello\"]\ndefault = true"),
        "{}",
        launch(&trial)
    );
    let sbom = fs_err::read_to_string(trial.layers_dir().join("app.sbom.cdx.json")).unwrap();
    assert!(sbom.contains("pkg:golang/stdlib@"), "{sbom}");
}

#[test]
fn c_code_is_compiled_unless_it_is_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "with-c") else { return };
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    assert!(outcome.output.contains("of example.com/with-c"), "{}", outcome.output);
    let said = Command::new(trial.layers_dir().join("app/bin/with-c")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "42\n");
    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("with-c")).unwrap();
    trial.set("CGO_ENABLED", "0").unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success && outcome.output.contains("while CGO_ENABLED is 0"), "{}", outcome.output);
}

#[test]
fn a_second_build_with_the_same_source_runs_no_go() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    assert!(trial.build().unwrap().success);
    let first = (launch(&trial), tree::snapshot(&trial.layers_dir().join("app"), &|_| false).unwrap());
    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("single")).unwrap();
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    assert!(!outcome.output.contains("$ go"), "{}", outcome.output);
    assert_eq!((launch(&trial), tree::snapshot(&trial.layers_dir().join("app"), &|_| false).unwrap()), first);
    assert!(trial.layers_dir().join("app.sbom.cdx.json").is_file());

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("single")).unwrap();
    fs_err::write(trial.app_dir().join("templates/hello.txt"), "changed\n").unwrap();
    let outcome = trial.build().unwrap();
    assert!(outcome.output.contains("$ go build"), "{}", outcome.output);
}

#[test]
fn the_same_source_in_another_folder_has_the_same_bytes() {
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let trial = trial(dir.path(), "single")?;
        assert!(trial.build().unwrap().success);
        Some(tree::snapshot(&trial.layers_dir().join("app"), &|_| false).unwrap())
    };
    assert_eq!(build(), build());
}

#[test]
fn several_commands_are_several_processes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "several") else { return };
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    let launch = launch(&trial);
    assert!(launch.contains("type = \"web\"\ncommand = [\"server\"]\ndefault = true"), "{launch}");
    assert!(launch.contains("type = \"worker\"\ncommand = [\"worker\"]"), "{launch}");

    trial.set("CNB_GO_TARGETS", "cmd/worker").unwrap();
    trial.set("CNB_GO_KEEP_SOURCE", "1").unwrap();
    trial.use_app(&SUBJECT.fixture("several")).unwrap();
    assert!(trial.build().unwrap().success);
    assert!(!trial.layers_dir().join("app/bin/server").exists());
    assert!(trial.app_dir().join("cmd/worker/main.go").is_file());
}

#[test]
fn a_workspace_is_built_from_its_modules() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "workspace") else { return };
    assert!(trial.detect().unwrap().success);
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    assert!(
        launch(&trial).contains("type = \"web\"\ncommand = [\"api\"]\ndefault = true"),
        "{}",
        launch(&trial)
    );
    assert!(Command::new(trial.layers_dir().join("app/bin/api")).status().unwrap().success());
}

#[test]
fn a_procfile_finds_the_binary_where_other_platforms_put_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    fs_err::write(trial.app_dir().join("Procfile"), "web: bin/main --quick\nrelease: go run ./migrate\n")
        .unwrap();
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    let said = Command::new("bin/main").current_dir(trial.app_dir()).output().unwrap();
    assert!(said.status.success());
    assert!(outcome.output.contains("`Procfile` starts `go run ./migrate`, but"), "{}", outcome.output);
}

#[test]
fn a_module_without_a_program_fails_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "library") else { return };
    let outcome = trial.build().unwrap();
    assert_eq!(outcome.status, "exit status: 1");
    assert!(outcome.output.contains("error: the module has no `main` package"), "{}", outcome.output);
    assert!(outcome.output.contains("next step: add a `package main`"), "{}", outcome.output);
}

#[test]
fn a_program_without_a_module_is_built_with_the_standard_library() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "no-module") else { return };
    assert!(trial.detect().unwrap().success);
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    assert!(outcome.output.contains("there is no `go.mod`"), "{}", outcome.output);
    assert!(Command::new(trial.layers_dir().join("app/bin/app")).status().unwrap().success());
}

#[test]
fn go_files_that_are_no_program_are_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "library") else { return };
    fs_err::remove_file(trial.app_dir().join("go.mod")).unwrap();
    let outcome = trial.detect().unwrap();
    assert_eq!(outcome.status, "exit status: 100");
    let expected =
        "would need: a `go.mod` (or `go.work`), or Go files of `package main`, in the app's folder";
    assert!(outcome.output.starts_with(expected), "{}", outcome.output);
}
