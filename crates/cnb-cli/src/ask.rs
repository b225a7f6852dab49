//! Asking on a terminal, and reading secrets from standard input.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// The most that is read of a name or a password, in bytes.
const LONGEST: usize = 64 << 10;

/// Reads all of `input` without the end of its last line, which `echo` adds; everything else counts.
pub(crate) fn piped(input: impl Read) -> io::Result<String> {
    let mut text = String::new();
    input.take(LONGEST as u64).read_to_string(&mut text)?;
    let end = ["\r\n", "\n", "\r"].into_iter().find(|end| text.ends_with(end));
    text.truncate(text.len() - end.map_or(0, str::len));
    Ok(text)
}

/// Reads a line from a terminal, which shows it; `None` at its end.
pub(crate) fn line(terminal: &mut impl Read) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        match next(terminal)? {
            None if line.is_empty() => return Ok(None),
            None | Some(b'\n') => return text(line).map(Some),
            Some(byte) if line.len() < LONGEST => line.push(byte),
            Some(_) => {}
        }
    }
}

/// Reads a line from a terminal, which does not show it; `None` when the user gives up with Ctrl-C, Ctrl-\ or
/// Ctrl-D.
///
/// Those come as characters here and not as signals: a program that ended in between would leave a terminal that
/// shows nothing.
pub(crate) fn secret<T: Read + AsFd>(terminal: &mut T) -> io::Result<Option<String>> {
    let file = terminal.as_fd().try_clone_to_owned()?;
    let _quiet = Quiet::new(file.as_fd())?;
    let mut line = Vec::new();
    loop {
        match next(terminal)? {
            None | Some(0x03 | 0x04 | 0x1c) => return Ok(None),
            Some(b'\n' | b'\r') => return text(line).map(Some),
            // Backspace takes a whole character away, Ctrl-U all of them.
            Some(0x08 | 0x7f) => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            Some(0x15) => line.clear(),
            Some(byte) if byte >= b' ' && line.len() < LONGEST => line.push(byte),
            Some(_) => {}
        }
    }
}

fn next(terminal: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match terminal.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn text(line: Vec<u8>) -> io::Result<String> {
    String::from_utf8(line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing any more.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

    use super::*;

    /// Returns the two ends of a terminal: the user's and the program's.
    fn terminal() -> (File, File) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let user = openpt(flags).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let program = ioctl_tiocgptpeer(&user, flags).unwrap();
        (user.into(), program.into())
    }

    /// Types `keys` while a secret is read, and returns it and what the terminal shows.
    fn typed(keys: &[u8]) -> (Option<String>, Vec<u8>) {
        let (mut user, mut program) = terminal();
        let modes = tcgetattr(&program).unwrap();
        // Before anything is typed, the terminal has to be quiet already; a loud one would show it.
        let quiet = Quiet::new(program.as_fd()).unwrap();
        user.write_all(keys).unwrap();
        let mut other = program.try_clone().unwrap();
        let secret = secret(&mut other).unwrap();
        drop(quiet);
        assert_eq!(tcgetattr(&program).unwrap().local_modes, modes.local_modes, "as it was before");
        program.write_all(b"|").unwrap();
        let mut shown = vec![0; 100];
        let length = user.read(&mut shown).unwrap();
        shown.truncate(length);
        (secret, shown)
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(typed(b"hunter2\n"), (Some("hunter2".to_owned()), b"|".to_vec()));
        assert_eq!(typed(b"\r"), (Some(String::new()), b"|".to_vec()));
    }

    #[test]
    fn a_secret_can_be_corrected() {
        for (keys, expected) in [
            (&b"ab\x7fc\x08d\n"[..], "ad"),
            ("aü\x7fb\n".as_bytes(), "ab"),
            (b"wrong\x15right\n", "right"),
            (b"\x7fa\x1bb\x00\n", "ab"),
        ] {
            assert_eq!(typed(keys).0.as_deref(), Some(expected), "{keys:?}");
        }
    }

    #[test]
    fn a_user_can_give_up() {
        for keys in [b"ab\x03", b"ab\x04", b"ab\x1c"] {
            assert_eq!(typed(keys), (None, b"|".to_vec()), "{keys:?}");
        }
    }

    #[test]
    fn a_line_is_read_up_to_its_end() {
        let (mut user, mut program) = terminal();
        user.write_all(b"me\nrest\n\x04").unwrap();
        assert_eq!(line(&mut program).unwrap().as_deref(), Some("me"));
        assert_eq!(line(&mut program).unwrap().as_deref(), Some("rest"));
        assert_eq!(line(&mut program).unwrap(), None);
    }

    #[test]
    fn only_the_end_of_the_last_line_is_cut_off() {
        for (text, expected) in [
            ("pass", "pass"),
            ("pass\n", "pass"),
            ("pass\r\n", "pass"),
            (" a b \n\n", " a b \n"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(piped(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
        assert!(piped(&b"\xff"[..]).is_err());
    }
}
