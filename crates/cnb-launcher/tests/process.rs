//! What a process inherits from the launcher that became it; run as a program, since it replaces itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

/// An image without processes but with one buildpack, so that exec.d and user commands can be tried.
fn image(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let metadata = "[[buildpacks]]\nid = 'x'\napi = '0.12'";
    for (name, text) in [("config/metadata.toml", metadata)].iter().chain(files) {
        cnb_testkit::program(&dir.path().join(name), text).unwrap();
    }
    dir
}

fn launcher(dir: &Path, before: &str, args: &[&OsStr]) -> Output {
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_launcher")]);
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("CNB_PLATFORM_API", "0.15");
    command.env("CNB_NO_COLOR", "1").env("CNB_LAYERS_DIR", dir).env("CNB_APP_DIR", dir);
    command.output().unwrap()
}

#[track_caller]
fn check(files: &[(&str, &str)], before: &str, args: &[&str], exit: i32, stdout: &str) {
    let dir = image(files);
    let args: Vec<_> = args.iter().map(OsStr::new).collect();
    let output = launcher(dir.path(), before, &args);
    let found = String::from_utf8_lossy(&output.stdout).replace(dir.path().to_str().unwrap(), "");
    assert_eq!((output.status.code(), found.as_ref()), (Some(exit), stdout), "{output:?}");
}

#[test]
fn a_broken_pipe_kills_the_process_as_it_would_without_launcher() {
    let ignored = "echo $(( 0x$(sed -n 's/^SigIgn:\\s*//p' /proc/$$/status) & 0x1000 ))";
    check(&[], "", &["--", "sh", "-c", ignored], 0, "0\n");
}

#[test]
fn descriptor_3_of_the_container_reaches_the_process_although_exec_d_has_its_own() {
    let exec_d = "#!/bin/sh\necho 'A = \"set\"' >&3\n";
    let files = [("inherited", "from outside\n"), ("x/l/exec.d/a", exec_d)];
    let before = "exec 3< $CNB_LAYERS_DIR/inherited";
    check(&files, before, &["--", "sh", "-c", "cat <&3; echo $A"], 0, "from outside\nset\n");
}

#[test]
fn nothing_of_the_launcher_is_left_open_in_the_process() {
    let dir = image(&[("x/l/exec.d/a", "#!/bin/sh\n")]);
    let launched = launcher(dir.path(), "", &["--", "ls", "/proc/self/fd"].map(OsStr::new));
    let plain = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    assert_eq!(launched.stdout, plain.stdout, "{launched:?}");
}

#[test]
fn a_text_without_interpreter_line_is_no_direct_process() {
    let expected = "ERROR: failed to launch: direct exec: exec format error\n";
    check(&[("script", "echo ran\n")], "", &["--", "./script"], 82, expected);
}

#[test]
fn a_nul_byte_in_the_environment_is_an_error() {
    let expected = "ERROR: failed to launch: direct exec: invalid argument\n";
    check(&[("x/l/env/A", "a\0b")], "", &["--", "true"], 82, expected);
}

#[test]
fn bytes_that_are_no_utf_8_reach_a_shell_process() {
    let dir = image(&[]);
    let args = [OsStr::new("printf"), OsStr::new("%s"), OsStr::from_bytes(b"\xff$Q")];
    let output = launcher(dir.path(), "export Q=$'\\xe9'", &args);
    assert_eq!(output.stdout, b"\xff\xe9", "{output:?}");
}
