//! Executing a program exactly as asked, from a process that may have many threads.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::wire::{Bytes, Start};

/// A program in the form that `execve` takes, with nothing left to allocate.
struct Prepared {
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// What the pointers point into.
    _texts: Vec<CString>,
}

// SAFETY: the pointers lead to texts that `Prepared` owns, whose bytes do not move with it and are never changed.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}

impl Prepared {
    fn new(request: &Start) -> io::Result<Self> {
        let text = |b: &Bytes| CString::new(b.0.as_slice()).map_err(io::Error::other);
        let all = request.argv.iter().chain(&request.env).map(text);
        let texts = all.collect::<io::Result<Vec<_>>>()?;
        let pointers = |texts: &[CString]| {
            let pointers = texts.iter().map(|t| t.as_ptr());
            pointers.chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        let (argv, env) = texts.split_at(request.argv.len());
        Ok(Self { argv: pointers(argv), env: pointers(env), _texts: texts })
    }

    /// Becomes the program; returns only when that fails.
    fn execute(&self) -> io::Error {
        // SAFETY: both lists end with a null pointer, and so does each text; the first text is the program.
        unsafe { libc::execve(self.argv[0], self.argv.as_ptr(), self.env.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Makes `command` execute what `request` says, by `execve` and nothing else.
///
/// The standard library ends in `execvp`, which in some C libraries hands a file that the kernel refuses to a
/// shell (requirement J26 forbids it).
pub(crate) fn execute_exactly(command: &mut Command, request: &Start) -> io::Result<()> {
    let prepared = Prepared::new(request)?;
    // SAFETY: the closure runs between fork and exec, where only `execve` is called: it takes no lock and
    // allocates nothing, not even for the error, which is a plain number.
    unsafe { command.pre_exec(move || Err(prepared.execute())) };
    Ok(())
}
