//! The harness judges a lifecycle of a few lines of shell, in real sandboxes, with a real registry.
//!
//! Without bubblewrap or docker-registry these tests say that they are skipped; with `CI=true` that is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says when it is skipped"
)]

use std::path::Path;
use std::sync::Mutex;

use cnb_spec_tests::accounts::Accounts;
use cnb_spec_tests::cli::{self, Request};
use cnb_spec_tests::mutations;
use cnb_spec_tests::pending::{Pending, PendingCase};
use cnb_spec_tests::report::Summary;
use cnb_spec_tests::room;
use cnb_spec_tests::run::Mode;
use cnb_spec_tests::sandbox::Reentry;
use fs_err as fs;
use tempfile::TempDir;

/// A lifecycle that knows how to detect.
const LIFECYCLE: &str = r#"#!/bin/sh
echo "${0##*/} with $WORD in $PWD as $(id -u)"
printf 'number = 3\nname = "x"\n' > /layers/group.toml
exit 20
"#;

/// A suite and a lifecycle in a folder of their own.
struct World {
    dir: TempDir,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the gate decides whether a missing tool is a failure")]
    fn new() -> Option<Self> {
        if let Some(reason) = missing() {
            assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "{reason}");
            println!("skipped: {reason}");
            return None;
        }
        let world = Self { dir: tempfile::tempdir().unwrap() };
        copy(&cli::suite().join("base"), &world.dir.path().join("suite/base"));
        cnb_testkit::program(&world.dir.path().join("lifecycle/lifecycle"), LIFECYCLE).unwrap();
        world.put("clauses.toml", "");
        fs::create_dir(world.dir.path().join("suite/cases")).unwrap();
        Some(world)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.dir.path().join("suite").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn has(&self, path: &str) -> bool {
        self.dir.path().join("suite").join(path).exists()
    }

    fn request(&self) -> Request {
        Request { verbose: true, ..Request::new(self.dir.path().join("lifecycle")) }
    }

    /// Returns what came of the suite, and what was said.
    fn run(&self, request: &Request) -> (Result<Summary, cli::SpecError>, String) {
        let said = Mutex::new(String::new());
        let suite = self.dir.path().join("suite");
        let result = cli::execute(request, &suite, &again(), &|text| said.lock().unwrap().push_str(text));
        (result, said.into_inner().unwrap())
    }

    /// Returns what came of the faults, and what was said.
    fn mutate(&self, only: &[&str]) -> (Result<mutations::Summary, cli::SpecError>, String) {
        let only = only.iter().map(|fault| (*fault).to_owned()).collect();
        let request = Request { only, ..self.request() };
        let said = Mutex::new(String::new());
        let say = |text: &str| said.lock().unwrap().push_str(text);
        let result = cli::mutate(&request, &self.dir.path().join("suite"), &again(), &say);
        (result, said.into_inner().unwrap())
    }

    #[track_caller]
    fn check(&self, summary: &str, says: &[&str]) {
        self.check_request(&self.request(), summary, says);
    }

    #[track_caller]
    fn check_request(&self, request: &Request, summary: &str, says: &[&str]) {
        let (result, said) = self.run(request);
        assert_eq!(result.unwrap().to_string(), summary, "{said}");
        for text in says {
            assert!(said.contains(text), "{text}\n{said}");
        }
    }
}

fn again() -> Reentry {
    Reentry { program: env!("CARGO_BIN_EXE_spec-tests").into(), args: vec!["--inside".to_owned()] }
}

/// Returns why there can be no sandboxes here.
fn missing() -> Option<String> {
    let program = ["bwrap", "docker-registry"].into_iter().find(|name| room::program(name).is_none());
    let accounts = Accounts::of_this_process().err();
    program.map(|name| format!("{name} is not installed")).or(accounts.map(|e| e.to_string()))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy(&from, &to) } else { _ = fs::copy(&from, &to).unwrap() }
    }
}

const DETECT: &str = r#"
title = "detection"
env = { WORD = "care" }
keep = ["/layers/*.toml"]
[[step]]
run = ["detector"]
exit = 20
stdout = "detector with care in /workspace as 0\n"
says = ["with (care|luck)"]
"#;

#[test]
fn a_lifecycle_that_does_as_expected_passes() {
    let Some(world) = World::new() else { return };
    world.put("cases/detect/plain/case.toml", DETECT);
    world.put("cases/detect/plain/expect/files/layers/group.toml", "name = 'x'\nnumber = 3.0\n");
    world.check("1 passed, 0 failed, 0 skipped", &["ok   detect/plain"]);
}

#[test]
fn every_difference_is_named() {
    let Some(world) = World::new() else { return };
    world.put("cases/detect/plain/case.toml", &DETECT.replace("exit = 20", "exit = 21"));
    world.put("cases/detect/plain/expect/files/layers/group.toml", "name = 'y'\nnumber = 3\n");
    world.put("cases/detect/plain/expect/files/layers/plan.toml", "");
    let says = [
        "FAIL detect/plain",
        "step 1: exit 20, expected 21: detector with care",
        "files/layers/group.toml: differs\n      --- expected\n      +++ got\n",
        "-  \"name\": \"y\"",
        "files/layers/plan.toml: missing",
    ];
    world.check("0 passed, 1 failed, 0 skipped", &says);
}

#[test]
fn images_are_pushed_first_and_compared_afterwards() {
    let Some(world) = World::new() else { return };
    let case = "title = 'images'\npush = { 'team/two:v1' = 'run-image-2' }\nimage = ['run', 'team/two:v1', 'gone']\n\
                [[step]]\nsh = 'true'\n";
    world.put("cases/export/images/case.toml", case);
    let (result, said) = world.run(&Request { mode: Mode::Record, ..world.request() });
    assert_eq!(result.unwrap().to_string(), "1 passed, 0 failed, 0 skipped", "{said}");
    assert!(world.has("cases/export/images/expect/images/gone/absent"));
    let layers = world.dir.path().join("suite/cases/export/images/expect/images/team_two_v1/layers.txt");
    assert!(fs::read_to_string(&layers).unwrap().starts_with("layer sha256:"));
    world.check("1 passed, 0 failed, 0 skipped", &[]);
    fs::write(&layers, "").unwrap();
    world.check("0 passed, 1 failed, 0 skipped", &["images/team_two_v1/layers.txt: differs"]);
}

#[test]
fn inputs_and_owners_are_laid_out_before_the_first_step() {
    let Some(world) = World::new() else { return };
    let case = r#"
title = "the places"
setup = "chown 1001:1000 /layers; touch 'ü'"
[[step]]
sh = "stat -c '%a %u:%g %n' /layers /workspace/* /cnb/lifecycle/launcher; readlink /cnb/lifecycle/creator; cat /etc/passwd | head -1"
stdout = """
755 1001:1000 /layers
755 0:0 /workspace/bin
644 0:0 /workspace/file
644 0:0 /workspace/ü
755 0:0 /cnb/lifecycle/launcher
/lifecycle/lifecycle
root:x:0:0:root:/root:/bin/bash
"""
env = { LC_ALL = "C.UTF-8" }
[[step]]
sh = "ls /root /run /var; touch /usr/x"
stdout = "/root:\n\n/run:\n\n/var:\ntmp\n"
exit = 1
says = ["Read-only file system"]
[[step]]
run = ["/cnb/lifecycle/launcher"]
argv0 = "/cnb/process/web"
"#;
    world.put("cases/flags/places/case.toml", case);
    world.put("cases/flags/places/in/workspace/bin/x", "");
    world.put("cases/flags/places/in/workspace/file", "");
    world.check("1 passed, 0 failed, 0 skipped", &[]);
}

#[test]
fn a_pending_case_must_fail_and_is_not_counted() {
    let Some(world) = World::new() else { return };
    for (name, script) in [("waits", "exit 1"), ("came", ""), ("there", "")] {
        world.put(&format!("cases/a/{name}/case.toml"), &format!("title = 'a'\n[[step]]\nsh = '{script}'\n"));
    }
    let case =
        |name: &str| PendingCase { case: format!("a/{name}"), why: "it needs what is not there".to_owned() };
    let pending = Pending { pending: vec![case("waits"), case("came")] };
    let says = [
        "FAIL a/came\n    passes although it is pending (it needs what is not there): take it out of pending.toml",
        "ok   a/there",
        "pending: a/waits: it needs what is not there",
        "1 pending: they fail",
    ];
    world.check_request(&Request { pending, ..world.request() }, "1 passed, 1 failed, 0 skipped", &says);
    world.check("2 passed, 1 failed, 0 skipped", &["FAIL a/waits"]);
}

const FAULTY: &str = "#!/bin/sh\n[ \"$CNB_TEST_FAULT\" != wrong-exit ] || exit 2\nexit 1\n";

#[test]
fn a_fault_that_no_case_catches_survives() {
    let Some(world) = World::new() else { return };
    cnb_testkit::program(&world.dir.path().join("lifecycle/lifecycle"), FAULTY).unwrap();
    world.put("cases/a/exits/case.toml", "title = 'a'\n[[step]]\nrun = ['detector']\nexit = 1\n");
    world.put("cases/a/sees/case.toml", "title = 'a'\n[[step]]\nsh = '[ -z \"$CNB_TEST_FAULT\" ]'\n");
    let fault = |id: &str, case: &str| format!("[[fault]]\nid = '{id}'\nsays = 'x'\ncases = ['{case}']\n");
    world.put("mutations.toml", &(fault("wrong-exit", "a/exits") + &fault("harmless", "a/exits")));
    let (result, said) = world.mutate(&[]);
    assert_eq!(result.unwrap().to_string(), "1 passed, 1 failed", "{said}");
    assert!(said.contains("wrong-exit: caught by a/exits: step 1: exit 2, expected 1\n"), "{said}");
    assert!(said.contains("harmless: SURVIVED a/exits: x\n"), "{said}");
    let (result, said) = world.mutate(&["wrong-exit"]);
    assert_eq!(result.unwrap().to_string(), "1 passed, 0 failed", "{said}");

    world.put("mutations.toml", &fault("harmless", "a/sees"));
    let error = world.mutate(&[]).0.unwrap_err().to_string();
    assert_eq!(error, "without a fault, `a/sees` fails: step 1: exit 1, expected 0");
}

#[test]
fn what_cannot_be_run_is_a_failure_with_a_reason() {
    let Some(world) = World::new() else { return };
    world.put("cases/a/set-up/case.toml", "title = 'a'\nsetup = 'echo why >&2; exit 3'\n[[step]]\nsh = ''\n");
    world.put("cases/a/step/case.toml", "title = 'a'\n[[step]]\nrun = ['/no/such/program']\n");
    world.put("cases/a/push/case.toml", "title = 'a'\npush = { x = 'none' }\n[[step]]\nsh = ''\n");
    world.put("cases/a/launcher/case.toml", "title = 'a'\n[[step]]\nrun = ['launcher']\n");
    world.put("cases/a/platform/case.toml", "title = 'a'\nplatform = true\n[[step]]\nrun = ['cnb']\n");
    let says = [
        "FAIL a/set-up\n    did not run: the set-up failed: exit status: 3: why\n",
        "FAIL a/step\n    did not run: step 1: `/no/such/program` could not be run: No such file or directory",
        "FAIL a/push\n    did not run: failed to push `x`",
        "skip a/launcher: needs --launcher",
        "skip a/platform: needs --platform",
    ];
    world.check("0 passed, 3 failed, 2 skipped", &says);
}

#[test]
fn the_command_of_the_platform_is_found_by_its_name_and_is_not_that_beside_the_lifecycle() {
    let Some(world) = World::new() else { return };
    let case = "title = 'a'\nplatform = true\n[[step]]\nrun = ['cnb', 'x']\nstdout = \"the platform x\\n\"\n\
                [[step]]\nsh = 'cnb y'\nstdout = \"the platform y\\n\"\n";
    world.put("cases/a/platform/case.toml", case);
    let program = |name: &str, says: &str| {
        let file = world.dir.path().join(name);
        fs::write(&file, format!("#!/bin/sh\necho {says} $1\n")).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        file
    };
    program("lifecycle/cnb", "another");
    let platform = Some(program("the-platform", "the platform"));
    world.check_request(&Request { platform, ..world.request() }, "1 passed, 0 failed, 0 skipped", &[]);
}

#[test]
fn a_lifecycle_that_cases_could_not_see_is_refused() {
    let Some(world) = World::new() else { return };
    let dir = world.dir.path().join("lifecycle");
    fs::rename(dir.join("lifecycle"), world.dir.path().join("elsewhere")).unwrap();
    fs::os::unix::fs::symlink("../elsewhere", dir.join("lifecycle")).unwrap();
    let error = world.run(&world.request()).0.unwrap_err().to_string();
    assert!(error.ends_with("lifecycle/lifecycle` is a link out of its folder: copy the program"), "{error}");
}

#[test]
fn a_case_that_is_none_stops_everything_and_is_named() {
    let Some(world) = World::new() else { return };
    world.put("cases/a/bad/case.toml", "title = 'a'\n");
    let (result, _) = world.run(&world.request());
    let error = result.unwrap_err().to_string();
    assert!(error.contains("cases/a/bad/case.toml` is not a case"), "{error}");
}
