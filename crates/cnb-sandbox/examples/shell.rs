//! Runs a command in a throw-away sandbox over this machine's own programs: `shell [--terminal] PROGRAM [ARGS…]`.
//!
//! ```sh
//! cargo build --package cnb-sandbox && cargo run --package cnb-sandbox --example shell -- --terminal bash
//! ```

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use cnb_fs::{GuestPath, HostPath};
use cnb_sandbox::{Exit, Foreground, Identity, Limits, Mount, Network, Sandbox, SandboxConfig, Signals};

/// Hang-up, interrupt, quit, user 1, user 2, terminate; and the one for a terminal's new size.
const PASSED_ON: [i32; 6] = [1, 2, 3, 10, 12, 15];
const WINDOW_CHANGED: i32 = 28;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            let _ = io::Write::write_all(&mut io::stderr(), format!("error: {error}\n").as_bytes());
            ExitCode::from(125)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    let terminal = argv.first().is_some_and(|a| a == "--terminal");
    if terminal {
        argv.remove(0);
    }
    // Beside this program, or where cargo builds it: beside the directory of the examples.
    let program = std::env::current_exe()?;
    let mut places = program.ancestors().skip(1).take(2).map(|dir| dir.join("cnb-init"));
    let init = places.find(|init| init.exists()).ok_or("`cnb-init` is not built")?;
    let sandbox = Sandbox::start(&config(&init))?;
    let env = [("PATH", "/usr/bin:/bin"), ("TERM", "xterm")];
    let env = env.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
    let command = Foreground { argv, env, cwd: GuestPath::new("/"), terminal };
    let signals = Signals::watch(&[PASSED_ON.as_slice(), &[WINDOW_CHANGED]].concat())?;
    let session = std::sync::Arc::new(sandbox.foreground(&command)?);
    let passing = std::sync::Arc::clone(&session);
    std::thread::spawn(move || {
        while let Ok(signal) = signals.next() {
            // A command that has just ended needs no more signals.
            let _ = if signal == WINDOW_CHANGED { passing.resize() } else { passing.signal(signal) };
        }
    });
    let code = match session.wait()? {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    };
    Ok(ExitCode::from(u8::try_from(code)?))
}

fn config(init: &Path) -> SandboxConfig {
    let guest = |path: &str| GuestPath::new(path);
    let mut mounts = vec![
        Mount::Proc { guest: guest("/proc") },
        Mount::Dev { guest: guest("/dev") },
        Mount::Tmpfs { guest: guest("/tmp"), size: 64 << 20, mode: 0o1777 },
    ];
    for dir in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(dir).exists() {
            let (host, guest) = (HostPath::absolute(dir), guest(dir));
            mounts.push(Mount::Bind { host, guest, writable: false });
        }
    }
    let root = rustix::process::geteuid().is_root();
    SandboxConfig {
        init: HostPath::absolute(init),
        mounts,
        identity: if root {
            Identity::Host { host_uid: 65534, host_gid: 65534, uid: 1001, gid: 1000 }
        } else {
            Identity::Caller { uid: 1001, gid: 1000 }
        },
        network: Network::None,
        limits: Limits::default(),
        hostname: "sandbox".to_owned(),
    }
}
