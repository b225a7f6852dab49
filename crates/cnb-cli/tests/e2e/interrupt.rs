//! Builds that are stopped from outside, at many moments: all or nothing, and the next one works.

use rustix::process::Signal;

use crate::builds::APP;
use crate::support::{Bench, Running, as_each_user};

/// At how many moments a build is stopped.
const MOMENTS: usize = 15;

/// Returns a build whose every step can be seen.
fn start(bench: &Bench, buildpack: &std::path::Path) -> Running {
    Running::start(bench.build_command("app", buildpack, &["--verbose"]))
}

/// Stops builds after the first, the second, ... line of their output, and checks what each leaves.
///
/// Every build would give another image, so that the digest tells whether it was stored.
fn stop_everywhere(bench: &Bench, signal: Signal, check: impl Fn(i32)) {
    let script = format!("for n in 1 2 3 4 5; do echo step $n; sleep 0.01; done\n{APP}");
    let buildpack = bench.buildpack("test/app", &script);
    bench.file("app/page", "first\n");
    let lines = start(bench, &buildpack).finish().expect(0).stderr.lines().count();
    assert!(lines >= MOMENTS, "{lines} lines are too few to stop at");
    let mut stopped = 0;
    for moment in 0..MOMENTS {
        let before = bench.digest("app");
        bench.file("app/page", &format!("{moment}\n"));
        let mut running = start(bench, &buildpack);
        for _ in 0..lines * moment / MOMENTS {
            running.saw("");
        }
        running.signal(signal);
        let done = running.finish();
        if done.code == 0 {
            assert_ne!(
                bench.digest("app"),
                before,
                "it succeeded, but there is no new image:\n{}",
                done.stderr
            );
        } else {
            stopped += 1;
            check(done.code);
            // What is killed after its last step, before it has cleaned up, has built its image.
            let may_be_done = signal == Signal::KILL && done.stderr.contains("exporting took");
            assert!(
                may_be_done || bench.digest("app") == before,
                "it was stopped, but there is a new image:\n{}",
                done.stderr
            );
        }
        if signal == Signal::INT {
            bench.assert_nothing_is_left();
            assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        } else {
            bench.assert_no_process_is_left();
        }
    }
    // The later ones may come too late.
    assert!(stopped > MOMENTS / 2, "only {stopped} were stopped");
    start(bench, &buildpack)
        .finish()
        .expect(0)
        .never_says("waiting for")
        .never_says("damaged")
        .never_says("could not");
    bench.assert_only_half_blobs_are_left();
    if signal == Signal::INT {
        bench.assert_nothing_is_left();
    }
    bench.assert_store_is_whole();
}

#[test]
fn an_interrupted_build_leaves_nothing_and_says_so_by_its_exit_code() {
    as_each_user(|bench| stop_everywhere(bench, Signal::INT, |code| assert_eq!(code, 130)));
}

#[test]
fn a_killed_build_is_cleaned_up_after_by_the_next_one() {
    as_each_user(|bench| stop_everywhere(bench, Signal::KILL, |code| assert_eq!(code, 137)));
}

#[test]
fn a_second_interrupt_ends_a_build_at_once() {
    as_each_user(|bench| {
        let buildpack = bench
            .buildpack("test/stubborn", "trap '' INT TERM HUP; echo at work; while :; do sleep 0.05; done");
        let mut running = start(bench, &buildpack);
        running.wait_for("at work");
        running.signal(Signal::INT);
        running.signal(Signal::INT);
        running.finish().expect(130);
        bench.assert_no_process_is_left();
        let buildpack = bench.buildpack("test/stubborn", APP);
        start(bench, &buildpack).finish().expect(0);
    });
}
