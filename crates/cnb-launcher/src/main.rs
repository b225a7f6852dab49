//! The launcher: the entry point of every app image, which replaces itself by the app's process.
//!
//! Platform Interface Specification, "launcher"; requirements B98 to B111. It runs inside the app image, on
//! whatever kernel or container runtime the image is deployed to. So it reads files with plain system calls
//! only (no `openat2`, which older kernels and some runtimes refuse), is linked statically, and does nothing
//! that the process it starts would have to pay for.
//!
//! Reading order: [`metadata`] (what the build recorded), [`launch`] (what to start, decided without the disk),
//! [`layers`] and [`exec_d`] (its environment), [`lookup`] (its file), [`failure`] (exit codes).

mod container_env;
mod exec_d;
mod failure;
mod launch;
mod layers;
mod lookup;
mod metadata;
mod system;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cnb_spec::env::Env;
use cnb_spec::fault;

use crate::failure::{Failure, LaunchError, chain};
use crate::launch::Selected;
use crate::metadata::Metadata;
use crate::system::SystemError;

/// What the launcher was started with.
struct Outside {
    argv0: OsString,
    args: Vec<OsString>,
    env: Env,
}

impl Outside {
    /// Returns a variable; one that is set but empty counts as unset (requirement B4).
    fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(name)).map(OsString::as_os_str).filter(|v| !v.is_empty())
    }

    /// Returns the directory that a variable names, made absolute, so that it stays the same after `chdir`.
    fn dir(&self, name: &str, default: &str) -> PathBuf {
        let dir = Path::new(self.var(name).unwrap_or(OsStr::new(default)));
        std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
    }
}

fn main() -> ExitCode {
    // Rust programs ignore SIGPIPE, and what a process ignores its successor ignores too: `yes | head` in an
    // app would never end.
    sigpipe::reset();
    let mut args = std::env::args_os();
    let argv0 = args.next().unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    let mut env = std::env::vars_os().collect();
    fault::take(&mut env);
    let outside = Outside { argv0, args: args.collect(), env };
    let colour = !outside.var("CNB_NO_COLOR").is_some_and(is_true);
    let Err(failure) = start(&outside, &|text| say(colour, "33;1", "Warning: ", text));
    say(colour, "31;1", "ERROR: ", &chain(&failure));
    ExitCode::from(failure.exit_code())
}

/// Replaces this process by the app's; returns only on failure.
fn start(outside: &Outside, warn: &dyn Fn(&str)) -> Result<Infallible, Failure> {
    let platform_api = metadata::platform_api(outside.var("CNB_PLATFORM_API"))?;
    let layers_dir = system::clean(&outside.dir("CNB_LAYERS_DIR", "/layers"));
    let metadata = Metadata::read(&layers_dir)?;
    let providers = metadata.providers()?;
    if let Some(process_type) = outside.var("CNB_PROCESS_TYPE") {
        let process_type = process_type.to_string_lossy();
        warn(&format!("CNB_PROCESS_TYPE is not supported in Platform API {platform_api}"));
        warn(&format!("Run with ENTRYPOINT '{process_type}' to invoke the '{process_type}' process type"));
    }
    let exec_env = outside.var("CNB_EXEC_ENV").unwrap_or(OsStr::new("production"));
    let request = launch::Request { platform_api, exec_env, argv0: &outside.argv0, args: &outside.args };
    let selected = launch::select(metadata.processes, &providers, &request).map_err(LaunchError::Select)?;

    let app_dir = outside.dir("CNB_APP_DIR", "/workspace");
    change_dir(&app_dir).map_err(LaunchError::AppDir)?;
    let layers = layers::find(&layers_dir, &providers).map_err(LaunchError::Env)?;
    let mut env = container_env::for_process(&outside.env);
    for buildpack in &layers {
        layers::apply_env(buildpack, &selected.process_type, &mut env).map_err(LaunchError::Env)?;
    }
    for layer in layers.iter().flatten().filter(|_| !fault::is("exec-d-skipped")) {
        exec_d::run(layer, &selected.process_type, &mut env).map_err(LaunchError::ExecD)?;
    }
    let working_dir = if selected.working_dir.is_empty() || fault::is("working-dir-ignored") {
        &app_dir
    } else {
        Path::new(&selected.working_dir)
    };
    Err(if selected.direct {
        exec_direct(&selected, working_dir, &env)
    } else {
        let profiles = layers.iter().flatten().map(PathBuf::as_path);
        exec_in_shell(&selected, profiles, &app_dir, working_dir, &outside.argv0, &env)
    }
    .into())
}

/// Replaces this process by a program (requirement B108).
fn exec_direct(selected: &Selected, working_dir: &Path, env: &Env) -> LaunchError {
    let Some(command) = selected.command.first() else {
        return LaunchError::NoCommand(selected.process_type.clone());
    };
    let path = env.get(OsStr::new("PATH")).map_or(OsStr::new(""), OsString::as_os_str);
    let program = match lookup::find(command, path) {
        Ok(program) => program,
        Err(e) => return LaunchError::Lookup(e),
    };
    // A relative program was looked up in the app directory but runs in the working directory (J24).
    if let Err(e) = change_dir(working_dir) {
        return LaunchError::WorkingDir(e);
    }
    LaunchError::DirectExec(exec(program.as_os_str(), selected.command.iter().chain(&selected.args), env))
}

/// Replaces this process by bash, which sources the profiles and then runs the command (requirement B109).
fn exec_in_shell<'l>(
    selected: &Selected,
    layers: impl Iterator<Item = &'l Path>,
    app_dir: &Path,
    working_dir: &Path,
    argv0: &OsStr,
    env: &Env,
) -> LaunchError {
    let profiles = match layers::profiles(layers, &selected.process_type, app_dir) {
        Ok(profiles) => profiles,
        Err(e) => return LaunchError::Profiles(e),
    };
    match launch::shell_argv(selected, &profiles, working_dir, argv0) {
        Ok(argv) => LaunchError::ShellExec(exec(OsStr::new("/bin/bash"), argv.iter(), env)),
        Err(e) => LaunchError::UnknownProvider(e),
    }
}

/// Executes `program`; the error says why that failed.
fn exec<'a>(program: &OsStr, argv: impl Iterator<Item = &'a OsString>, env: &Env) -> nix::Error {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| nix::Error::EINVAL);
    let variable =
        |(name, value): (&OsString, &OsString)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat());
    let executed = || {
        let argv = argv.map(|a| text(a.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let env = env.iter().map(variable).collect::<Result<Vec<_>, _>>()?;
        nix::unistd::execve(&text(program.as_bytes())?, &argv, &env)
    };
    let Err(error) = executed();
    error
}

fn change_dir(dir: &Path) -> Result<(), SystemError> {
    std::env::set_current_dir(dir).map_err(|e| SystemError::new("chdir", dir, &e))
}

/// Prints a line; everything goes to standard output, as the Go program has it (requirements H1, H3).
fn say(colour: bool, code: &str, prefix: &str, text: &str) {
    let line =
        if colour { format!("\x1b[{code}m{prefix}\x1b[0m{text}\n") } else { format!("{prefix}{text}\n") };
    // There is nobody left to tell when standard output is gone.
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Returns whether a switch in the environment is on, in the spellings that the Go program takes.
fn is_true(value: &OsStr) -> bool {
    matches!(value.as_bytes(), b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True")
}
