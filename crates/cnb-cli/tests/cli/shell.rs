//! What every command has: help, version, completions, colours, and a reader that goes away.

use std::io::Read as _;
use std::process::Stdio;

use crate::cnb::{Cnb, Transcript};

#[test]
fn the_version_needs_nothing() {
    for line in ["version", "--version", "-V"] {
        let version = format!("cnb {}\n", env!("CARGO_PKG_VERSION"));
        let output = Cnb::new().command().env_remove("CNB_HOME").arg(line).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), version, "{line}");
    }
}

#[test]
fn the_version_leaves_nothing_behind() {
    let cnb = Cnb::new();
    let _ = cnb.run("version");
    assert!(!cnb.app().with_file_name("home").exists());
}

#[test]
fn help_is_data() {
    let found = Cnb::new().run("build --help");
    assert_eq!((found.code, found.stderr.as_str()), (0, ""));
    assert!(found.stdout.contains("Usage: cnb build [OPTIONS] [APP]"), "{}", found.stdout);
    assert!(!Cnb::new().run("--help").stdout.contains("__reference"));
}

#[test]
fn without_a_command_the_commands_are_shown() {
    let found = Cnb::new().run("");
    assert_eq!((found.code, found.stdout.as_str()), (2, ""));
    assert!(found.stderr.contains("Commands:"), "{}", found.stderr);
}

#[test]
fn a_command_with_a_typing_mistake_gets_a_suggestion() {
    let found = Cnb::new().run("biuld");
    assert_eq!(found.code, 2);
    assert!(found.stderr.contains("a similar subcommand exists: 'build'"), "{}", found.stderr);
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let found = Cnb::new().run(&format!("completion {shell}"));
        assert_eq!((found.code, found.stderr.as_str()), (0, ""), "{shell}");
        assert!(found.stdout.contains("clear-cache"), "{shell}");
        assert!(!found.stdout.contains("__reference"), "{shell}");
    }
    let found = Cnb::new().run("completion tcsh");
    assert_eq!(found.code, 2);
    assert!(
        found.stderr.contains("[possible values: bash, elvish, fish, powershell, zsh]"),
        "{}",
        found.stderr
    );
}

#[test]
fn a_pipe_gets_no_colours() {
    let plain = Cnb::new().run("build");
    assert!(!plain.stderr.contains('\x1b'), "{}", plain.stderr);
    assert_eq!(Cnb::new().run_with("build", [("NO_COLOR", "1")]), plain);
    let output = Cnb::new().run("--no-color build");
    assert_eq!(output, plain);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let cnb = Cnb::new();
    let mut child = cnb
        .command()
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Cnb::new().command().arg("version").stdout(full.into_file()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: failed to write to standard output\n  caused by: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_folder_that_has_gone_is_an_error() {
    let cnb = Cnb::new();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "rmdir \"$PWD\" && exec \"$0\" build -i app", env!("CARGO_BIN_EXE_cnb")]);
    let output = command.env_clear().env("CNB_HOME", "/nowhere").current_dir(cnb.app()).output().unwrap();
    let found = Transcript {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    let stderr = "error: failed to find the current folder\n  caused by: entity not found\n\nhint: change to a folder that exists\n";
    assert_eq!(found, Transcript { code: 1, stdout: String::new(), stderr: stderr.to_owned() });
}
