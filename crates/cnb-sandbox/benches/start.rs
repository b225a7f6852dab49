//! How long a sandbox takes: to start and end, with a command, and for one more command.

use std::collections::BTreeMap;
use std::path::Path;

use cnb_fs::{GuestPath, HostPath};
use cnb_sandbox::{Direct, Identity, Invocation, Limits, Mount, Network, Run, Sandbox, SandboxConfig};

fn main() {
    divan::main();
}

fn config() -> SandboxConfig {
    let guest = |path: &str| GuestPath::new(path);
    let mut mounts = vec![
        Mount::Proc { guest: guest("/proc") },
        Mount::Dev { guest: guest("/dev") },
        Mount::Tmpfs { guest: guest("/tmp"), size: 64 << 20, mode: 0o1777 },
        Mount::Overlay {
            guest: guest("/layers"),
            lowers: vec![HostPath::absolute("/usr/share"), HostPath::absolute("/usr/bin")],
            upper: None,
        },
    ];
    for dir in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(dir).exists() {
            let (host, guest) = (HostPath::absolute(dir), guest(dir));
            mounts.push(Mount::Bind { host, guest, writable: false });
        }
    }
    let root = rustix::process::geteuid().is_root();
    SandboxConfig {
        init: HostPath::absolute(env!("CARGO_BIN_EXE_cnb-init")),
        mounts,
        identity: if root {
            Identity::Host { host_uid: 65534, host_gid: 65534, uid: 1001, gid: 1000 }
        } else {
            Identity::Caller { uid: 1001, gid: 1000 }
        },
        network: Network::Host,
        limits: Limits::default(),
        hostname: "bench".to_owned(),
    }
}

fn command() -> Invocation {
    Invocation {
        program: GuestPath::new("/bin/true"),
        args: vec![],
        env: BTreeMap::new(),
        cwd: GuestPath::new("/"),
    }
}

#[divan::bench(sample_count = 200)]
fn start_and_end() {
    Sandbox::start(&config()).expect("namespaces are allowed where benchmarks are run");
}

#[divan::bench(sample_count = 200)]
fn start_run_true_and_end() {
    let sandbox = Sandbox::start(&config()).expect("namespaces are allowed where benchmarks are run");
    sandbox.run(&command(), &mut |_| {}).expect("`/bin/true` is there");
}

#[divan::bench(sample_count = 200)]
fn one_more_command(bencher: divan::Bencher<'_, '_>) {
    let sandbox = Sandbox::start(&config()).expect("namespaces are allowed where benchmarks are run");
    bencher.bench_local(|| sandbox.run(&command(), &mut |_| {}));
}

#[divan::bench(sample_count = 200)]
fn direct(bencher: divan::Bencher<'_, '_>) {
    bencher.bench_local(|| Direct.run(&command(), &mut |_| {}));
}
