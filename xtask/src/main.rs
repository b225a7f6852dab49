//! The command line of `cargo xtask`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use xtask::{examples, gate, tidy, workspace_root};

const USAGE: &str = "usage:
  cargo xtask test                      everything that a change must pass
  cargo xtask tidy                      check what the compiler does not
  cargo xtask examples --cnb FILE [DIR…] run the commands in the READMEs of examples, with this `cnb`
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = workspace_root();
    let (report, code) = match args[..] {
        ["test"] => {
            #[expect(clippy::disallowed_methods, reason = "the environment is read in main, and passed down")]
            let around = gate::Surroundings {
                path: std::env::var_os("PATH").unwrap_or_default(),
                ci: std::env::var_os("CI").is_some_and(|v| v == "true"),
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
        _ => (USAGE.to_owned(), 2),
    };
    print(&report);
    ExitCode::from(code)
}

fn lines(findings: &[tidy::Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn print(text: &str) {
    // A reader that went away wants no more lines.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
