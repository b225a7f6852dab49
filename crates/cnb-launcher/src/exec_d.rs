//! exec.d: programs in launch layers that set variables just before the process starts.
//!
//! Buildpack Interface Specification, "exec.d"; requirements B107, C71, A66. Each writes TOML to file
//! descriptor 3.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use cnb_spec::buildpack::exec_d;
use cnb_spec::env::Env;
use command_fds::{CommandFdExt, FdMapping};
use nix::unistd::{AccessFlags, access};

use crate::layers::{self, LayerError};
use crate::metadata::parse;
use crate::system::reason;

/// Where an exec.d program writes.
const OUTPUT: i32 = 3;

/// Why an exec.d program could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecDError {
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("failed to execute exec.d file at path '{}': {reason}", path.display())]
    Execute { path: PathBuf, reason: String },
    #[error("failed to read output from exec.d file at path '{}': {reason}", path.display())]
    Read { path: PathBuf, reason: String },
    #[error("failed to decode output from exec.d file at path '{}': toml: {reason}", path.display())]
    Decode { path: PathBuf, reason: String },
}

/// Runs the programs of one layer; each sees the variables that those before it have set.
pub(crate) fn run(layer: &Path, process_type: &str, env: &mut Env) -> Result<(), ExecDError> {
    for path in layers::files(layer, "exec.d", process_type)? {
        let bytes = output(&path, env)?;
        let variables = parse(&bytes, exec_d::parse).map_err(|reason| ExecDError::Decode { path, reason })?;
        env.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
    Ok(())
}

/// Runs one program to its end and returns what it wrote to descriptor 3.
fn output(path: &Path, env: &Env) -> Result<Vec<u8>, ExecDError> {
    let failed = |reason: String| ExecDError::Execute { path: path.to_path_buf(), reason };
    let not_started = |e: io::Error| failed(format!("fork/exec {}: {}", path.display(), reason(&e)));
    refuse_plain_text(path).map_err(not_started)?;
    let (mut reader, writer) = io::pipe().map_err(not_started)?;
    let mut command = Command::new(path);
    command.env_clear().envs(env).stdin(Stdio::null());
    // One mapping cannot collide with another.
    let _ = command.fd_mappings(vec![FdMapping { parent_fd: writer.into(), child_fd: OUTPUT }]);
    let mut child = command.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::InvalidInput => failed("exec: environment variable contains NUL".to_owned()),
        _ => not_started(e),
    })?;
    // The command holds our end of the pipe, which has to be closed for the reader to see an end.
    drop(command);
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    let status = child.wait().map_err(|e| failed(reason(&e)))?;
    // That the program failed says more than that its output could not be read.
    if !status.success() {
        return Err(failed(outcome(status)));
    }
    match read {
        Ok(_) => Ok(bytes),
        Err(e) => Err(ExecDError::Read { path: path.to_path_buf(), reason: reason(&e) }),
    }
}

/// Refuses an executable text without an interpreter line.
///
/// The kernel would not execute it, but the C library would then hand it to `sh`, which neither the
/// specification nor the Go program does (requirement J26).
fn refuse_plain_text(path: &Path) -> io::Result<()> {
    // What cannot be read can still be executable: then only the kernel can tell.
    let Ok(file) = File::open(path) else { return Ok(()) };
    let mut start = Vec::new();
    let read = file.take(2).read_to_end(&mut start);
    let is_text = read.is_ok() && start.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    if is_text && start != b"#!" && access(path, AccessFlags::X_OK).is_ok() {
        return Err(nix::Error::ENOEXEC.into());
    }
    Ok(())
}

/// Returns how a program ended, in the words of the Go program.
fn outcome(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let core = if status.core_dumped() { " (core dumped)" } else { "" };
            format!("signal: {}{core}", signal_name(signal))
        }
        (None, None) => status.to_string(),
    }
}

fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 15] = [
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
        "killed",
        "user defined signal 1",
        "segmentation fault",
        "user defined signal 2",
        "broken pipe",
        "alarm clock",
        "terminated",
    ];
    let name = usize::try_from(signal - 1).ok().and_then(|n| NAMES.get(n));
    name.map_or_else(|| format!("signal {signal}"), |n| (*n).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::chain;

    /// Runs `programs`, as files of one layer, for a `web` process, and returns the environment or the error.
    fn run_all(programs: &[(&str, &str)]) -> String {
        let layer = tempfile::tempdir().unwrap();
        for (name, text) in programs {
            cnb_testkit::program(&layer.path().join("exec.d").join(name), text).unwrap();
        }
        let mut env = Env::from([("PATH".into(), "/usr/bin:/bin".into())]);
        let root = format!("{}/exec.d/", layer.path().display());
        match run(layer.path(), "web", &mut env) {
            Ok(()) => {
                let lines = env.iter().filter(|(n, _)| *n != "PATH");
                lines.map(|(n, v)| format!("{}={}", n.display(), v.display())).collect::<Vec<_>>().join(" ")
            }
            Err(e) => chain(&e).replace(&root, ""),
        }
    }

    #[track_caller]
    fn check(program: &str, expected: &str) {
        assert_eq!(run_all(&[("x", program)]), expected);
    }

    #[test]
    fn each_program_sees_what_came_before_and_the_own_ones_of_the_type_come_last() {
        let found = run_all(&[
            ("10", "#!/bin/sh\necho 'A = \"1\"' >&3"),
            ("9", "#!/bin/sh\necho \"A = '$A-2'\" >&3"),
            ("web/1", "#!/bin/sh\necho \"A = '$A-3'\" >&3"),
            ("worker/1", "#!/bin/sh\nexit 1"),
        ]);
        assert_eq!(found, "A=1-2-3");
    }

    #[test]
    fn nothing_can_be_read_from_standard_input() {
        check("#!/bin/sh\nread line || echo 'A = \"no input\"' >&3", "A=no input");
    }

    #[test]
    fn output_larger_than_a_pipe_is_read() {
        let program = "#!/bin/sh\n(printf \"A = '\"; head -c 200000 /dev/zero | tr '\\0' x; echo \"'\") >&3";
        check(program, &format!("A={}", "x".repeat(200_000)));
    }

    #[test]
    fn a_failed_program_is_an_error_that_says_how_it_ended() {
        check("#!/bin/sh\nexit 3", "failed to execute exec.d file at path 'x': exit status 3");
        check("#!/bin/sh\nkill -9 $$", "failed to execute exec.d file at path 'x': signal: killed");
        check(
            "#!/nowhere/sh\n",
            "failed to execute exec.d file at path 'x': fork/exec x: no such file or directory",
        );
    }

    #[test]
    fn a_text_without_interpreter_line_is_not_given_to_sh() {
        for text in ["echo 'A = \"1\"' >&3\n", "", "\n"] {
            check(text, "failed to execute exec.d file at path 'x': fork/exec x: exec format error");
        }
    }

    #[test]
    fn only_strings_are_values() {
        for value in ["1", "true", "['x']", "{ b = 'c' }"] {
            let found = run_all(&[("x", &format!("#!/bin/sh\necho \"A = {value}\" >&3"))]);
            assert!(
                found.starts_with("failed to decode output from exec.d file at path 'x': toml: line 1: "),
                "{found}"
            );
        }
    }
}
