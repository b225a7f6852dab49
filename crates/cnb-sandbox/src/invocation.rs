//! A command to run in the guest, and how it ended.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;

use cnb_fs::GuestPath;

/// One command: program, arguments, environment and directory, all in the guest's terms.
///
/// Standard input is empty. Standard output and standard error arrive merged, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The program; executed as `execve` does, without a shell and without a search in `PATH`.
    pub program: GuestPath,
    /// The arguments after the program's own name.
    pub args: Vec<OsString>,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<OsString, OsString>,
    /// The working directory.
    pub cwd: GuestPath,
}

impl Invocation {
    /// Returns the program's name followed by its arguments.
    pub(crate) fn argv(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str))
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl Exit {
    /// Returns whether the command succeeded.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Something that runs commands: [`Direct`](crate::Direct), [`Sandbox`](crate::Sandbox), or a closure in tests.
pub trait Run: Sync {
    /// Runs `invocation` to its end, handing what it prints to `output` as it comes.
    ///
    /// An error means that the command could not be started at all.
    fn run(&self, invocation: &Invocation, output: &mut dyn FnMut(&[u8])) -> io::Result<Exit>;
}

impl<F: Fn(&Invocation, &mut dyn FnMut(&[u8])) -> io::Result<Exit> + Sync> Run for F {
    fn run(&self, invocation: &Invocation, output: &mut dyn FnMut(&[u8])) -> io::Result<Exit> {
        self(invocation, output)
    }
}
