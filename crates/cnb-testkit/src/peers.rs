//! Programs that tests use as peers: whether they are there, and what they say.

use std::path::Path;
use std::process::{Command, Stdio};

/// Returns whether all of the programs are there. Where one is missing, the test that asks is skipped and says
/// so; with `CI=true` it fails instead.
#[track_caller]
pub fn available(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !is_there(program)).collect();
    missing.is_empty() || skip(&format!("missing: {missing:?}"))
}

/// Returns whether all of the programs are there and root runs the tests. Who is not root skips the test, in CI
/// too.
#[track_caller]
pub fn available_to_root(programs: &[&str]) -> bool {
    if is_root() {
        return available(programs);
    }
    say_skipped("root's business");
    false
}

/// Returns whether root runs the tests.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a program in `dir`, which must succeed; returns its standard output.
///
/// # Panics
/// Where it cannot be started, or fails: with all that it said.
#[track_caller]
pub fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir);
    output(&mut command)
}

/// Runs a command without standard input, which must succeed; returns its standard output.
///
/// # Panics
/// Where it cannot be started, or fails: with all that it said.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(e) => panic!("{command:?}: {e}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_there(program: &str) -> bool {
    // Root's programs may not be on the path of an ordinary user.
    ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(program).is_file())
        || Command::new("which").arg(program).output().is_ok_and(|o| o.status.success())
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test has no main that could read the environment")]
fn skip(why: &str) -> bool {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{why}");
    say_skipped(why);
    false
}

#[expect(clippy::print_stderr, reason = "who runs the tests should know what was not tried")]
fn say_skipped(why: &str) {
    eprintln!("skipped: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_system_has_is_available_and_runs() {
        assert!(available(&["sh", "install"]));
        assert!(!is_there("no-such-program"));
        assert_eq!(run("pwd", &[], Path::new("/")), "/\n");
    }
}
