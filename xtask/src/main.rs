//! The command line of `cargo xtask`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use xtask::package::{Package, PackageError};
use xtask::{apps, examples, gate, package, spec, tidy, workspace_root};

const USAGE: &str = "usage:
  cargo xtask test                      everything that a change must pass
  cargo xtask tidy                      check what the compiler does not
  cargo xtask spec --lifecycle DIR …    put any lifecycle to the specification cases; --help tells the options
  cargo xtask spec --mutations [FAULT…] put the specification cases to the test, with faults in our own lifecycle
  cargo xtask examples --cnb FILE [DIR…] run the commands in the READMEs of examples, with this `cnb`
  cargo xtask bench apps --cnb FILE [DIR…] how long the examples take to build, first and again, with this `cnb`
  cargo xtask package lifecycle [--output FILE] [--target TRIPLE] [--try]
                                        make the archive that builders take as `[lifecycle] uri`, and try it
                                        where nothing else is (with bubblewrap)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((_, rest)) = args.split_first().filter(|(command, _)| *command == "spec") {
        return ExitCode::from(spec::main(rest, &print, &mut std::io::stderr()));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = workspace_root();
    let (report, code) = match args[..] {
        ["test"] => {
            let around = gate::Surroundings {
                path: variable("PATH").unwrap_or_default(),
                ci: variable("CI").is_some_and(|v| v == "true"),
                cargo_home: package::cargo_home(variable),
            };
            match gate::run(&root, &around, &|line| print(&format!("{line}\n"))) {
                Ok(()) => ("everything passed\n".to_owned(), 0),
                Err(e) => (format!("failed: {e}\n"), 1),
            }
        }
        ["tidy"] => match tidy::check(&root) {
            Ok(findings) if findings.is_empty() => ("tidy: nothing found\n".to_owned(), 0),
            Ok(findings) => (lines(&findings), 1),
            Err(e) => (format!("failed to check: {e}\n"), 1),
        },
        ["examples", "--cnb", cnb, ref dirs @ ..] => {
            let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
            let say = |line: &str| print(&format!("{line}\n"));
            match examples::run_all(&root, cnb.as_ref(), &dirs, &say) {
                Ok(count) => (format!("examples: {count} commands run\n"), 0),
                Err(e) => (format!("{e}\n"), 1),
            }
        }
        ["bench", "apps", "--cnb", cnb, ref dirs @ ..] => {
            let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
            match apps::run(&root, cnb.as_ref(), &dirs) {
                Ok(rows) => (apps::table(&rows), 0),
                Err(e) => (format!("{e}\n"), 1),
            }
        }
        ["package", "lifecycle", ref options @ ..] => match package_options(options) {
            Some((options, trial)) => match package_lifecycle(&root, &options, trial) {
                Ok(made) => (format!("{}  {}\n", made.sha256, made.archive.display()), 0),
                Err(e) => (format!("failed to package the lifecycle: {e}\n"), 1),
            },
            None => (USAGE.to_owned(), 2),
        },
        _ => (USAGE.to_owned(), 2),
    };
    print(&report);
    ExitCode::from(code)
}

/// Reads the options of `cargo xtask package lifecycle`, and whether to try the package; `None` for others.
fn package_options(mut words: &[&str]) -> Option<(package::Options, bool)> {
    let mut options =
        package::Options { output: None, target: None, cargo_home: package::cargo_home(variable) };
    let mut trial = false;
    loop {
        words = match *words {
            [] => return Some((options, trial)),
            ["--try", ref rest @ ..] => {
                trial = true;
                rest
            }
            ["--output", file, ref rest @ ..] => {
                options.output = Some(file.into());
                rest
            }
            ["--target", triple, ref rest @ ..] => {
                options.target = Some(triple.to_owned());
                rest
            }
            _ => return None,
        };
    }
}

fn package_lifecycle(root: &Path, options: &package::Options, trial: bool) -> Result<Package, PackageError> {
    let made = package::lifecycle(root, options)?;
    if trial {
        package::trial::run(root, &made)?;
    }
    Ok(made)
}

#[expect(clippy::disallowed_methods, reason = "the environment is read in main, and passed down")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn lines(findings: &[tidy::Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn print(text: &str) {
    // A reader that went away wants no more lines.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
