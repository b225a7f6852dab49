//! The sandbox that the tests run in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cnb_fs::{GuestPath, HostPath};
use cnb_sandbox::{Exit, Identity, Invocation, Limits, Mount, Network, Run, Sandbox, SandboxConfig};
use tempfile::TempDir;

/// A host id that is nobody's, for tests started by root.
const HOST_ID: u32 = 64_999;

pub(crate) fn guest(path: &str) -> GuestPath {
    GuestPath::new(path)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Finds a program of this package: beside a copied test, or where it was built.
pub(crate) fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let beside = test.with_file_name(name);
    if beside.exists() {
        return beside;
    }
    let init = Path::new(env!("CARGO_BIN_EXE_cnb-init"));
    let found =
        if name == "cnb-init" { init.to_path_buf() } else { init.with_file_name("examples").join(name) };
    assert!(found.exists(), "{} is missing: build all targets of the package", found.display());
    found
}

pub(crate) fn init() -> HostPath {
    HostPath::absolute(built("cnb-init"))
}

/// A directory of the host that the guest's user owns and that anybody can reach.
pub(crate) fn owned_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    give(dir.path());
    dir
}

/// Gives a path to the guest's user, where that is another one.
pub(crate) fn give(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(HOST_ID), Some(HOST_ID)).unwrap();
    }
}

/// Makes directories below `dir` for the guest's user and returns their paths.
pub(crate) fn dirs<const N: usize>(dir: &TempDir, names: [&str; N]) -> [HostPath; N] {
    names.map(|name| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        give(&path);
        HostPath::absolute(path)
    })
}

/// The host's programs, read-only, with proc, devices and a `/tmp`.
pub(crate) fn config() -> SandboxConfig {
    let mut mounts = vec![
        Mount::Proc { guest: guest("/proc") },
        Mount::Dev { guest: guest("/dev") },
        Mount::Tmpfs { guest: guest("/tmp"), size: 64 << 20, mode: 0o1777 },
    ];
    for dir in ["/usr", "/bin", "/sbin", "/lib", "/lib64"] {
        if Path::new(dir).exists() {
            let (host, guest) = (HostPath::absolute(dir), guest(dir));
            mounts.push(Mount::Bind { host, guest, writable: false });
        }
    }
    SandboxConfig {
        init: init(),
        mounts,
        identity: if is_root() {
            Identity::Host { host_uid: HOST_ID, host_gid: HOST_ID, uid: 1001, gid: 1000 }
        } else {
            Identity::Caller { uid: 1001, gid: 1000 }
        },
        network: Network::Host,
        limits: Limits::default(),
        hostname: "cnb".to_owned(),
    }
}

/// Starts the usual sandbox with more in it.
#[track_caller]
pub(crate) fn start(more: impl IntoIterator<Item = Mount>) -> Sandbox {
    let mut config = config();
    config.mounts.extend(more);
    Sandbox::start(&config).unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)))
}

pub(crate) fn shell(script: &str) -> Invocation {
    Invocation {
        program: guest("/bin/sh"),
        args: vec!["-c".into(), script.into()],
        env: environment(),
        cwd: guest("/tmp"),
    }
}

pub(crate) fn environment() -> BTreeMap<OsString, OsString> {
    [("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())].into()
}

pub(crate) fn try_run(run: &dyn Run, invocation: &Invocation) -> io::Result<(Exit, String)> {
    let mut printed = Vec::new();
    let exit = run.run(invocation, &mut |bytes| printed.extend_from_slice(bytes))?;
    Ok((exit, String::from_utf8_lossy(&printed).into_owned()))
}

/// Runs a script and returns how it ended and all that it printed.
#[track_caller]
pub(crate) fn sh(run: &dyn Run, script: &str) -> (Exit, String) {
    try_run(run, &shell(script)).unwrap()
}

/// Runs a script that must succeed and returns what it printed.
#[track_caller]
pub(crate) fn said(run: &dyn Run, script: &str) -> String {
    let (exit, printed) = sh(run, script);
    assert_eq!(exit, Exit::Code(0), "{printed}");
    printed
}

/// Counts the host's processes that have `mark` in their command line.
pub(crate) fn processes_marked(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = entries.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    commands.filter(|c| String::from_utf8_lossy(c).contains(mark)).count()
}

/// Waits until `met` holds; for what the kernel does in its own time after a process was killed.
#[track_caller]
pub(crate) fn eventually(what: &str, met: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !met() {
        assert!(start.elapsed().as_secs() < 10, "{what}: not within ten seconds");
        std::thread::yield_now();
    }
}

/// A text that no other process has in its command line.
pub(crate) fn mark() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("mark-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
