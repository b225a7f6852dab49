//! What the program finds around it: read once in `main`, passed down from there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cnb_platform::{Binding, Home, HostPath};

use crate::env_vars::Environment;
use crate::error::CliError;
use crate::moment;
use crate::request::Surroundings;

/// What the program was started with.
#[derive(Debug)]
pub(crate) struct World {
    /// The command line, with the program's name first.
    pub(crate) args: Vec<OsString>,
    /// The environment.
    pub(crate) env: Environment,
    /// The current folder, if there is one.
    pub(crate) cwd: io::Result<PathBuf>,
    /// What tells the time.
    pub(crate) clock: fn() -> SystemTime,
    /// Whether standard input is a terminal.
    pub(crate) stdin_terminal: bool,
    /// Whether standard output is a terminal.
    pub(crate) stdout_terminal: bool,
    /// Whether standard error is a terminal.
    pub(crate) stderr_terminal: bool,
}

impl World {
    /// Returns where images and caches are.
    pub(crate) fn home(&self) -> Result<Home, CliError> {
        Ok(Home::locate(&self.env)?)
    }

    /// Returns whether a line on standard error may change.
    pub(crate) fn live(&self) -> bool {
        self.stderr_terminal && !self.dumb()
    }

    /// Returns whether the environment allows colours.
    pub(crate) fn allows_colours(&self) -> bool {
        // NO_COLOR counts whatever it says; CNB_NO_COLOR is a truth value (B8).
        let no_color = self.var("NO_COLOR").is_some_and(|v| !v.is_empty());
        let cnb_no_color = self.var("CNB_NO_COLOR").and_then(OsStr::to_str).unwrap_or_default();
        let off = no_color || !matches!(cnb_no_color, "" | "0" | "f" | "F" | "false" | "FALSE" | "False");
        !off && !self.dumb()
    }

    fn dumb(&self) -> bool {
        self.var("TERM").is_some_and(|term| term == "dumb")
    }

    fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

impl<'a> Surroundings<'a> {
    /// Returns what the meaning of a command line depends on.
    pub(crate) fn of(world: &'a World) -> Result<Self, CliError> {
        let cwd: &Path = match &world.cwd {
            Ok(cwd) => cwd,
            Err(e) => return Err(CliError::CurrentFolder(e.kind().into())),
        };
        Ok(Self {
            cwd,
            env: &world.env,
            now: moment::seconds((world.clock)()),
            terminal: world.stdin_terminal && world.stdout_terminal,
            read: &|path: &HostPath| fs_err::read(path.as_path()),
            read_binding: &Binding::read,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(env: &[(&str, &str)], colours: bool, live: bool) {
        let world = World {
            args: Vec::new(),
            env: env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect(),
            cwd: Ok(PathBuf::from("/")),
            clock: || SystemTime::UNIX_EPOCH,
            stdin_terminal: true,
            stdout_terminal: true,
            stderr_terminal: true,
        };
        assert_eq!((world.allows_colours(), world.live()), (colours, live), "{env:?}");
    }

    #[test]
    fn the_environment_can_switch_colours_off() {
        check(&[], true, true);
        check(&[("NO_COLOR", ""), ("CNB_NO_COLOR", "false")], true, true);
        check(&[("NO_COLOR", "0")], false, true);
        check(&[("CNB_NO_COLOR", "true")], false, true);
        check(&[("TERM", "dumb")], false, false);
    }
}
