//! Running commands: what they get, what they print, how they end.

use std::collections::BTreeMap;
use std::sync::Barrier;

use cnb_sandbox::{Direct, Exit, Invocation, Mount, Run};

use crate::world::{self, guest, said, sh, shell, start, try_run};

#[test]
fn output_and_errors_arrive_merged_in_the_order_written() {
    let sandbox = start([]);
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done";
    assert_eq!(said(&sandbox, script), "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    let sandbox = start([]);
    assert_eq!(sh(&sandbox, "exit 100").0, Exit::Code(100));
    assert_eq!(sh(&sandbox, "kill -TERM $$").0, Exit::Signal(15));
    assert_eq!(sh(&sandbox, "exit 143").0, Exit::Code(143));
}

#[test]
fn the_environment_is_exactly_what_is_given() {
    let sandbox = start([]);
    let env = BTreeMap::from([("B".into(), "2 =x".into()), ("A".into(), "".into())]);
    let invocation = Invocation { program: guest("/usr/bin/env"), args: vec![], env, cwd: guest("/") };
    assert_eq!(try_run(&sandbox, &invocation).unwrap().1, "A=\nB=2 =x\n");
}

#[test]
fn input_is_empty_and_the_directory_is_the_one_asked_for() {
    let sandbox = start([]);
    assert_eq!(said(&sandbox, "cat; pwd; echo $0"), "/tmp\n/bin/sh\n");
}

#[test]
fn a_missing_directory_and_a_missing_program_are_errors_that_say_so() {
    let sandbox = start([]);
    let mut invocation = shell("true");
    invocation.cwd = guest("/not/there");
    let error = try_run(&sandbox, &invocation).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("/not/there"), "{error}");
    invocation.cwd = guest("/");
    invocation.program = guest("/no/program");
    assert_eq!(try_run(&sandbox, &invocation).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_nul_byte_is_an_error() {
    let sandbox = start([]);
    let mut invocation = shell("true");
    invocation.env.insert("A".into(), "b\0c".into());
    let worlds: [&dyn Run; 2] = [&sandbox, &Direct];
    for run in worlds {
        let error = try_run(run, &invocation).unwrap_err();
        assert_eq!(error.to_string(), "`b\0c` contains a NUL byte");
    }
}

/// Requirement J26: as `execve` has it, no fall-back to a shell.
#[test]
fn a_script_without_an_interpreter_line_is_an_error() {
    let dir = world::owned_dir();
    let script = dir.path().join("script");
    std::fs::write(&script, "echo no\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let host = cnb_fs::HostPath::absolute(&script);
    let sandbox = start([Mount::Bind { host, guest: guest("/script"), writable: false }]);
    let worlds: [(&dyn Run, _); 2] =
        [(&sandbox, guest("/script")), (&Direct, cnb_fs::GuestPath::new(&script))];
    for (run, program) in worlds {
        let invocation = Invocation { program, args: vec![], env: BTreeMap::new(), cwd: guest("/") };
        assert_eq!(try_run(run, &invocation).unwrap_err().raw_os_error(), Some(8 /* ENOEXEC */));
    }
}

#[test]
fn commands_run_at_the_same_time() {
    let sandbox = start([]);
    // Each waits for the other's file: one after the other, they would never end.
    let waits =
        |mine: &str, other: &str| format!("touch {mine}; until [ -e {other} ]; do :; done; echo {mine}");
    let barrier = Barrier::new(2);
    std::thread::scope(|s| {
        let one = s.spawn(|| {
            barrier.wait();
            said(&sandbox, &waits("a", "b"))
        });
        barrier.wait();
        assert_eq!(said(&sandbox, &waits("b", "a")), "b\n");
        assert_eq!(one.join().unwrap(), "a\n");
    });
}

#[test]
fn many_commands_each_get_their_own_output() {
    let sandbox = start([]);
    std::thread::scope(|s| {
        for i in 0..8 {
            let sandbox = &sandbox;
            s.spawn(move || {
                for j in 0..5 {
                    assert_eq!(said(sandbox, &format!("echo {i} {j}")), format!("{i} {j}\n"));
                }
            });
        }
    });
}

#[test]
fn one_gibibyte_of_output_does_not_grow_memory() {
    let sandbox = start([]);
    let mut total = 0_u64;
    let before = peak_memory();
    let invocation = shell("head -c 1073741824 /dev/zero");
    let exit = sandbox.run(&invocation, &mut |bytes| total += bytes.len() as u64).unwrap();
    assert_eq!((exit, total), (Exit::Code(0), 1 << 30));
    // Other tests run beside this one, so some growth is theirs.
    assert!(peak_memory() - before < 64 << 10, "{before} KiB before, {} KiB after", peak_memory());
}

/// The most memory that this process has used, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn direct_runs_in_our_own_world_with_an_empty_environment() {
    let mut invocation = shell("echo out; echo err >&2; pwd; env | grep -v ^PWD= | grep -v ^_=; exit 7");
    invocation.cwd = guest("/");
    invocation.env = BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]);
    let (exit, printed) = try_run(&Direct, &invocation).unwrap();
    assert_eq!((exit, printed.as_str()), (Exit::Code(7), "out\nerr\n/\nPATH=/usr/bin:/bin\n"));
    assert_eq!(sh(&Direct, "kill -KILL $$").0, Exit::Signal(9));
}

#[test]
fn direct_does_not_wait_for_a_background_process() {
    let started = std::time::Instant::now();
    let printed = said(&Direct, "sleep 30 & echo $!");
    assert!(started.elapsed().as_secs() < 20);
    let pid = rustix::process::Pid::from_raw(printed.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
