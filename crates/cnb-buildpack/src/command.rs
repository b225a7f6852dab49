//! Running the tools of a language: output streamed, and a failure that says what may help.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cnb_spec::env::Env;

use crate::Failure;
use crate::log::Log;

/// How many lines of output a failure can be judged by.
const TAIL: usize = 200;

/// A line that a tool prints when something goes wrong, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// A part of the tool's output.
    pub says: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What the user can do.
    pub next: &'static str,
}

/// A command to run.
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    dir: PathBuf,
    env: Env,
    title: Option<String>,
}

/// What a finished command left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// How it ended, in words.
    pub status: String,
    /// Its last lines, standard output and standard error as they came.
    pub tail: String,
}

/// What a command left that the user did not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// How it ended, in words.
    pub status: String,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Returns whether the last lines contain `text`.
    pub fn says(&self, text: &str) -> bool {
        self.tail.contains(text)
    }
}

impl Command {
    /// Makes a command that starts in `dir` with exactly the environment `env`.
    pub fn new(program: impl AsRef<OsStr>, dir: &Path, env: &Env) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            dir: dir.to_owned(),
            env: env.clone(),
            title: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Sets what the user reads in place of the program and its arguments.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Returns what the user reads for this command.
    pub fn shown(&self) -> String {
        self.title.clone().unwrap_or_else(|| {
            let words = std::iter::once(&self.program).chain(&self.args);
            words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
        })
    }

    fn start(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).current_dir(&self.dir).env_clear().envs(&self.env).stdin(Stdio::null());
        command
    }

    /// Runs it with its output passed on line by line, whatever its outcome.
    pub fn stream(&self, log: &Log) -> Result<Output, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("failed to run `{}`", self.shown())).because(e);
        log.step(format!("$ {}", self.shown()));
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let mut command = self.start();
        command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
        let mut child = command.spawn().map_err(failed)?;
        // The command holds the writing ends: the output would never end while it lives.
        drop(command);
        let tail = pass_on(reader, log).map_err(failed)?;
        let status = child.wait().map_err(failed)?;
        Ok(Output { success: status.success(), status: status.to_string(), tail })
    }

    /// Runs it with standard error passed on, and returns standard output.
    pub fn capture(&self, log: &Log, causes: &[Cause]) -> Result<String, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("failed to run `{}`", self.shown())).because(e);
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let mut command = self.start();
        command.stdout(Stdio::piped()).stderr(writer);
        let mut child = command.spawn().map_err(failed)?;
        drop(command);
        let stdout = child.stdout.take();
        // Both are read at the same time, since a full pipe would stop the command.
        let (text, tail) = std::thread::scope(|scope| {
            let text = scope.spawn(move || {
                let mut bytes = Vec::new();
                stdout.map_or(Ok(0), |mut s| s.read_to_end(&mut bytes)).map(|_| bytes)
            });
            let tail = pass_on(reader, log);
            (text.join().unwrap_or_else(|_| Ok(Vec::new())), tail)
        });
        let status = child.wait().map_err(failed)?;
        let tail = tail.map_err(failed)?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&text.map_err(failed)?).into_owned());
        }
        Err(self.failure(&Output { success: false, status: status.to_string(), tail }, causes))
    }

    /// Runs it with its output passed on; a failure says what the first matching cause means.
    pub fn run(&self, log: &Log, causes: &[Cause]) -> Result<(), Failure> {
        let output = self.stream(log)?;
        if output.success { Ok(()) } else { Err(self.failure(&output, causes)) }
    }

    /// Makes the failure for an output.
    pub fn failure(&self, output: &Output, causes: &[Cause]) -> Failure {
        let failure = Failure::new(format!("`{}` failed", self.shown())).because(&output.status);
        match causes.iter().find(|c| output.says(c.says)) {
            Some(cause) => failure.because(cause.means).next(cause.next),
            None => failure.next("read the output above; the last lines usually name the cause"),
        }
    }

    /// Runs it without a word to the user, whatever its outcome.
    pub fn quietly(&self) -> Result<Quiet, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("failed to run `{}`", self.shown())).because(e);
        let output = self.start().stderr(Stdio::piped()).output().map_err(failed)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Quiet {
            success: output.status.success(),
            status: output.status.to_string(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// Runs it and returns its standard output.
    pub fn read(&self) -> Result<String, Failure> {
        let output = self.quietly()?;
        if output.success {
            return Ok(output.stdout);
        }
        let lines: Vec<&str> = output.stderr.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        Err(Failure::new(format!("`{}` failed", self.shown())).because(output.status).because(last))
    }
}

/// Passes lines on until there are no more, and returns the last ones.
fn pass_on(reader: impl Read, log: &Log) -> std::io::Result<String> {
    let mut tail = VecDeque::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        log.output(&text);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(text);
    }
    Ok(tail.into_iter().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Cause, Command, Env, Log, Path};

    fn shell(script: &str) -> Command {
        let env: Env = [("PATH".into(), "/usr/bin:/bin".into())].into();
        Command::new("sh", Path::new("/"), &env).args(["-c", script])
    }

    #[test]
    fn output_is_passed_on_in_the_order_it_came() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let log = Log::new(move |l| sink.lock().unwrap().push(l.trim().to_owned()));
        shell("echo a; echo b >&2; echo c").title("t").run(&log, &[]).unwrap();
        assert_eq!(*lines.lock().unwrap(), ["$ t", "a", "b", "c"]);
    }

    #[test]
    fn a_failure_names_command_cause_and_next_step() {
        let causes = [Cause { says: "ENOTFOUND", means: "the registry cannot be reached", next: "check it" }];
        let failure = shell("echo err ENOTFOUND; exit 3").title("npm ci").run(&Log::new(|_| {}), &causes);
        assert_eq!(
            failure.unwrap_err().to_string(),
            "`npm ci` failed: exit status: 3: the registry cannot be reached\nnext step: check it"
        );
    }

    #[test]
    fn the_environment_is_exactly_the_given_one() {
        let out = shell("env | grep -v -e ^_= -e ^PWD= -e ^SHLVL=").env("A", "1").read().unwrap();
        assert_eq!(
            out,
            "PATH=/usr/bin:/bin\nA=1\n"
                .split('\n')
                .rev()
                .collect::<Vec<_>>()
                .join("\n")
                .trim_start()
                .to_owned()
                + "\n"
        );
    }
}
