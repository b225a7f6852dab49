//! The set-up and the steps of a case.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fs_err as fs;

use super::inputs;
use crate::case::{Action, Case, LAUNCHER, PHASES, Step};
use crate::observed::Observed;
use crate::room;

/// How long a command may take.
const TIME: Duration = Duration::from_secs(120);

/// Why a command could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the set-up failed: {status}: {said}")]
    SetUp { status: ExitStatus, said: String },
    #[error("{what}: `{program}` could not be run")]
    Start { what: String, program: PathBuf, source: std::io::Error },
    #[error("{what}: did not end within {} s", TIME.as_secs())]
    Endless { what: String },
}

/// Runs the script of `setup`.
pub(super) fn set_up(script: &str) -> Result<(), StepError> {
    let mut command = Command::new("/bin/bash");
    // Scripts make names outside ASCII, which bash writes as the character set says.
    command.args(["-euc", script]).env("LC_CTYPE", "C.UTF-8").current_dir("/workspace");
    let done = finish(&mut command, "set-up", Path::new("/bin/bash"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Err(StepError::SetUp { status: done.status, said })
}

/// Runs all steps, with `env` in the environment of each, whatever they exit with, and writes down what came of each.
pub(super) fn run(case: &Case, env: &BTreeMap<String, String>) -> Result<(), StepError> {
    let mut exits = Vec::new();
    for (n, step) in case.steps.iter().enumerate() {
        let what = format!("step {}", n + 1);
        let (program, argv0, args) = command_line(step);
        if let Some(link) = &step.argv0 {
            if let Some(parent) = link.parent() {
                fs::create_dir_all(parent)?;
            }
            if !link.is_symlink() {
                fs::os::unix::fs::symlink(&program, link)?;
            }
        }
        let started = step.argv0.as_ref().unwrap_or(&program);
        let argv0 = step.argv0.as_ref().map_or(argv0, OsString::from);
        let mut command = Command::new(started);
        command.arg0(argv0).args(args).env_clear();
        command.env("PATH", format!("/cnb/lifecycle:{}", room::PATH)).env("HOME", "/home");
        command.envs(env).envs(&case.env).envs(&step.env);
        command.current_dir(step.cwd.as_deref().unwrap_or(Path::new("/workspace")));
        let done = finish(&mut command, &what, started)?;
        exits.push(done.status.code().or(done.status.signal().map(|signal| -signal)).unwrap_or(-1));
        let out = Path::new(room::OUT);
        inputs::write(&out.join(Observed::stdout(n)), &done.stdout, 0o644)?;
        inputs::write(&out.join(Observed::stderr(n)), &done.stderr, 0o644)?;
    }
    let exits = serde_json::to_vec(&exits).map_err(std::io::Error::from)?;
    inputs::write(&Path::new(room::OUT).join(Observed::EXITS), &exits, 0o644)?;
    Ok(())
}

/// Returns the program of a step, its first argument, which is its name, and the other arguments.
fn command_line(step: &Step) -> (PathBuf, OsString, Vec<&str>) {
    let (name, args): (&str, Vec<&str>) = match &step.action {
        Action::Run(argv) => (&argv[0], argv[1..].iter().map(String::as_str).collect()),
        Action::Shell(script) => ("/bin/bash", vec!["-euc", script]),
    };
    let program = match name {
        LAUNCHER => PathBuf::from(room::LAUNCHER),
        name if PHASES.contains(&name) => Path::new("/cnb/lifecycle").join(name),
        name => PathBuf::from(name),
    };
    let argv0 = if name == LAUNCHER || PHASES.contains(&name) { program.clone().into() } else { name.into() };
    (program, argv0, args)
}

struct Done {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs a command until it and everything that holds its output has ended.
fn finish(command: &mut Command, what: &str, program: &Path) -> Result<Done, StepError> {
    let what = || what.to_owned();
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| StepError::Start {
        what: what(),
        program: program.to_owned(),
        source,
    })?;
    let (send, receive) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|p| Box::new(p) as _), child.stderr.take().map(|p| Box::new(p) as _)];
    for (n, pipe) in pipes.into_iter().enumerate() {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes));
            // After the time is over nobody listens.
            let _ = send.send((n, read.map(|_| bytes)));
        });
    }
    let mut outputs = [Vec::new(), Vec::new()];
    for _ in 0..outputs.len() {
        let left = TIME.saturating_sub(start.elapsed());
        let Ok((n, bytes)) = receive.recv_timeout(left) else {
            // It may have ended just now.
            let _ = child.kill();
            child.wait()?;
            return Err(StepError::Endless { what: what() });
        };
        outputs[n] = bytes?;
    }
    let [stdout, stderr] = outputs;
    Ok(Done { status: child.wait()?, stdout, stderr })
}
