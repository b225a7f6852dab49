//! The places inside a sandbox, as both of its sides know them.

/// The writable folders, at fixed paths, so that layers are comparable to the byte.
pub const ROOM: &[&str] = &["workspace", "layers", "platform", "cnb", "cache", "layout", "home"];

/// The folder of the case, with `case.toml` and `in`.
pub const CASE: &str = "/case";

/// The base images and accounts of the suite. Scripts of cases know this path.
pub const BASE: &str = "/golden/base";

/// This program.
pub const HARNESS: &str = "/golden/harness";

/// The folder of the lifecycle under test.
pub const LIFECYCLE: &str = "/lifecycle";

/// The launcher under test.
pub const LAUNCHER: &str = "/real-launcher";

/// The command of the platform under test.
pub const PLATFORM: &str = "/real-platform";

/// The name by which cases start that command.
pub const PLATFORM_NAME: &str = "cnb";

/// Where the inside leaves what is to be compared.
pub const OUT: &str = "/out";

/// A file in [`OUT`] with the environment that every step gets, beside what its case says.
pub const ENV: &str = "env.json";

/// The registry of the sandbox.
pub const REGISTRY: &str = "127.0.0.1:5000";

/// Where programs are looked for, inside and outside.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns where a program is on [`PATH`].
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(PATH).map(|dir| dir.join(name)).find(|file| file.is_file())
}
