//! The buildpack as a platform runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;

use cnb_buildpack::trial::Trial;

fn trial(dir: &Path, fixture: &str) -> Trial {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trial =
        Trial::new(dir, manifest, Path::new(env!("CARGO_BIN_EXE_buildpack-procfile")), [].into()).unwrap();
    trial.use_app(&manifest.join("tests/fixtures").join(fixture)).unwrap();
    trial
}

#[test]
fn process_types_are_lines_for_bash() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial(dir.path(), "shell");
    assert!(trial.detect().unwrap().success);
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    assert!(outcome.output.contains("web (default): ./serve.sh $PORT"), "{}", outcome.output);
    let launch: toml::Table =
        toml::from_str(&fs_err::read_to_string(trial.layers_dir().join("launch.toml")).unwrap()).unwrap();
    let expected: toml::Table = toml::from_str(
        "[[processes]]\ntype = 'web'\ncommand = ['bash', '-c', './serve.sh $PORT']\ndefault = true\n\
         [[processes]]\ntype = 'worker'\ncommand = ['bash', '-c', 'echo one && echo two']",
    )
    .unwrap();
    assert_eq!(launch, expected);
}

#[test]
fn an_app_without_a_procfile_is_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial(dir.path(), "none");
    let outcome = trial.detect().unwrap();
    assert_eq!(outcome.status, "exit status: 100");
    assert_eq!(outcome.output, "would need: a file `Procfile` with lines such as `web: ./start.sh`");
}

#[test]
fn a_bad_line_fails_the_build_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let trial = trial(dir.path(), "bad");
    let outcome = trial.build().unwrap();
    assert_eq!(outcome.status, "exit status: 1");
    assert!(outcome.output.contains("line 2: `worker run` has no `:`"), "{}", outcome.output);
    assert!(outcome.output.contains("next step: "), "{}", outcome.output);
}
