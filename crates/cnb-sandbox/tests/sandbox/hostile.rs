//! Commands that mean harm.

use cnb_sandbox::{Exit, Limits, Run, Sandbox};

use crate::world::{config, eventually, mark, processes_marked, said, sh, shell, start};

#[test]
fn a_fork_bomb_is_bounded_and_swept_away() {
    let mut config = config();
    config.limits = Limits { processes: Some(40), open_files: Some(100), memory: None };
    let sandbox = Sandbox::start(&config).unwrap();
    let mark = mark();
    // Starts two hundred processes that stay; counts those that it got.
    let script = format!(
        "i=0; while [ $i -lt 200 ]; do sh -c 'read x </dev/ptmx' {mark} & i=$((i+1)); done 2>/dev/null; exit 5"
    );
    let (exit, _) = sh(&sandbox, &script);
    // The shell gives up at the first fork that is refused.
    assert_eq!(exit, Exit::Code(2));
    assert_eq!(processes_marked(&mark), 0);
    assert_eq!(said(&sandbox, "ulimit -u 2>/dev/null || ulimit -p; ulimit -n; ulimit -c"), "40\n100\n0\n");
}

#[test]
fn processes_really_are_limited() {
    let mut config = config();
    config.limits.processes = Some(20);
    let sandbox = Sandbox::start(&config).unwrap();
    let count = "n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $n";
    let script = format!(
        "trap '{count}' EXIT; i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done 2>/dev/null"
    );
    let (_, printed) = sh(&sandbox, &script);
    let most: u32 = printed.trim().parse().unwrap();
    assert!((10..=21).contains(&most), "{most}");
}

#[test]
fn a_background_process_is_ended_before_the_command_is_reported() {
    let sandbox = start([]);
    let mark = mark();
    // One that keeps the output open, one in a session of its own that ignores every signal it can.
    let stubborn = format!("trap '' HUP TERM INT; while :; do sleep 1; done # {mark}");
    let script = format!("(sleep 1000 # {mark}\n) & setsid sh -c \"{stubborn}\" >/dev/null 2>&1 & echo done");
    assert_eq!(said(&sandbox, &script), "done\n");
    assert_eq!(processes_marked(&mark), 0);
}

#[test]
fn a_command_that_ignores_signals_is_ended_from_another_thread() {
    let sandbox = start([]);
    let mark = mark();
    let killer = sandbox.killer();
    let script = format!(
        "trap '' TERM INT HUP; (trap '' TERM; sleep 1000) & echo up; while :; do sleep 1; done # {mark}"
    );
    let started = std::time::Instant::now();
    let mut killing = None;
    let error = sandbox
        .run(&shell(&script), &mut |_| {
            let killer = killer.clone();
            killing.get_or_insert_with(|| std::thread::spawn(move || killer.kill()));
        })
        .unwrap_err();
    killing.unwrap().join().unwrap();
    assert_eq!(error.to_string(), "the sandbox was ended");
    drop(sandbox);
    assert_eq!(processes_marked(&mark), 0);
    assert!(started.elapsed().as_secs() < 10);
}

#[test]
fn output_of_a_background_process_does_not_hold_up_a_command_beside_others() {
    let sandbox = start([]);
    let others = std::sync::Barrier::new(2);
    std::thread::scope(|s| {
        let long = s.spawn(|| {
            let mut met = false;
            sandbox.run(&shell("echo; until [ -e go ]; do :; done"), &mut |_| {
                if !met {
                    met = true;
                    others.wait();
                }
            })
        });
        others.wait();
        // Its background process prints for ever, and may go on while the other command runs.
        assert_eq!(sh(&sandbox, "yes & exit 3").0, Exit::Code(3));
        said(&sandbox, "touch go");
        assert_eq!(long.join().unwrap().unwrap(), Exit::Code(0));
    });
}

#[test]
fn a_full_disk_in_memory_hurts_only_the_command() {
    let sandbox = start([]);
    let (exit, printed) = sh(&sandbox, "head -c 200000000 /dev/zero > /tmp/big");
    assert_ne!(exit, Exit::Code(0));
    assert!(printed.contains("No space left"), "{printed}");
    assert_eq!(said(&sandbox, "rm /tmp/big; echo ok"), "ok\n");
}

#[test]
fn memory_is_limited_or_it_is_said_that_it_is_not() {
    let mut config = config();
    config.limits.memory = Some(64 << 20);
    let sandbox = Sandbox::start(&config).unwrap();
    let (exit, _) = sh(&sandbox, "head -c 268435456 /dev/zero | tail -c 268435456 | wc -c");
    let (ended, finished) = (exit != Exit::Code(0), !sandbox.memory_is_limited());
    // Where nothing limits it, the command has its way, and the caller can tell the user.
    assert!(ended || finished, "{exit:?}");
    assert!(!start([]).memory_is_limited(), "nobody asked for it");
}

#[test]
fn dropping_a_sandbox_leaves_no_process() {
    let mark = mark();
    let sandbox = start([]);
    let killer = sandbox.killer();
    std::thread::scope(|s| {
        let (says, hears) = std::sync::mpsc::channel();
        let sandbox = &sandbox;
        let script = format!("sleep 1000 & echo up; wait # {mark}");
        s.spawn(move || {
            let _ = sandbox.run(&shell(&script), &mut |_| says.send(()).unwrap());
        });
        hears.recv().unwrap();
        assert!(processes_marked(&mark) >= 1);
        killer.kill();
    });
    drop(sandbox);
    eventually("no process is left", || processes_marked(&mark) == 0);
}
