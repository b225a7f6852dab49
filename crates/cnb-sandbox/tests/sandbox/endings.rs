//! The end of the program that holds a sandbox.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::world::{built, eventually, mark, processes_marked};

#[test]
fn a_parent_that_is_killed_leaves_no_process() {
    let mark = mark();
    let mut parent = Command::new(built("shell"))
        .args(["sh", "-c", &format!("trap '' TERM HUP INT; sleep 1000 & echo up; wait; : {mark}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    // The parent itself, and the command in the sandbox, which may be forking just now.
    assert!(processes_marked(&mark) >= 2);
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("everything has ended", || processes_marked(&mark) == 0);
}

#[test]
fn a_parent_that_is_killed_leaves_no_init() {
    let mut parent = Command::new(built("shell"))
        .args(["sh", "-c", "echo up; sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let init: u32 = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    assert!(is_alive(init));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("init has ended", || !is_alive(init));
}

/// A process that only waits for its new parent to take note of its end is not alive.
fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|s| !s.contains("State:\tZ") && !s.contains("State:\tX"))
}
