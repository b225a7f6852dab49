//! The buildpack as a platform runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;

use cnb_buildpack::trial::Trial;

fn trial(dir: &Path, fixture: &str) -> Trial {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_BIN_EXE_buildpack-shell"));
    let trial = Trial::new(dir, manifest, program, cnb_buildpack::trial::tool_env()).unwrap();
    trial.use_app(&manifest.join("tests/fixtures").join(fixture)).unwrap();
    trial
}

#[test]
fn an_executable_script_is_the_web_process() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial(dir.path(), "shell");
    assert!(trial.detect().unwrap().plan.contains("an executable `start.sh`"));
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    let launch = fs_err::read_to_string(trial.layers_dir().join("launch.toml")).unwrap();
    assert_eq!(launch.trim(), "[[processes]]\ntype = \"web\"\ncommand = [\"./start.sh\"]\ndefault = true");
}

#[test]
fn a_script_that_is_not_executable_is_told_how_to_become_so() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = trial(dir.path(), "plain").detect().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("would need: a `start.sh` that is executable (`chmod +x start.sh`)"));
}

#[test]
fn an_app_without_a_script_is_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = trial(dir.path(), "none").detect().unwrap();
    assert!(!outcome.success && outcome.output.contains("would need: an executable `start.sh`"));
}
