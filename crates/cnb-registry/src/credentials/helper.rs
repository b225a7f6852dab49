//! `docker-credential-*`: programs that keep credentials for others.
//!
//! The protocol is docker's: the action is the argument (`get`, `store`, `erase`), the registry or the credentials
//! come on standard input, the answer goes to standard output, and so does, for historical reasons, the message
//! that there is none.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnb_spec::env::Env;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use serde_json::json;

use super::auth::{Auth, Secret};
use super::error::HelperProblem;
use super::login::{Login, TOKEN_USER};
use super::{environment, json as document, places};

/// How long a helper may take: long enough to type a passphrase where it asks for one.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that a helper may print, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// The most of a helper's messages that is shown, in characters.
const LONGEST_MESSAGE: usize = 500;

/// What helpers print, on standard output, where they know nothing of a registry.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The environment in which helpers run: ours, without the credentials in it.
#[derive(Clone, Default)]
pub(super) struct HelperEnv(Arc<Env>);

impl HelperEnv {
    pub(super) fn of(env: &Env) -> Self {
        let mut env = env.clone();
        env.remove(OsStr::new(environment::REGISTRY_AUTH));
        env.remove(OsStr::new(places::DOCKER_AUTH));
        Self(Arc::new(env))
    }
}

impl fmt::Debug for HelperEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever put secrets into other variables would not like to see them either.
        f.debug_struct("HelperEnv").field("variables", &self.0.len()).finish()
    }
}

/// A helper that a configuration file names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Helper<'a> {
    /// The end of its name.
    pub(super) name: &'a str,
    /// What it runs in.
    pub(super) env: &'a HelperEnv,
}

impl Helper<'_> {
    /// Returns what it knows of the registry with this key.
    pub(super) fn get(self, key: &str) -> Result<Option<Auth>, HelperProblem> {
        let answer = self.run("get", key.as_bytes())?;
        if answer.is_not_found() {
            return Ok(None);
        }
        credentials(&answer.stdout_if_successful()?).map_err(HelperProblem::Answer)
    }

    /// Gives it credentials to keep.
    pub(super) fn store(self, key: &str, login: &Login) -> Result<(), HelperProblem> {
        let (user, secret) = match login {
            Login::Password { user, password } => (user.as_str(), password),
            Login::IdentityToken(token) => (TOKEN_USER, token),
        };
        let credentials = json!({"ServerURL": key, "Username": user, "Secret": secret.expose()});
        self.run("store", credentials.to_string().as_bytes())?.stdout_if_successful()?;
        Ok(())
    }

    /// Makes it forget a registry; returns whether it knew it, as far as it says so.
    pub(super) fn erase(self, key: &str) -> Result<bool, HelperProblem> {
        let answer = self.run("erase", key.as_bytes())?;
        if answer.is_not_found() {
            return Ok(false);
        }
        answer.stdout_if_successful()?;
        Ok(true)
    }

    fn run(self, action: &str, input: &[u8]) -> Result<Answer, HelperProblem> {
        let mut command = Command::new(self.find()?);
        command.arg(action).env_clear().envs(self.env.0.iter());
        ask(&mut command, input, PATIENCE)
    }

    /// Finds the program in the folders of `PATH`; the current folder is never one of them.
    fn find(self) -> Result<PathBuf, HelperProblem> {
        if self.name.is_empty() || self.name.contains(['/', '\0']) {
            return Err(HelperProblem::Name);
        }
        let program = format!("docker-credential-{}", self.name);
        let path = self.env.0.get(OsStr::new("PATH")).ok_or(HelperProblem::Missing)?;
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&program))
            .find(|path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
            .ok_or(HelperProblem::Missing)
    }
}

/// What a helper left behind when it ended. No `Debug`: the output is secret.
struct Answer {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Answer {
    fn is_not_found(&self) -> bool {
        let says = |bytes: &[u8]| bytes.trim_ascii() == NOT_FOUND.as_bytes();
        !self.status.success() && (says(&self.stdout) || says(&self.stderr))
    }

    fn stdout_if_successful(self) -> Result<Vec<u8>, HelperProblem> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let text = String::from_utf8_lossy(&self.stderr);
        let words: Vec<&str> = text.split_whitespace().collect();
        let stderr = words.join(" ").chars().take(LONGEST_MESSAGE).collect();
        Err(HelperProblem::Failed { status: self.status, stderr })
    }
}

/// Understands the answer to `get`; the error is the reason, without any text of the answer.
fn credentials(answer: &[u8]) -> Result<Option<Auth>, String> {
    let object = document::object(answer)?.unwrap_or_default();
    let user = document::text(&object, "Username")?.unwrap_or_default();
    Ok(document::text(&object, "Secret")?.map(|secret| match user {
        TOKEN_USER => Auth::IdentityToken(Secret::new(secret)),
        _ => Auth::Basic { user: user.to_owned(), password: Secret::new(secret) },
    }))
}

/// Runs `command` with `input`; one that takes longer than `patience` is killed.
fn ask(command: &mut Command, input: &[u8], patience: Duration) -> Result<Answer, HelperProblem> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(HelperProblem::Run)?;
    let talked = talk(&mut child, input, patience);
    if talked.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(HelperProblem::Run)?;
    let (stdout, stderr) = talked?;
    Ok(Answer { status, stdout, stderr })
}

/// Writes `input` and reads until the child has ended; what it leaves running does not keep this waiting.
fn talk(child: &mut Child, input: &[u8], patience: Duration) -> Result<(Vec<u8>, Vec<u8>), HelperProblem> {
    let deadline = Instant::now() + patience;
    let end = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(failed)?;
    let mut stdin = Pipe::new(child.stdin.take())?;
    let mut stdout = Pipe::new(child.stdout.take())?;
    let mut stderr = Pipe::new(child.stderr.take())?;
    let (mut left, mut out, mut err) = (input, Vec::new(), Vec::new());
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(HelperProblem::TimedOut(patience));
        }
        let mut watched = vec![PollFd::new(&end, PollFlags::IN)];
        watched.extend(stdin.0.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        watched.extend(stdout.0.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(stderr.0.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut watched, Timespec::try_from(rest).ok().as_ref()) {
            Err(Errno::INTR) => continue,
            other => other.map_err(failed)?,
        };
        let ended = !watched[0].revents().is_empty();
        stdin.write(&mut left);
        stdout.read(&mut out)?;
        stderr.read(&mut err)?;
        // Only now: what it wrote before it ended has just been read.
        if ended {
            return Ok((out, err));
        }
    }
}

/// One end of a pipe that never blocks; nothing once the other end is closed.
struct Pipe<T>(Option<T>);

impl<T: AsFd> Pipe<T> {
    fn new(pipe: Option<T>) -> Result<Self, HelperProblem> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true).map_err(failed)?;
        }
        Ok(Self(pipe))
    }
}

impl<T: Write> Pipe<T> {
    /// Writes what fits, and closes the pipe when all is written or nobody reads any more.
    fn write(&mut self, left: &mut &[u8]) {
        while let Some(pipe) = &mut self.0 {
            match pipe.write(left) {
                Ok(written) if written < left.len() => *left = &left[written..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A helper that needs no input may still have an answer.
                Ok(_) | Err(_) => self.0 = None,
            }
        }
    }
}

impl<T: Read> Pipe<T> {
    /// Reads what is there.
    fn read(&mut self, into: &mut Vec<u8>) -> Result<(), HelperProblem> {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &mut self.0 {
            match pipe.read(&mut buffer) {
                Ok(0) => self.0 = None,
                Ok(length) if into.len() + length > LONGEST_ANSWER => {
                    return Err(HelperProblem::Answer(format!("it is longer than {LONGEST_ANSWER} bytes")));
                }
                Ok(length) => into.extend_from_slice(&buffer[..length]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(HelperProblem::Run(e)),
            }
        }
        Ok(())
    }
}

fn failed(error: Errno) -> HelperProblem {
    HelperProblem::Run(error.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cnb_testkit::program;

    use super::*;

    /// Makes a folder with `docker-credential-fake`, which does `script`, and the environment for it.
    fn fake(folder: &Path, script: &str) -> HelperEnv {
        program(&folder.join("docker-credential-fake"), &format!("#!/bin/sh\n{script}\n")).unwrap();
        let path = format!("relative:/nowhere:{}:/usr/bin:/bin", folder.display());
        let variables = [("PATH", path.as_str()), ("KEPT", "1"), ("CNB_REGISTRY_AUTH", "{}")];
        HelperEnv::of(&variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    fn get(script: &str) -> Result<Option<Auth>, HelperProblem> {
        let folder = tempfile::tempdir().unwrap();
        let env = fake(folder.path(), script);
        Helper { name: "fake", env: &env }.get("r.io")
    }

    fn password(user: &str, password: &str) -> Auth {
        Auth::Basic { user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn the_action_is_the_argument_and_the_registry_comes_on_standard_input() {
        let found = get(r#"printf '{"ServerURL":"","Username":"%s","Secret":"%s"}' "$1" "$(cat)""#);
        assert_eq!(found.unwrap(), Some(password("get", "r.io")));
    }

    #[test]
    fn a_token_has_a_user_of_its_own() {
        let found = get(r#"echo '{"Username":"<token>","Secret":"t"}'"#).unwrap();
        assert_eq!(found, Some(Auth::IdentityToken(Secret::new("t"))));
        let found = get(r#"echo '{"username":"me","secret":"in small letters"}'"#).unwrap();
        assert_eq!(found, Some(password("me", "in small letters")));
    }

    #[test]
    fn nothing_found_is_no_error() {
        for script in [
            "echo credentials not found in native keychain; exit 1",
            "echo credentials not found in native keychain >&2; exit 1",
            "echo '{}'",
            r#"echo '{"Username":"","Secret":""}'"#,
        ] {
            assert_eq!(get(script).unwrap(), None, "{script}");
        }
    }

    #[track_caller]
    fn refused(script: &str, expected: &str) {
        let problem = get(script).unwrap_err();
        assert_eq!(problem.to_string(), expected);
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }

    #[test]
    fn standard_error_is_told_and_standard_output_never() {
        refused(
            "echo hunter2; printf 'no\\n  agent\\n' >&2; exit 3",
            "it ended with exit status: 3: no agent",
        );
        refused("echo hunter2; exit 1", "it ended with exit status: 1 and said nothing on standard error");
        refused("echo hunter2", "its answer cannot be understood: expected value at line 1 column 1");
        refused(
            r#"echo '{"Secret":["hunter2"]}'"#,
            "its answer cannot be understood: `Secret` is not a string",
        );
        refused(
            "head -c 2000000 /dev/zero",
            "its answer cannot be understood: it is longer than 1048576 bytes",
        );
    }

    #[test]
    fn a_helper_has_our_environment_without_the_credentials_in_it() {
        let script = r#"printf '{"Username":"%s%s","Secret":"x"}' "$KEPT" "${CNB_REGISTRY_AUTH-unset}""#;
        assert_eq!(get(script).unwrap(), Some(password("1unset", "x")));
    }

    #[test]
    fn a_helper_that_takes_too_long_is_killed() {
        let start = Instant::now();
        let problem =
            ask(Command::new("/bin/sh").args(["-c", "exec sleep 100"]), b"", Duration::from_millis(50));
        assert!(matches!(problem, Err(HelperProblem::TimedOut(_))));
        assert!(start.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn what_a_helper_leaves_running_is_not_waited_for() {
        let start = Instant::now();
        let answer = ask(Command::new("/bin/sh").args(["-c", "sleep 100 & echo $!"]), b"", PATIENCE)
            .unwrap_or_else(|p| panic!("{p}"));
        let left = String::from_utf8(answer.stdout).unwrap();
        assert!(start.elapsed() < Duration::from_secs(50));
        let pid = Pid::from_raw(left.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[test]
    fn input_that_fills_the_pipe_and_nobody_reads_is_no_trouble() {
        let answer = ask(Command::new("/bin/sh").args(["-c", "echo done"]), &vec![b'x'; 1 << 20], PATIENCE);
        assert!(answer.is_ok_and(|a| a.stdout == b"done\n"));
        let answer = ask(Command::new("/bin/sh").args(["-c", "wc -c"]), &vec![b'x'; 1 << 20], PATIENCE);
        assert!(answer.is_ok_and(|a| a.stdout.trim_ascii() == b"1048576"));
    }

    #[test]
    fn a_helper_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let env = fake(folder.path(), "");
        let get = |name| Helper { name, env: &env }.get("r.io").unwrap_err().to_string();
        assert_eq!(get("other"), "there is no such program in the folders of PATH");
        assert_eq!(get("../fake"), "its name is not one of a program");
        assert_eq!(get(""), "its name is not one of a program");
    }

    #[test]
    fn credentials_can_be_kept_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        let env = fake(folder.path(), &format!("echo \"$1 $(cat)\" >> {}", kept.display()));
        let helper = Helper { name: "fake", env: &env };
        let login = Login::Password { user: "me".to_owned(), password: Secret::new("p") };
        helper.store("r.io", &login).unwrap();
        helper.store("r.io", &Login::IdentityToken(Secret::new("t"))).unwrap();
        assert!(helper.erase("r.io").unwrap());
        let calls = fs_err::read_to_string(kept).unwrap();
        assert_eq!(
            calls,
            "store {\"Secret\":\"p\",\"ServerURL\":\"r.io\",\"Username\":\"me\"}\n\
             store {\"Secret\":\"t\",\"ServerURL\":\"r.io\",\"Username\":\"<token>\"}\nerase r.io\n"
        );
        let env = fake(folder.path(), "echo credentials not found in native keychain; exit 1");
        assert!(!Helper { name: "fake", env: &env }.erase("r.io").unwrap());
    }
}
