//! `cargo xtask examples`: the commands that the READMEs of `examples/` show are run, and must do what they show.
//!
//! In a block of kind `console`, a line that starts with `$ ` is a command, and what follows is the output it
//! must have; a line `...` there stands for any number of lines, and a command without output shown may print
//! anything. In a block of kind `sh`, each line is a command. A line that ends with `\` goes on. All run in the
//! folder of the workspace, with `cnb` being the given program and `CNB_HOME` a new directory.
//!
//! A README with `<!-- needs: PROGRAM … -->` is skipped, and said to be, where a program is not on the `PATH`.
//!
//! `cnb run … -p PORT` runs in the background: the next command starts when the port answers, and at the next
//! `cnb run` or the end of the README it gets SIGTERM. The port is replaced by a free one, everywhere.

mod readme;
mod server;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use self::readme::{Step, output_matches, port_of};
use self::server::Server;

/// Why an example does not do what its README shows.
#[derive(Debug, thiserror::Error)]
pub enum ExampleError {
    /// A file or a program could not be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A command did something else.
    #[error("{}:{line}: `{command}` {what}", readme.display())]
    Command {
        /// The README.
        readme: PathBuf,
        /// Its line.
        line: usize,
        /// The command.
        command: String,
        /// What it did.
        what: String,
    },
    /// There is no README to run.
    #[error("found no README with commands in {0}")]
    Nothing(String),
}

/// Runs the READMEs in `dirs`, or all in `examples/` of the workspace in `root`; returns how many commands ran.
pub fn run_all(root: &Path, cnb: &Path, dirs: &[PathBuf], say: &dyn Fn(&str)) -> Result<usize, ExampleError> {
    let dirs = if dirs.is_empty() { example_dirs(root)? } else { dirs.to_vec() };
    let cnb = std::path::absolute(cnb)?;
    let (mut count, mut skipped) = (0, 0);
    for dir in &dirs {
        let readme = dir.join("README.md");
        say(&format!("===> {}", readme.display()));
        let missing = missing_in(&fs_err::read_to_string(root.join(&readme))?, &search_path());
        if !missing.is_empty() {
            say(&format!("skipped: it needs {}", missing.join(", ")));
            skipped += 1;
            continue;
        }
        count += run_readme(root, &cnb, &readme, say)?;
    }
    if count == 0 && skipped == 0 {
        let names: Vec<_> = dirs.iter().map(|d| d.display().to_string()).collect();
        return Err(ExampleError::Nothing(names.join(", ")));
    }
    Ok(count)
}

/// Returns the programs that READMEs in `dirs`, or all, need and that are not along `path`.
pub fn missing(root: &Path, dirs: &[PathBuf], path: &OsStr) -> Result<Vec<String>, ExampleError> {
    let dirs = if dirs.is_empty() { example_dirs(root)? } else { dirs.to_vec() };
    let mut missing = Vec::new();
    for dir in dirs {
        missing.extend(missing_in(&fs_err::read_to_string(root.join(dir).join("README.md"))?, path));
    }
    missing.sort();
    missing.dedup();
    Ok(missing)
}

fn missing_in(readme: &str, path: &OsStr) -> Vec<String> {
    let is_there = |program: &&str| std::env::split_paths(path).any(|dir| dir.join(program).is_file());
    let needs = readme::needs(readme).into_iter().filter(|program| !is_there(program));
    needs.map(str::to_owned).collect()
}

#[expect(clippy::disallowed_methods, reason = "a command line program: commands run with the user's PATH")]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Runs the commands of one README; returns how many there were.
fn run_readme(root: &Path, cnb: &Path, path: &Path, say: &dyn Fn(&str)) -> Result<usize, ExampleError> {
    let steps = readme::steps(&fs_err::read_to_string(root.join(path))?);
    let world = World::new(root, cnb)?;
    let mut ports = Vec::new();
    let mut server: Option<(Server, Step)> = None;
    let fail = |step: &Step, what: String| ExampleError::Command {
        readme: path.to_path_buf(),
        line: step.line,
        command: step.command.clone(),
        what,
    };
    let end = |running: Option<(Server, Step)>| match running {
        Some((server, step)) => server.stop().map_err(|what| fail(&step, what)),
        None => Ok(()),
    };
    for step in &steps {
        if let Some(shown) = port_of(&step.command) {
            end(server.take())?;
            if !ports.iter().any(|(port, _)| *port == shown) {
                ports.push((shown, server::free_port()?));
            }
        }
        let step = step.with_ports(&ports);
        say(&format!("$ {}", step.command));
        if let Some(port) = port_of(&step.command) {
            let started =
                Server::start(world.command(&step.command), port, &world.home.path().join("server.log"));
            server = Some((started.map_err(|what| fail(&step, what))?, step));
            continue;
        }
        let output = world.command(&format!("{{ {}\n}} 2>&1", step.command)).output()?;
        check(&step, &output).map_err(|what| fail(&step, what))?;
    }
    end(server)?;
    Ok(steps.len())
}

/// Compares what a command did with what is shown.
fn check(step: &Step, output: &Output) -> Result<(), String> {
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("failed with {}:\n{printed}", output.status));
    }
    let found: Vec<&str> = printed.lines().collect();
    if step.output.is_empty() || output_matches(&step.output, &found) {
        return Ok(());
    }
    Err(format!("printed\n{printed}instead of\n{}", step.output.join("\n")))
}

/// Where the commands of one README run.
struct World<'a> {
    root: &'a Path,
    /// Holds the images and caches, and `bin/cnb`; deleted at the end.
    home: tempfile::TempDir,
    path: std::ffi::OsString,
}

impl<'a> World<'a> {
    fn new(root: &'a Path, cnb: &Path) -> std::io::Result<Self> {
        let home = tempfile::tempdir()?;
        let bin = home.path().join("bin");
        fs_err::create_dir(&bin)?;
        fs_err::os::unix::fs::symlink(cnb, bin.join("cnb"))?;
        let path = search_path();
        let dirs = std::iter::once(bin).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(dirs).map_err(std::io::Error::other)?;
        Ok(Self { root, home, path })
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.root).stdin(Stdio::null());
        command.env("PATH", &self.path).env("CNB_HOME", self.home.path().join("cnb"));
        // Images of examples are not left in engines of this machine.
        command.env("DOCKER_HOST", "unix:///nowhere").env("CONTAINER_HOST", "unix:///nowhere");
        command
    }
}

fn example_dirs(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    for entry in fs_err::read_dir(root.join("examples"))? {
        let name = entry?.file_name();
        if root.join("examples").join(&name).join("README.md").is_file() {
            dirs.push(Path::new("examples").join(name));
        }
    }
    dirs.sort();
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a README with a `cnb` that is a shell script; returns the error without paths.
    #[track_caller]
    fn check_readme(cnb: &str, readme: &str, expected: Result<usize, &str>) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("examples/app");
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::write(dir.join("README.md"), readme).unwrap();
        let program = root.path().join("cnb");
        cnb_testkit::program(&program, cnb).unwrap();
        let found = run_all(root.path(), &program, &[], &|_| {}).map_err(|e| e.to_string());
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
            (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
            _ => panic!("{found:?}"),
        }
    }

    const ECHO: &str = "#!/bin/sh\necho \"$@\"\necho warning >&2";

    #[test]
    fn commands_must_succeed_and_print_what_is_shown() {
        check_readme(ECHO, "```console\n$ cnb build .\nbuild .\nwarning\n$ test -d examples\n```", Ok(2));
        check_readme(ECHO, "```console\n$ cnb build .\n...\n```\n```sh\ncnb a \\\n  b\n```", Ok(2));
        check_readme(
            ECHO,
            "text\n```console\n$ cnb build .\nother\n```",
            Err("examples/app/README.md:3: `cnb build .` printed\nbuild .\nwarning\ninstead of\nother"),
        );
        check_readme(
            ECHO,
            "```sh\nexit 3\n```",
            Err("examples/app/README.md:2: `exit 3` failed with exit status: 3"),
        );
        check_readme(ECHO, "no commands", Err("found no README with commands in examples/app"));
    }

    #[test]
    fn a_readme_that_needs_what_is_not_there_is_skipped() {
        let readme = "<!-- needs: sh no-such-program -->\n```sh\nexit 3\n```";
        assert_eq!(missing_in(readme, &search_path()), ["no-such-program"]);
        check_readme(ECHO, readme, Ok(0));
    }

    #[test]
    fn an_app_answers_before_the_next_command_and_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("port");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let cnb = format!("#!/bin/bash\necho ${{@: -1}} > {}\nexec sleep 100", fifo.display());
        // The app is this thread: it learns the port from the program that stands in for `cnb`.
        std::thread::spawn(move || {
            let port: u16 = fs_err::read_to_string(fifo).unwrap().trim().parse().unwrap();
            for client in std::net::TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
                // A client that only wanted to know whether somebody answers is gone already.
                let _ = std::io::Write::write_all(&mut client.unwrap(), b"hello\n");
            }
        });
        let readme = "```console\n$ cnb run app -p 8080\n$ cat < /dev/tcp/127.0.0.1/8080\nhello\n```";
        check_readme(&cnb, readme, Ok(2));
    }

    #[test]
    fn an_app_that_ends_early_is_an_error() {
        let readme = "```console\n$ cnb run app -p 8080\n```";
        check_readme(ECHO, readme, Err("examples/app/README.md:2: `cnb run app -p "));
    }
}
