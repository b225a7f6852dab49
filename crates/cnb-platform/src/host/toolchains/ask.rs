//! One question to one tool, with a time limit.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// The most that a tool may say.
const LIMIT: u64 = 64 << 10;

/// A tool and the question that it answers with its place.
pub(super) struct Tool {
    /// Its name on the PATH.
    pub(super) program: &'static str,
    /// The question.
    pub(super) args: &'static [&'static str],
    /// What is set for the question.
    pub(super) env: &'static [(&'static str, &'static str)],
    /// Where the answer comes.
    pub(super) stream: Stream,
    /// The variable with which a user says where it is; empty when there is none.
    pub(super) home_variable: &'static str,
    /// Makes a place of the answer.
    pub(super) read: fn(&[u8]) -> Option<PathBuf>,
}

/// Where an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Why a tool gave no place.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("it could not be started: {0}")]
    Start(std::io::Error),
    #[error("it did not answer within {} s", .0.as_secs())]
    Late(Duration),
    #[error("it ended with {0} when asked where it lives")]
    Failed(ExitStatus),
    #[error("it did not say where it lives")]
    Unusable,
}

impl NoAnswer {
    /// Returns whether the same question may get an answer later, though nothing on the disk changed.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Late(_))
    }
}

/// Asks a tool where it lives.
pub(super) fn ask(
    tool: &Tool,
    program: &Path,
    env: &BTreeMap<OsString, OsString>,
    timeout: Duration,
) -> Result<PathBuf, NoAnswer> {
    let pipe = |stream| if tool.stream == stream { Stdio::piped() } else { Stdio::null() };
    let mut child = Command::new(program)
        .args(tool.args)
        .env_clear()
        .envs(env)
        .envs(tool.env.iter().copied())
        // A project's own settings must not decide for all builds.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(pipe(Stream::Out))
        .stderr(pipe(Stream::Err))
        .process_group(0)
        .spawn()
        .map_err(NoAnswer::Start)?;
    let (said, heard) = mpsc::channel();
    let out = child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>);
    let stream = out.or_else(|| child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    // Not joined: should something that left the process group keep the pipe open, only this thread waits.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            let _ = stream.take(LIMIT).read_to_end(&mut bytes);
        }
        let _ = said.send(bytes);
    });
    let bytes = match heard.recv_timeout(timeout) {
        Ok(bytes) => bytes,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            end(&mut child);
            return Err(NoAnswer::Late(timeout));
        }
    };
    let status = match wait(child, timeout) {
        Some(status) => status.map_err(NoAnswer::Start)?,
        None => return Err(NoAnswer::Late(timeout)),
    };
    if !status.success() {
        return Err(NoAnswer::Failed(status));
    }
    (tool.read)(&bytes).filter(|p| p.is_absolute()).ok_or(NoAnswer::Unusable)
}

/// Waits for a child that has closed its output; one that goes on all the same is ended.
fn wait(mut child: Child, timeout: Duration) -> Option<std::io::Result<ExitStatus>> {
    let id = child.id();
    let (ended, heard) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let _ = ended.send(child.wait());
    });
    let status = heard.recv_timeout(timeout).ok();
    if status.is_none() {
        end_group(id);
    }
    let _ = waiting.join();
    status
}

fn end(child: &mut Child) {
    end_group(child.id());
    let _ = child.wait();
}

/// Ends a child and whatever it started; its id is ours as long as nobody waited for it.
fn end_group(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Reads an answer that is the place itself; of several lines the last, since shims like to greet.
pub(super) fn whole(answer: &[u8]) -> Option<PathBuf> {
    let line = answer.trim_ascii_end().rsplit(|b| *b == b'\n').next()?.trim_ascii();
    (!line.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(line)))
}

/// Reads an answer that is the program, in the directory `bin` of its place.
pub(super) fn prefix_of_program(answer: &[u8]) -> Option<PathBuf> {
    let program = whole(answer)?;
    Some(program.parent()?.parent()?.to_path_buf())
}

/// Reads `java.home` among the properties.
pub(super) fn java_home(answer: &[u8]) -> Option<PathBuf> {
    answer.split(|b| *b == b'\n').find_map(|line| {
        let (key, value) = line.split_at(line.iter().position(|b| *b == b'=')?);
        (key.trim_ascii() == b"java.home").then(|| PathBuf::from(OsStr::from_bytes(value[1..].trim_ascii())))
    })
}
