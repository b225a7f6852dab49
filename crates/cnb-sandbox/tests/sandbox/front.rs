//! Commands in front of the user, through the example program that shows how.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::world::{built, eventually};

#[test]
fn the_caller_s_streams_are_the_command_s_and_its_code_is_passed_on() {
    let mut child = Command::new(built("shell"))
        .args(["sh", "-c", "read line; echo got $line; echo err > /dev/stderr; exit 42"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got a line\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn programs_are_found_along_the_path_of_the_guest() {
    let run = |args: &[&str]| Command::new(built("shell")).args(args).stdin(Stdio::null()).output().unwrap();
    assert_eq!(run(&["true"]).status.code(), Some(0));
    assert_eq!(run(&["/usr/bin/env", "false"]).status.code(), Some(1));
    let missing = run(&["no-such-program"]);
    assert_eq!(missing.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("No such file"), "{missing:?}");
}

#[test]
fn signals_reach_the_command() {
    let mut child = Command::new(built("shell"))
        .args([
            "sh",
            "-c",
            "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.01; done",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "up");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(next(), "usr1");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(next(), "term");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let killed = Command::new(built("shell")).args(["sh", "-c", "kill -KILL $$"]).status().unwrap();
    assert_eq!(killed.code(), Some(137));
}

/// The user's side of a terminal, and the end that a program gets.
fn terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let user = rustix::pty::openpt(flags).unwrap();
    rustix::pty::unlockpt(&user).unwrap();
    let program = rustix::pty::ioctl_tiocgptpeer(&user, flags).unwrap();
    tcsetwinsize(&user, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (user, program)
}

#[test]
fn a_terminal_is_a_real_one_and_the_caller_s_is_restored() {
    let (user, program) = terminal();
    let before = tcgetattr(&program).unwrap();
    let end = || Stdio::from(program.try_clone().unwrap());
    let script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo real; read line; echo got $line; \
        trap 'stty size' WINCH; echo ready; read line; read line; exit 6";
    let mut child = Command::new(built("shell"))
        .args(["--terminal", "sh", "-c", script])
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let mut screen = Screen { user: std::fs::File::from(user), seen: String::new() };
    screen.wait_for("/dev/pts/0\r\n33 77\r\nreal\r\n");
    let raw = tcgetattr(&program).unwrap();
    assert!(!raw.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    screen.user.write_all(b"hello\r").unwrap();
    screen.wait_for("got hello\r\nready\r\n");
    let size = Winsize { ws_row: 20, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&screen.user, size).unwrap();
    // The caller has no controlling terminal here, so nobody tells it but we.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    screen.user.write_all(b"\r").unwrap();
    screen.wait_for("20 40\r\n");
    screen.user.write_all(b"\r\r").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6));
    let after = tcgetattr(&program).unwrap();
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[test]
fn an_interrupt_typed_in_the_terminal_ends_the_command_and_restores_the_caller_s() {
    // By `exec`, since a shell that is interrupted while it forks may take that for its child's affair.
    let (user, program) = terminal();
    let before = format!("{:?}", tcgetattr(&program).unwrap());
    let end = || Stdio::from(program.try_clone().unwrap());
    let mut child = Command::new(built("shell"))
        .args(["--terminal", "sh", "-c", "echo up; exec sleep 1000"])
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let mut screen = Screen { user: std::fs::File::from(user), seen: String::new() };
    screen.wait_for("up\r\n");
    screen.user.write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    eventually("the terminal is restored", || format!("{:?}", tcgetattr(&program).unwrap()) == before);
}

/// What the user sees.
struct Screen {
    user: std::fs::File,
    seen: String,
}

impl Screen {
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 1024];
        while !self.seen.contains(text) {
            let length = self.user.read(&mut buffer).unwrap_or_else(|e| panic!("{e} after {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
}
