//! Runs `cnb` as its users would: in folders of its own, and as root as well as an ordinary user.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cnb_testkit::{ScriptBuildpack, wait_for};
use rustix::process::{Pid, Signal};
use sha2::{Digest, Sha256};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An ordinary user that every system has.
const ORDINARY: u32 = 65534;

/// What a process finds programs along.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Who runs `cnb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs the tests.
    Caller,
    /// Somebody without rights, where root runs the tests.
    Ordinary,
}

/// Where builds work.
const FOLDERS: &[&str] = &[
    "home",
    "home/builds/*",
    "home/builds/*/layers",
    "home/runs",
    "home/images",
    "home/parts",
    "home/unpacked",
];

/// Waits until there is nothing left.
#[track_caller]
fn eventually_nothing(look: impl Fn() -> String) {
    let mut left = String::new();
    let gone = wait_for(Duration::from_secs(10), || {
        left = look();
        left.is_empty()
    });
    assert!(gone, "left behind:\n{left}");
}

/// Returns whether root runs the tests.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tries a claim as whoever runs the tests and, if that is root, as an ordinary user too.
pub(crate) fn as_each_user(claim: impl Fn(&Bench)) {
    for user in [User::Caller, User::Ordinary].into_iter().take(if is_root() { 2 } else { 1 }) {
        let bench = Bench::new(user);
        claim(&bench);
        bench.assert_only_half_blobs_are_left();
    }
}

/// Folders to work in; all of it goes with this value.
#[derive(Debug)]
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    user: User,
}

/// What a program left behind when it ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code; 128 + n after signal n.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
    /// The most memory it had, in bytes, as far as it was seen.
    pub(crate) memory: u64,
}

impl Done {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that standard error has `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in\n{}", self.stderr);
        self
    }

    /// Checks that standard error does not have `text`.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "{text:?} in\n{}", self.stderr);
        self
    }

    /// Reads standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {:?}", self.stdout))
    }
}

impl Bench {
    /// Makes the folders: an empty `app`, and a home with a key that no build may see.
    pub(crate) fn new(user: User) -> Self {
        // Only root can be somebody else.
        let user = if is_root() { user } else { User::Caller };
        let dir =
            tempfile::Builder::new().prefix("cnb-e2e-").tempdir().expect("a folder for temporary files");
        let bench = Self { dir, user };
        bench.give(bench.dir.path());
        if user == User::Ordinary {
            // The program may lie where only root gets.
            let (from, to) = (env!("CARGO_BIN_EXE_cnb"), bench.path("cnb"));
            if fs_err::hard_link(from, &to).is_err() {
                fs_err::copy(from, &to).expect("a copy of the program");
            }
        }
        bench.folder("app");
        bench.folder("user");
        bench.folder("user/.ssh");
        bench.file("user/.ssh/id_rsa", "SECRET-KEY");
        bench
    }

    /// Returns whether root runs `cnb`.
    pub(crate) fn is_roots(&self) -> bool {
        is_root() && self.user == User::Caller
    }

    /// Returns a path in the folders.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a folder that everybody who gets there may write to.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs_err::create_dir_all(&path).expect("a new folder");
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("another mode");
        self.give(&path);
        path
    }

    /// Writes a file, its folders included.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().expect("a path in a folder")).expect("new folders");
        fs_err::write(&path, text).expect("a new file");
        self.give(&path);
        path
    }

    fn give(&self, path: &Path) {
        if self.user == User::Ordinary {
            chown(path, Some(ORDINARY), Some(ORDINARY)).expect("another owner");
        }
    }

    /// Writes a buildpack that takes part in every build, with this `bin/build`; returns where it is.
    pub(crate) fn buildpack(&self, id: &str, build: &str) -> PathBuf {
        let toml = "sbom-formats = [\"application/vnd.cyclonedx+json\"]\n".to_owned();
        self.write_buildpack(&ScriptBuildpack { build: build.to_owned(), toml, ..ScriptBuildpack::new(id) })
    }

    /// Writes a buildpack.
    pub(crate) fn write_buildpack(&self, buildpack: &ScriptBuildpack) -> PathBuf {
        buildpack.write_in(&self.path("buildpacks")).expect("a new buildpack")
    }

    /// Writes an empty run image, quicker to build upon than the host's libraries; returns what to give `--run-image`.
    pub(crate) fn empty_base(&self) -> String {
        let layout = self.path("base");
        if !layout.exists() {
            fs_err::create_dir_all(self.path("base-tree/etc")).expect("new folders");
            let config = serde_json::json!({"User": "1001:1000"});
            cnb_testkit::scratch_layout(&layout, &self.path("base-tree"), &config).expect("a new image");
        }
        format!("oci:{}", layout.display())
    }

    /// Returns a command that `user` of this bench runs, with nothing around it but these folders.
    pub(crate) fn command(&self) -> Command {
        let mut command = match self.user {
            User::Caller => Command::new(env!("CARGO_BIN_EXE_cnb")),
            User::Ordinary => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={ORDINARY}")).arg(format!("--regid={ORDINARY}"));
                command.arg("--clear-groups").arg(self.path("cnb"));
                command
            }
        };
        command
            .env_clear()
            .env("PATH", PATH)
            .env("CNB_HOME", self.path("home"))
            .env("HOME", self.path("user"))
            // Engines of this machine are none of a test's business; a test that starts one names it.
            .env("DOCKER_HOST", "unix:///nowhere")
            .env("CONTAINER_HOST", "unix:///nowhere");
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Returns the same command with at most 1024 open files, as most systems have it.
    pub(crate) fn with_few_files(&self, command: &Command) -> Command {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", "ulimit -n 1024; exec \"$@\"", "bash"])
            .arg(command.get_program())
            .args(command.get_args());
        shell.env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        shell.current_dir(self.dir.path()).stdin(Stdio::null());
        shell
    }

    /// Runs `cnb` to its end.
    pub(crate) fn cnb<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Done {
        let mut command = self.command();
        command.args(args);
        Running::start(command).finish()
    }

    /// Returns `cnb build app --image NAME` with one buildpack on the empty base, and `args`.
    pub(crate) fn build_command(&self, name: &str, buildpack: &Path, args: &[&str]) -> Command {
        let mut command = self.command();
        command.args(["build", "app", "--image", name, "--run-image", &self.empty_base(), "--buildpack"]);
        command.arg(buildpack).args(args);
        command
    }

    /// Runs [`build_command`](Self::build_command) to its end.
    pub(crate) fn build(&self, name: &str, buildpack: &Path, args: &[&str]) -> Done {
        Running::start(self.build_command(name, buildpack, args)).finish()
    }

    /// Returns the digest that an image has in the store.
    #[track_caller]
    pub(crate) fn digest(&self, name: &str) -> String {
        let found = self.cnb(["inspect", name, "--json"]).expect(0).json();
        found["digest"].as_str().expect("a digest").to_owned()
    }

    /// Checks that no build left a process, a mount, a throw-away folder or half a file.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        eventually_nothing(|| {
            self.processes() + &self.files(&["home/images/blobs/sha256"]) + &self.files(FOLDERS)
        });
    }

    /// Checks the same, but for half blobs: those of a killed build go with a later clean-up.
    #[track_caller]
    pub(crate) fn assert_only_half_blobs_are_left(&self) {
        eventually_nothing(|| self.processes() + &self.files(FOLDERS));
    }

    /// Checks that no build left a process or a mount.
    #[track_caller]
    pub(crate) fn assert_no_process_is_left(&self) {
        eventually_nothing(|| self.processes());
    }

    /// Returns the processes and mounts that have to do with the folders.
    fn processes(&self) -> String {
        let mut left = String::new();
        let name = self.dir.path().file_name().expect("a name").as_bytes();
        let has = |bytes: &[u8]| bytes.windows(name.len()).any(|w| w == name);
        if fs_err::read("/proc/self/mountinfo").is_ok_and(|mounts| has(&mounts)) {
            left.push_str("a mount\n");
        } else {
            for process in fs_err::read_dir("/proc").expect("processes").flatten() {
                let read = |file: &str| fs_err::read(process.path().join(file)).unwrap_or_default();
                if has(&read("cmdline")) || has(&read("mountinfo")) {
                    let command = read("cmdline");
                    let _ = writeln!(
                        left,
                        "process {}: {}",
                        process.path().display(),
                        String::from_utf8_lossy(&command)
                    );
                }
            }
        }
        left
    }

    /// Returns the files in these folders that no build keeps.
    fn files(&self, folders: &[&str]) -> String {
        let mut left = String::new();
        for folder in folders {
            let folders = match folder.split_once("/*") {
                None => vec![self.path(folder)],
                Some((parent, rest)) => {
                    let entries = std::fs::read_dir(self.path(parent)).into_iter().flatten().flatten();
                    entries.map(|e| PathBuf::from(format!("{}{rest}", e.path().display()))).collect()
                }
            };
            for entry in folders.iter().flat_map(std::fs::read_dir).flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let half = entry.path().extension().is_some_and(|e| e == "tmp");
                if half || name.starts_with("work-") || *folder == "home/runs" {
                    let _ = writeln!(left, "{}", entry.path().display());
                }
            }
        }
        left
    }

    /// Checks that every blob of the store is what its name says, and that every image can be read.
    #[track_caller]
    pub(crate) fn assert_store_is_whole(&self) {
        for blob in fs_err::read_dir(self.path("home/images/blobs/sha256")).expect("blobs").flatten() {
            if blob.file_name().as_bytes().starts_with(b".") {
                // Half a blob: it has no name yet.
                continue;
            }
            let bytes = fs_err::read(blob.path()).expect("a blob");
            let hex: Vec<String> = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(blob.file_name().to_string_lossy(), hex.concat());
        }
        for image in self.cnb(["images", "--json"]).expect(0).json().as_array().expect("a list") {
            self.cnb(["inspect", image["name"].as_str().expect("a name")]).expect(0);
        }
    }

    /// Returns the files of the layer that `inspect` calls `layer`: what `tar` lists.
    #[track_caller]
    pub(crate) fn layer_listing(&self, image: &str, layer: &str) -> String {
        let found = self.cnb(["inspect", image, "--json"]).expect(0).json();
        let layers = found["layers"].as_array().expect("layers").clone();
        let digest =
            layers.iter().find(|l| l["name"] == layer).unwrap_or_else(|| panic!("no {layer} in {layers:?}"))
                ["digest"]
                .as_str()
                .expect("a digest")
                .replace(':', "/");
        let output = Command::new("tar")
            .args(["--quoting-style=escape", "-tvzf"])
            .arg(self.path("home/images/blobs").join(digest))
            .output()
            .expect("tar");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("escaped names")
    }
}

/// A program that runs; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<String>>,
    stderr: String,
}

impl Running {
    /// Starts a program.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
        let (mut out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What came before an error is still worth comparing.
            let _ = out.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let (sender, lines) = mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(err).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, stdout: Some(stdout), stderr: String::new() }
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a process to signal");
    }

    /// Waits until it has written a line with `text` to standard error; `false` when it ended without.
    #[track_caller]
    pub(crate) fn saw(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.stderr.push_str(&line);
                    self.stderr.push('\n');
                    if found {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?} after\n{}", self.stderr),
            }
        }
    }

    /// Waits until it has written a line with `text` to standard error.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        assert!(self.saw(text), "ended without a line with {text:?}:\n{}", self.stderr);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Done {
        let mut memory = 0;
        let deadline = Instant::now() + PATIENCE * 2;
        let status = loop {
            memory = memory.max(peak_memory(self.pid()));
            while let Ok(line) = self.lines.try_recv() {
                self.keep(&line);
            }
            match self.child.try_wait().expect("our child") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("still running after\n{}", self.stderr),
                None => {}
            }
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(5)) {
                self.keep(&line);
            }
        };
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.keep(&line);
        }
        let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default();
        let stdout = self.stdout.take().expect("taken once").join().expect("a thread that reads");
        Done {
            code: status.code().unwrap_or(128 + signal),
            stdout,
            stderr: std::mem::take(&mut self.stderr),
            memory,
        }
    }

    /// Keeps a line, up to what is worth showing.
    fn keep(&mut self, line: &str) {
        if self.stderr.len() < 4 << 20 {
            self.stderr.push_str(line);
            self.stderr.push('\n');
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where the test did not wait for it, it is in the way; where it did, this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peak_memory(pid: Pid) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() << 10
}

/// Returns everything below `dir`, sorted, each with all that can be said of it.
pub(crate) fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(top: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            // What is gone again, as beside a running build, was not there.
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            let mut text = format!(
                "{:o} {}:{} {} {}.{}",
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                metadata.size(),
                metadata.mtime(),
                metadata.mtime_nsec()
            );
            if metadata.is_symlink() {
                let _ = write!(text, " {:?}", std::fs::read_link(&path));
            } else if metadata.is_file() && metadata.size() < 1 << 20 {
                let _ = write!(text, " {:?}", fs_err::read(&path).map(|b| Sha256::digest(b).to_vec()));
            }
            found.insert(path.strip_prefix(top).expect("a path below").to_path_buf(), text);
            if metadata.is_dir() {
                walk(top, &path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}
