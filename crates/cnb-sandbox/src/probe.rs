//! Whether sandboxes can be had here, and what to do if not.

use std::io;
use std::path::Path;

use cnb_fs::{GuestPath, HostPath};

use crate::config::{Identity, Limits, Mount, Network, SandboxConfig};
use crate::{Sandbox, SandboxError};

/// Why no sandbox can be had here, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unavailable {
    /// What is missing, with the kernel's reason.
    pub what: String,
    /// What the user can do about it, as a sentence that can be followed.
    pub remedy: String,
}

/// Finds out whether sandboxes can be had here, by starting one.
///
/// It has all that a build needs: user, mount, process, ipc and host name namespaces, proc, devices, an overlay.
pub fn available(init: &HostPath) -> Result<(), Unavailable> {
    let guest = |path: &str| GuestPath::new(path);
    let host = |path: &str| HostPath::absolute(path);
    let mounts = vec![
        Mount::Proc { guest: guest("/proc") },
        Mount::Dev { guest: guest("/dev") },
        Mount::Bind { host: host("/usr"), guest: guest("/usr"), writable: false },
        Mount::Overlay { guest: guest("/overlay"), lowers: vec![host("/usr"), host("/etc")], upper: None },
    ];
    // Root gives its rights up to some other user; which one makes no difference here. 65534 is nobody's own.
    let identity = if rustix::process::geteuid().is_root() {
        Identity::Host { host_uid: 65534, host_gid: 65534, uid: 1001, gid: 1000 }
    } else {
        Identity::Caller { uid: 1001, gid: 1000 }
    };
    let config = SandboxConfig {
        init: init.clone(),
        mounts,
        identity,
        network: Network::Host,
        limits: Limits::default(),
        hostname: "probe".to_owned(),
    };
    match Sandbox::start(&config) {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(&error, &Obstacle::all_here())),
    }
}

/// What on this machine can stand in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// There may be no user namespaces at all.
    NoneAllowed,
    /// A sysctl of Debian and Arch turns user namespaces off.
    CloneOff,
    /// `AppArmor` refuses user namespaces to programs without a profile (Ubuntu since 23.10).
    AppArmor,
    /// A system call filter is in force, as in a container.
    Filtered,
}

impl Obstacle {
    /// Each with the file and the line in it that show it.
    const SIGNS: [(Self, &str, &str); 4] = [
        (Self::NoneAllowed, "/proc/sys/user/max_user_namespaces", "0"),
        (Self::CloneOff, "/proc/sys/kernel/unprivileged_userns_clone", "0"),
        (Self::AppArmor, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        (Self::Filtered, "/proc/self/status", "Seccomp:\t2"),
    ];

    fn all_here() -> Vec<Self> {
        let shows = |(obstacle, path, sign): (Self, &str, &str)| {
            let bytes = cnb_fs::toml_file::read_host_bytes(Path::new(path), 64 << 10).ok()?;
            String::from_utf8_lossy(&bytes).lines().any(|line| line.trim() == sign).then_some(obstacle)
        };
        Self::SIGNS.into_iter().filter_map(shows).collect()
    }
}

fn explain(error: &SandboxError, here: &[Obstacle]) -> Unavailable {
    let SandboxError::Step { step, source } = error else {
        let reason = std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default();
        return Unavailable {
            what: format!("{error}{reason}"),
            remedy: "Reinstall `cnb`: its `cnb-init` program does not run here.".to_owned(),
        };
    };
    let denied = matches!(source.kind(), io::ErrorKind::PermissionDenied);
    let remedy = if step.contains("proc at") && denied {
        "This container hides parts of /proc. Start it with `--security-opt systempaths=unconfined` (Docker) or \
         `--security-opt unmask=ALL` (Podman)."
    } else if here.contains(&Obstacle::NoneAllowed) {
        "Allow user namespaces: `sudo sysctl user.max_user_namespaces=15000`."
    } else if here.contains(&Obstacle::CloneOff) {
        "Allow user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`."
    } else if denied && here.contains(&Obstacle::AppArmor) {
        "AppArmor refuses user namespaces to programs without a profile. Allow them: `sudo sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0`, or install an AppArmor profile for `cnb-init` with the \
         rule `userns,`."
    } else if denied && here.contains(&Obstacle::Filtered) {
        "This container forbids namespaces. Start it with `--security-opt seccomp=unconfined` (and, as root in \
         it, `--cap-add SYS_ADMIN --security-opt apparmor=unconfined`)."
    } else if step.contains("overlay") {
        "Overlay file systems in user namespaces need Linux 5.11 or later with the `overlay` module."
    } else if source.raw_os_error() == Some(libc::ENOSYS) || source.raw_os_error() == Some(libc::EINVAL) {
        "The sandbox needs Linux 5.12 or later with user, mount, process, ipc and host name namespaces."
    } else {
        "Run on a machine where user namespaces are allowed."
    };
    Unavailable { what: format!("{error}: {source}"), remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(step: &str, errno: i32, here: &[Obstacle], remedy: &str) {
        let source = io::Error::from_raw_os_error(errno);
        let found = explain(&SandboxError::Step { step: step.to_owned(), source }, here);
        assert!(found.remedy.contains(remedy), "{found:?}");
        assert!(found.what.contains(step), "{found:?}");
    }

    #[test]
    fn each_obstacle_has_its_own_remedy() {
        let user = "create a user namespace";
        check(user, libc::ENOSPC, &[Obstacle::NoneAllowed], "user.max_user_namespaces");
        check(user, libc::EPERM, &[Obstacle::CloneOff], "unprivileged_userns_clone");
        check(user, libc::EPERM, &[Obstacle::AppArmor], "apparmor_restrict_unprivileged_userns");
        // There, creating the namespace works, and the first use of it fails.
        check("make the mounts private", libc::EACCES, &[Obstacle::AppArmor], "install an AppArmor profile");
        check(user, libc::EPERM, &[Obstacle::Filtered], "seccomp=unconfined");
        check("mount proc at `/proc`", libc::EPERM, &[Obstacle::Filtered], "systempaths=unconfined");
        check("mount an overlay at `/overlay`", libc::EPERM, &[], "Linux 5.11");
        check(user, libc::ENOSYS, &[], "Linux 5.12");
    }
}
