//! The buildpack as a platform runs it, with the Rust of this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use cnb_buildpack::tree;
use cnb_buildpack::trial::{Outcome, Subject, Trial, tool_env};

/// What is tried.
const SUBJECT: Subject = Subject {
    manifest_dir: env!("CARGO_MANIFEST_DIR"),
    program: env!("CARGO_BIN_EXE_buildpack-rust"),
    tools: &["cargo", "rustc"],
};

fn trial(dir: &Path, fixture: &str) -> Option<Trial> {
    let mut env = tool_env();
    // A platform shows the toolchain itself, not what chooses among several.
    if let Ok(said) = Command::new("rustc").args(["--print", "sysroot"]).output() {
        let bin = Path::new(String::from_utf8(said.stdout).unwrap().trim()).join("bin");
        let path = [bin.as_os_str(), &env[OsStr::new("PATH")]].join(OsStr::new(":"));
        env.insert("PATH".into(), path);
    }
    SUBJECT.trial_with(dir, fixture, env).unwrap()
}

#[track_caller]
fn build(trial: &Trial) -> Outcome {
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    outcome
}

fn launch(trial: &Trial) -> String {
    fs_err::read_to_string(trial.layers_dir().join("launch.toml")).unwrap()
}

fn run(trial: &Trial, binary: &str) -> String {
    let program = trial.layers_dir().join("app/bin").join(binary);
    let output = Command::new(program).current_dir(trial.app_dir()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_package_becomes_a_binary_and_its_source_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    assert!(trial.detect().unwrap().success);
    let outcome = build(&trial);
    assert!(outcome.output.contains("--locked"), "{}", outcome.output);
    assert!(!outcome.output.contains("warning"), "{}", outcome.output);
    assert_eq!(run(&trial, "hello"), "hello from a template.\n");
    let left: Vec<_> = tree::snapshot(&trial.app_dir(), &|_| false).unwrap().into_keys().collect();
    assert_eq!(left, [Path::new("templates"), Path::new("templates/hello.txt")]);
    assert!(
        launch(&trial).contains("type = \"web\"\ncommand = [\"hello\"]\ndefault = true"),
        "{}",
        launch(&trial)
    );
}

#[test]
fn a_second_build_compiles_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "dependency") else { return };
    let outcome = build(&trial);
    assert!(outcome.output.contains("Compiling itoa"), "{}", outcome.output);
    assert!(outcome.output.contains("warning: there is no `Cargo.lock`"), "{}", outcome.output);
    let sbom = fs_err::read_to_string(trial.layers_dir().join("app.sbom.cdx.json")).unwrap();
    assert!(sbom.contains("pkg:cargo/itoa@1.0.15") && sbom.contains("MIT OR Apache-2.0"), "{sbom}");

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("dependency")).unwrap();
    let outcome = build(&trial);
    assert!(!outcome.output.contains("Compiling"), "{}", outcome.output);
    assert!(outcome.output.contains("nothing changed"), "{}", outcome.output);

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("dependency")).unwrap();
    let main = "fn main() { println!(\"{}\", itoa::Buffer::new().format(43)); }";
    fs_err::write(trial.app_dir().join("src/main.rs"), main).unwrap();
    // As old as can be: what counts is the content.
    let file = fs_err::File::open(trial.app_dir().join("src/main.rs")).unwrap();
    file.file().set_modified(std::time::UNIX_EPOCH).unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("Compiling dependency"), "{}", outcome.output);
    assert!(!outcome.output.contains("Compiling itoa"), "{}", outcome.output);
    assert_eq!(run(&trial, "dependency"), "43\n");
}

#[test]
fn a_workspace_has_a_process_for_each_binary() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "several") else { return };
    build(&trial);
    let launch = launch(&trial);
    assert!(launch.contains("type = \"web\"\ncommand = [\"server\"]\ndefault = true"), "{launch}");
    assert!(launch.contains("type = \"seed\"\ncommand = [\"seed\"]"), "{launch}");
}

#[test]
fn the_user_names_features_and_packages() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    trial.set("CNB_RUST_FEATURES", "loud").unwrap();
    build(&trial);
    assert_eq!(run(&trial, "hello"), "hello from a template!\n");
    trial.use_app(&SUBJECT.fixture("single")).unwrap();
    trial.set("CNB_RUST_PACKAGE", "other").unwrap();
    let outcome = trial.build().unwrap();
    assert!(
        !outcome.success && outcome.output.contains("no package or binary is called other"),
        "{}",
        outcome.output
    );
}

#[test]
fn a_setting_of_cargo_builds_anew() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    build(&trial);
    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("single")).unwrap();
    trial.set("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("Compiling hello"), "{}", outcome.output);
}

#[test]
fn a_lock_that_does_not_match_is_renewed_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    let manifest = trial.app_dir().join("Cargo.toml");
    let text = fs_err::read_to_string(&manifest).unwrap().replace("1.0.0", "1.0.1");
    fs_err::write(manifest, text).unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("warning: `Cargo.lock` does not match"), "{}", outcome.output);
}

#[test]
fn the_same_source_has_the_same_binary_each_time() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("same");
    let build_once = || {
        tree::remove(&dir).unwrap();
        fs_err::create_dir(&dir).unwrap();
        let trial = trial(&dir, "single")?;
        build(&trial);
        Some(tree::snapshot(&trial.layers_dir().join("app"), &|_| false).unwrap())
    };
    let Some(first) = build_once() else { return };
    assert_eq!(build_once().unwrap(), first);
}

#[test]
fn a_toolchain_that_is_not_there_is_replaced_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "single") else { return };
    fs_err::write(trial.app_dir().join("rust-toolchain.toml"), "[toolchain]\nchannel = \"1.2.3\"\n").unwrap();
    let outcome = build(&trial);
    let warning = "warning: rust-toolchain.toml asks for Rust 1.2.3, which is not on this machine";
    assert!(outcome.output.contains(warning), "{}", outcome.output);
}

#[test]
fn a_library_has_nothing_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "library") else { return };
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("error: there is no binary to build"), "{}", outcome.output);
    assert!(outcome.output.contains("next step: add a `src/main.rs`"), "{}", outcome.output);
}

#[test]
fn an_app_without_a_manifest_is_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let outcome = trial.detect().unwrap();
    assert!(!outcome.success && outcome.output.contains("would need: a `Cargo.toml`"), "{}", outcome.output);
}
