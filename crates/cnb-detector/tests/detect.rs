//! Detection over real files, with closures in the place of `bin/detect`.

#![expect(clippy::unwrap_used, reason = "in what tests share, a panic is a failed test, too")]

use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use cnb_detector::run::Verdict;
use cnb_detector::{Config, DetectError, Detected, Event, detect};
use cnb_fs::{GuestPath, Root};
use cnb_sandbox::{Exit, Invocation};
use cnb_spec::api::PlatformApi;
use cnb_spec::env::Env;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::platform::system_toml::System;
use cnb_spec::target::{Distro, Target};

type Output<'a> = &'a mut dyn FnMut(&[u8]);

struct World {
    _dir: tempfile::TempDir,
    root: Root,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let handle: std::os::fd::OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let world = Self { _dir: dir, root: Root::new(handle, None) };
        world.root.create_dir_all(&GuestPath::new("/tmp")).unwrap();
        world
    }

    /// Puts a buildpack there whose descriptor ends with `more`.
    fn buildpack(&self, id: &str, more: &str) {
        let text =
            format!("api = '0.12'\n{more}\n[buildpack]\nid = '{id}'\nversion = '1'\nname = 'The {id}'\n");
        self.root
            .write(&GuestPath::new(format!("/bp/{id}/1/buildpack.toml")), text.as_bytes(), 0o644)
            .unwrap();
    }

    fn config(order: &str) -> Config {
        let dir = |name: &str| GuestPath::new(name);
        let target = Target {
            os: "linux".into(),
            arch: "amd64".into(),
            distro: Some(Distro { name: "debian".into(), version: "12".into() }),
            ..Target::default()
        };
        Config {
            platform_api: PlatformApi::LATEST,
            app: dir("/workspace"),
            buildpacks: dir("/bp"),
            extensions: dir("/ext"),
            platform: dir("/platform"),
            build_config: dir("/config"),
            scratch: dir("/tmp"),
            order: toml::from_str(order).unwrap(),
            system: System::default(),
            target,
            exec_env: ExecEnv::default(),
            env: Env::new(),
            threads: NonZeroUsize::new(4).unwrap(),
        }
    }
}

/// Writes groups as `a b?|c`: modules with blanks between, `?` for optional ones, groups with bars.
fn order(text: &str) -> String {
    let entry = |word: &str| {
        let (id, optional) = word.strip_suffix('?').map_or((word, false), |id| (id, true));
        format!("[[order.group]]\nid = '{id}'\nversion = '1'\noptional = {optional}\n")
    };
    let group = |g: &str| format!("[[order]]\n{}", g.split_whitespace().map(entry).collect::<String>());
    text.split('|').map(group).collect()
}

/// Returns the ID of the buildpack whose `bin/detect` an invocation is.
fn id_of(invocation: &Invocation) -> String {
    invocation.program.as_guest().iter().nth(2).unwrap().to_string_lossy().into_owned()
}

fn ids(detected: &Detected) -> Vec<&str> {
    detected.group.group.iter().map(|e| e.id.as_str()).collect()
}

#[test]
fn the_first_group_that_passes_wins_and_no_buildpack_runs_twice() {
    let world = World::new();
    for id in ["a", "b", "c", "d"] {
        world.buildpack(id, "");
    }
    let ran = Mutex::new(Vec::new());
    let run = |invocation: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        let id = id_of(invocation);
        ran.lock().unwrap().push(id.clone());
        Ok(Exit::Code(if id == "b" { 100 } else { 0 }))
    };
    let found = detect(&World::config(&order("a b|a b? c|d")), &world.root, &run, &|_| {}).unwrap();
    assert_eq!(ids(&found), ["a", "c"]);
    let mut ran = ran.into_inner().unwrap();
    ran.sort();
    assert_eq!(ran, ["a", "b", "c"]);
    assert_eq!(world.root.list(&GuestPath::new("/tmp")).unwrap(), []);
}

#[test]
fn the_detects_of_a_group_run_side_by_side() {
    let world = World::new();
    for id in ["a", "b", "c"] {
        world.buildpack(id, "");
    }
    let (waiting, all_here) = (Mutex::new(0), Condvar::new());
    let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        let mut here = waiting.lock().unwrap();
        *here += 1;
        all_here.notify_all();
        let (here, late) = all_here.wait_timeout_while(here, Duration::from_secs(20), |n| *n < 3).unwrap();
        drop(here);
        Ok(Exit::Code(i32::from(late.timed_out())))
    };
    let found = detect(&World::config(&order("a b c")), &world.root, &run, &|_| {}).unwrap();
    assert_eq!(ids(&found).len(), 3);
}

#[test]
fn no_more_than_the_given_number_run_at_once() {
    let world = World::new();
    let all: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    for id in &all {
        world.buildpack(id, "");
    }
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(Exit::Code(0))
    };
    detect(&World::config(&order(&all.join(" "))), &world.root, &run, &|_| {}).unwrap();
    assert!(most.into_inner() <= 4);
}

#[test]
fn when_nothing_passes_the_error_tells_what_was_tried_and_what_each_said() {
    let world = World::new();
    for id in ["a", "b", "c"] {
        world.buildpack(id, "");
    }
    let run = |invocation: &Invocation, output: Output<'_>| -> io::Result<Exit> {
        let id = id_of(invocation);
        output(format!("{id} looks around").as_bytes());
        Ok(Exit::Code(if id == "a" { 0 } else { 100 }))
    };
    let error = detect(&World::config(&order("a b|c")), &world.root, &run, &|_| {}).unwrap_err();
    assert!(matches!(error, DetectError::NothingPassed { .. }));
    let tried: Vec<Vec<_>> = error
        .tried()
        .iter()
        .map(|group| {
            let module = |m: &cnb_detector::TriedModule| {
                (
                    m.name.clone(),
                    m.outcome.verdict.clone(),
                    String::from_utf8_lossy(&m.outcome.output).into_owned(),
                )
            };
            group.modules.iter().map(module).collect()
        })
        .collect();
    let row = |id: &str, verdict| (format!("The {id}"), verdict, format!("{id} looks around"));
    assert_eq!(
        tried,
        [vec![row("a", Verdict::Passed), row("b", Verdict::Failed)], vec![row("c", Verdict::Failed)]]
    );
}

#[test]
fn plans_that_do_not_fit_are_told_in_the_error() {
    let world = World::new();
    world.buildpack("a", "");
    let root = &world.root;
    let run = |invocation: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        root.write(&GuestPath::new(&invocation.args[1]), b"[[requires]]\nname = 'node'", 0o600).unwrap();
        Ok(Exit::Code(0))
    };
    let error = detect(&World::config(&order("a")), root, &run, &|_| {}).unwrap_err();
    assert_eq!(error.tried()[0].misfits, ["a@1 requires node"]);
}

#[track_caller]
fn check_verdict(leave: impl Fn(&Root, &GuestPath) + Sync, exit: Exit, expected: &str) {
    let world = World::new();
    world.buildpack("a", "");
    let root = &world.root;
    let run = |invocation: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        leave(root, &GuestPath::new(&invocation.args[1]));
        Ok(exit)
    };
    let error = detect(&World::config(&order("a")), root, &run, &|_| {}).unwrap_err();
    assert!(matches!(error, DetectError::BuildpackBroke { .. }), "{expected}");
    let verdict = &error.tried()[0].modules[0].outcome.verdict;
    let Verdict::Broken(reason) = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains(expected), "{reason}");
}

#[test]
fn hostile_plans_are_errors_that_name_the_file() {
    let passed = Exit::Code(0);
    let write =
        |bytes: &'static [u8]| move |root: &Root, path: &GuestPath| root.write(path, bytes, 0o600).unwrap();
    check_verdict(write(b"[[requires]]\nname = 1"), passed, "plan.toml`: line 2:");
    check_verdict(write(b"\xff"), passed, "not UTF-8");
    check_verdict(
        write(b"[[requires]]\nname = 'x'\nversion = '1'"),
        passed,
        "\"version\" key which is not supported",
    );
    check_verdict(|root, path| root.remove_tree(path).unwrap(), passed, "plan.toml`: No such file");
    check_verdict(
        |root, path| {
            root.remove_tree(path).unwrap();
            root.create_dir_all(path).unwrap();
        },
        passed,
        "plan.toml`: Is a directory",
    );
    check_verdict(
        |root, path| root.write(path, &vec![b' '; (16 << 20) + 1], 0o600).unwrap(),
        passed,
        "it is larger than",
    );
    check_verdict(|_, _| {}, Exit::Signal(9), "signal 9");
}

#[test]
fn a_program_that_does_not_start_is_an_error_of_its_buildpack() {
    let world = World::new();
    world.buildpack("a", "");
    world.buildpack("b", "");
    let run = |invocation: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        if id_of(invocation) == "a" { Err(io::Error::from_raw_os_error(8)) } else { Ok(Exit::Code(0)) }
    };
    let lines = RefCell::new(Vec::new());
    let found =
        detect(&World::config(&order("a? b")), &world.root, &run, &|e| lines.borrow_mut().push(e)).unwrap();
    assert_eq!(ids(&found), ["b"]);
    assert!(lines.borrow().contains(&Event::Err("a@1".into(), None)));
    assert!(lines.borrow().contains(&Event::Participating { part: 1, of: 2 }));
}

#[test]
fn composites_that_contain_each_other_are_named() {
    let world = World::new();
    for (id, inner) in [("x", "y"), ("y", "x")] {
        world.buildpack(id, &format!("[[order]]\n[[order.group]]\nid = '{inner}'\nversion = '1'\n"));
    }
    let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> { Ok(Exit::Code(0)) };
    let error = detect(&World::config(&order("x")), &world.root, &run, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "composite buildpacks contain each other: x@1 -> y@1 -> x@1");
}

#[test]
fn composites_may_nest_deep_but_not_without_end() {
    let world = World::new();
    world.buildpack("leaf", "");
    let count = 1001;
    for n in 0..count {
        let inner = if n + 1 == count { "leaf".to_owned() } else { format!("c{}", n + 1) };
        world.buildpack(
            &format!("c{n}"),
            &format!("[[order]]\n[[order.group]]\nid = '{inner}'\nversion = '1'\n"),
        );
    }
    let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> { Ok(Exit::Code(0)) };
    let found = detect(&World::config(&order("c1")), &world.root, &run, &|_| {}).unwrap();
    assert_eq!(ids(&found), ["leaf"]);
    let error = detect(&World::config(&order("c0")), &world.root, &run, &|_| {}).unwrap_err();
    assert!(matches!(error, DetectError::TooDeep(1000)));
}

#[test]
fn composites_side_by_side_are_no_cycle() {
    let world = World::new();
    world.buildpack("leaf", "");
    world.buildpack("other", "");
    for (id, inner) in [("x", "leaf"), ("y", "other")] {
        world.buildpack(id, &format!("[[order]]\n[[order.group]]\nid = '{inner}'\nversion = '1'\n"));
    }
    let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> { Ok(Exit::Code(0)) };
    let found = detect(&World::config(&order("x y")), &world.root, &run, &|_| {}).unwrap();
    assert_eq!(ids(&found), ["leaf", "other"]);
}

#[test]
fn an_entry_for_another_execution_environment_is_passed_over() {
    let world = World::new();
    world.buildpack("a", "");
    world.buildpack("b", "");
    let text = format!("{}exec-env = ['test']\n[[order.group]]\nid = 'b'\nversion = '1'\n", order("a"));
    let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> { Ok(Exit::Code(0)) };
    let found = detect(&World::config(&text), &world.root, &run, &|_| {}).unwrap();
    assert_eq!(ids(&found), ["b"]);
}
