//! `cnb run`: an image as a process of this machine.

use std::net::TcpListener;
use std::path::PathBuf;

use cnb_testkit::peers::available;
use rustix::process::Signal;

use crate::builds::APP;
use crate::support::{Bench, Running, as_each_user};

/// Builds `app` on the host's own libraries.
fn build(bench: &Bench, script: &str) -> PathBuf {
    let buildpack = bench.buildpack("test/app", script);
    bench
        .cnb(["build", "app", "--image", "app", "--buildpack", buildpack.to_str().expect("a path in UTF-8")])
        .expect(0);
    buildpack
}

#[test]
fn a_run_starts_the_process_that_is_asked_for() {
    as_each_user(|bench| {
        bench.file("app/page", "the page\n");
        bench.folder("data");
        bench.file("data/text", "data\n");
        build(bench, APP);
        let run = |args: &[&str]| bench.cnb(["run", "app"].into_iter().chain(args.iter().copied()));
        assert_eq!(run(&[]).expect(0).stdout, "the page\nport none\n");
        assert_eq!(
            run(&["-p", "8123"]).expect(0).says("http://localhost:8123").stdout,
            "the page\nport 8123\n"
        );
        assert_eq!(run(&["--process", "task"]).expect(0).stdout, "task\n");
        run(&["--process", "ghost"]).expect(1).says("ghost").says("task, web");

        let shell = |options: &[&str], script: &str| {
            let all: Vec<&str> = options
                .iter()
                .copied()
                .chain(["--entrypoint", "bash", "--", "-c", script, "zero", "a b"])
                .collect();
            run(&all)
        };
        assert_eq!(shell(&[], "echo \"$1\"; exit 7").expect(7).stdout, "a b\n");
        assert_eq!(shell(&[], "kill -KILL $$").expect(137).stdout, "");
        assert_eq!(shell(&["--env", "A=one two"], "echo \"$A\"").expect(0).stdout, "one two\n");
        assert_eq!(shell(&[], "id -u; id -g").expect(0).stdout, "1001\n1000\n");
        // Through the launcher, the layers' environment is there; with another entry point it is not.
        assert_eq!(
            run(&["--entrypoint", "/cnb/lifecycle/launcher", "--", "echo $0 $HOME"])
                .expect(0)
                .stdout
                .lines()
                .count(),
            1
        );
        run(&["--entrypoint", "no-such-program"]).expect(1).says("no-such-program");

        let write = "cat /data/text; if touch /data/new 2> /dev/null; then echo wrote; fi";
        assert_eq!(shell(&["-v", "data:/data:ro"], write).expect(0).stdout, "data\n");
        assert_eq!(shell(&["-v", "data:/data"], write).expect(0).stdout, "data\nwrote\n");
        assert!(bench.path("data/new").exists());

        shell(&[], "echo changed > /workspace/page; rm -rf /layers/* || true").expect(0);
        assert_eq!(run(&[]).expect(0).stdout, "the page\nport none\n");
        bench.assert_store_is_whole();
    });
}

#[test]
fn a_signal_reaches_the_process_and_its_answer_is_the_exit_code() {
    as_each_user(|bench| {
        let script = r#"cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
default = true
command = ["bash", "-c", "trap 'echo bye; exit 9' TERM; echo ready >&2; while :; do sleep 0.05; done"]
END"#;
        build(bench, script);
        let start = || {
            let mut command = bench.command();
            command.args(["run", "app"]);
            let mut running = Running::start(command);
            running.wait_for("ready");
            running
        };
        let running = start();
        running.signal(Signal::TERM);
        assert_eq!(running.finish().expect(9).stdout, "bye\n");
        bench.assert_nothing_is_left();

        // Nobody can answer this one; the sandbox goes all the same, and its folders with the next clean-up.
        let running = start();
        running.signal(Signal::KILL);
        running.finish().expect(137);
        bench.cnb(["gc"]).expect(0);
    });
}

/// A program that listens at the address that it is given.
const LISTEN: &str =
    "my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], Listen => 1) or die $!; sleep 60 while 1";

#[test]
fn an_app_that_others_could_not_reach_is_told_why() {
    if !available(&["perl"]) {
        return;
    }
    as_each_user(|bench| {
        build(bench, APP);
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one").port();
        let (asked, other) = (free(), free());
        let hint = |address: &str, port: u16| {
            let mut command = bench.command();
            // The run image has no program that listens; this machine's are lent to it.
            command.args(["run", "app", "-p", &asked.to_string(), "-v", "/usr:/usr:ro"]);
            command.args(["--entrypoint", "/usr/bin/perl", "--", "-MIO::Socket::INET", "-e", LISTEN]);
            command.arg(format!("{address}:{port}"));
            let mut running = Running::start(command);
            running.wait_for("Warning: ");
            running.signal(Signal::TERM);
            running.finish().stderr
        };
        let alone = hint("127.0.0.1", asked);
        assert!(alone.contains(&format!("127.0.0.1:{asked} alone")), "{alone}");
        let elsewhere = hint("0.0.0.0", other);
        assert!(elsewhere.contains(&format!("port {asked}, but at {other}")), "{elsewhere}");
    });
}

#[test]
fn no_image_can_name_files_of_the_host() {
    as_each_user(|bench| {
        let script = format!(
            "{APP}\nln -s /etc/shadow /workspace/shadow; ln -s {} /workspace/key",
            bench.path("user/.ssh/id_rsa").display()
        );
        build(bench, &script);
        let args = [
            "run",
            "app",
            "--entrypoint",
            "bash",
            "--",
            "-c",
            "cat /workspace/shadow /workspace/key /root/.bashrc; echo homes: $(ls /home) roots: $(ls -A /root)",
        ];
        let done = bench.cnb(args).expect(0);
        assert_eq!(done.stdout, "homes: cnb roots:\n");
        assert!(!done.stdout.contains("SECRET") && !done.stdout.contains("root:*"), "{}", done.stdout);
    });
}

#[test]
fn a_release_process_of_a_procfile_runs_only_when_it_is_asked_for() {
    as_each_user(|bench| {
        bench.file("app/Procfile", "release: echo migrated\n");
        bench.file("app/index.html", "hello");
        bench.cnb(["build", "app", "--image", "app", "--buildpack", "cnb/static,cnb/procfile"]).expect(0);
        let found = bench.cnb(["inspect", "app", "--json"]).expect(0).json();
        let processes = found["processes"].as_array().expect("a list");
        let release = processes.iter().find(|p| p["type"] == "release").expect("the process");
        assert_eq!(release["default"], false);
        assert!(processes.iter().any(|p| p["type"] == "web" && p["default"] == true), "{processes:?}");
        assert_eq!(bench.cnb(["run", "app", "--process", "release"]).expect(0).stdout, "migrated\n");
    });
}
