//! The same without isolation: nothing is hidden, and still nothing is left behind.

use cnb_fs::Owner;
use cnb_sandbox::{Exit, Limits, Run, Sandbox};

use crate::world::{init, mark, processes_marked, said, sh, shell};

#[test]
fn commands_run_in_the_caller_s_own_world() {
    let sandbox = Sandbox::without_isolation(&init(), None, Limits::default()).unwrap();
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(said(&sandbox, "id -u; pwd; echo err >&2; cat"), format!("{own}\n/tmp\nerr\n"));
    assert_eq!(sh(&sandbox, "exit 7").0, Exit::Code(7));
    let root = sandbox.root().unwrap();
    let program = cnb_fs::GuestPath::new(std::env::current_exe().unwrap());
    assert!(root.exists(&program).unwrap());
}

#[test]
fn background_processes_are_ended_even_in_sessions_of_their_own() {
    let sandbox = Sandbox::without_isolation(&init(), None, Limits::default()).unwrap();
    let mark = mark();
    let stubborn = format!("trap '' HUP TERM; (sleep 1000; : {mark}) & wait; : {mark}");
    let script = format!("setsid sh -c \"{stubborn}\" >/dev/null 2>&1 & sleep 1000 & echo done; : {mark}");
    assert_eq!(said(&sandbox, &script), "done\n");
    assert_eq!(processes_marked(&mark), 0);
}

#[test]
fn killing_ends_the_command_and_what_it_started() {
    let sandbox = Sandbox::without_isolation(&init(), None, Limits::default()).unwrap();
    let (mark, killer) = (mark(), sandbox.killer());
    let script = format!("trap '' TERM; (sleep 1000; : {mark}) & echo up; wait; : {mark}");
    sandbox.run(&shell(&script), &mut |_| killer.kill()).unwrap_err();
    drop(sandbox);
    assert_eq!(processes_marked(&mark), 0);
}

#[test]
fn root_runs_commands_as_somebody_else_and_for_good() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = Owner { uid: 1_879_000_007, gid: 1_879_000_007 };
    let sandbox = Sandbox::without_isolation(&init(), Some(user), Limits::default()).unwrap();
    assert_eq!(said(&sandbox, "id -u; id -g; id -G"), "1879000007\n1879000007\n1879000007\n");
    assert_ne!(sh(&sandbox, "cat /etc/shadow").0, Exit::Code(0));
    assert!(said(&sandbox, "grep NoNewPrivs /proc/self/status").contains('1'));
}
