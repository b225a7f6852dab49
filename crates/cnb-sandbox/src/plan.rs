//! The pure part: from what a sandbox is to the steps that make it, in the order in which init takes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::{Identity, Limits, Mount, Network, SandboxConfig};
use crate::wire::Bytes;
use cnb_fs::{GuestPath, HostPath};

/// How much the small root in memory may hold; it has only mount points, links and generated files.
const ROOT_SIZE: u64 = 16 << 20;
/// How much shared memory there is; only what is written is used.
const SHM_SIZE: u64 = 256 << 20;
/// The devices that every command may count on.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What init does before it serves, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The user and group on the host that everything made during set-up is given, when root does the set-up.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) steps: Vec<Step>,
}

/// One step of the set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Enter a user namespace of our own, where the caller has another number; it owns all that follow.
    UserNamespace(IdMap),
    /// Split off a child that is process 1 of a new process namespace; what follows happens there.
    BecomeFirstProcess {
        memory: Option<u64>,
    },
    /// Enter new mount, ipc and host name namespaces, and a network namespace without any network.
    Namespaces {
        own_network: bool,
    },
    LoopbackUp,
    HostName(String),
    /// Let nothing that is mounted from here on be seen by the host.
    PrivateMounts,
    /// Mount the file system that becomes `/`.
    Root(FileSystem),
    Mount {
        guest: Bytes,
        file_system: FileSystem,
    },
    Device {
        host: Bytes,
        guest: Bytes,
    },
    Link {
        guest: Bytes,
        target: Bytes,
    },
    Dir {
        guest: Bytes,
        mode: u32,
    },
    File {
        guest: Bytes,
        contents: Bytes,
        mode: u32,
    },
    /// Make the mount at a path read-only, not those below it.
    ReadOnly {
        guest: Bytes,
    },
    /// Make the new root `/`, and let go of the host's.
    ChangeRoot,
    /// Give up root: enter a user namespace where one unprivileged id of the host has a number.
    GiveUpRoot(IdMap),
    Limits {
        processes: Option<u64>,
        open_files: Option<u64>,
    },
    /// Become another user of the host for good.
    BecomeUser {
        uid: u32,
        gid: u32,
    },
    /// Let no program gain rights by being executed.
    NoNewPrivileges,
    DropCapabilities,
    /// Keep commands away from the host's abstract sockets, which belong to the network and not to any file.
    ScopeAbstractSockets,
    FilterSystemCalls,
    /// Answer for all processes that are started, without a namespace to hold them.
    AdoptOrphans,
}

/// One user and one group: inside, outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdMap {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) host_uid: u32,
    pub(crate) host_gid: u32,
}

/// A file system to mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileSystem {
    Bind { host: Bytes, writable: bool },
    Tmpfs { size: u64, mode: u32 },
    Proc,
    Terminals,
    Overlay { lowers: Vec<Bytes>, upper: Option<(Bytes, Bytes)> },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserNamespace(_) => write!(f, "create a user namespace"),
            Self::BecomeFirstProcess { .. } => write!(f, "create a process namespace"),
            Self::Namespaces { .. } => write!(f, "create the mount, ipc, host name and network namespaces"),
            Self::LoopbackUp => write!(f, "bring up the loop-back interface"),
            Self::HostName(_) => write!(f, "set the host name"),
            Self::PrivateMounts => write!(f, "make the mounts private"),
            Self::Root(file_system) => write!(f, "mount {file_system} at `/`"),
            Self::Mount { guest, file_system } => write!(f, "mount {file_system} at `{}`", show(guest)),
            Self::Device { host, .. } => write!(f, "provide the device `{}`", show(host)),
            Self::Link { guest, .. } => write!(f, "create the link `{}`", show(guest)),
            Self::Dir { guest, .. } => write!(f, "create the directory `{}`", show(guest)),
            Self::File { guest, .. } => write!(f, "write the file `{}`", show(guest)),
            Self::ReadOnly { guest } => write!(f, "make `{}` read-only", show(guest)),
            Self::ChangeRoot => write!(f, "change the root directory"),
            Self::GiveUpRoot(map) => write!(f, "become user {} of the host", map.host_uid),
            Self::BecomeUser { uid, .. } => write!(f, "become user {uid} of the host"),
            Self::Limits { .. } => write!(f, "set the resource limits"),
            Self::NoNewPrivileges => write!(f, "forbid new privileges"),
            Self::DropCapabilities => write!(f, "drop the capabilities"),
            Self::ScopeAbstractSockets => write!(f, "scope the abstract sockets"),
            Self::FilterSystemCalls => write!(f, "filter the system calls"),
            Self::AdoptOrphans => write!(f, "adopt orphaned processes"),
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { host, .. } => write!(f, "`{}`", show(host)),
            Self::Tmpfs { .. } => write!(f, "a tmpfs"),
            Self::Proc => write!(f, "proc"),
            Self::Terminals => write!(f, "devpts"),
            Self::Overlay { .. } => write!(f, "an overlay"),
        }
    }
}

fn show(path: &Bytes) -> impl fmt::Display {
    String::from_utf8_lossy(&path.0).into_owned()
}

fn host(path: &HostPath) -> Bytes {
    Bytes::from(path.as_path().as_os_str())
}

fn guest(path: &GuestPath) -> Bytes {
    Bytes::from(path.as_os_str())
}

/// Translates a configuration for a caller with the given effective ids, without touching anything.
pub(crate) fn plan(config: &SandboxConfig, caller: (u32, u32)) -> Plan {
    let mut steps = Vec::new();
    // Root mounts with its own rights and gives them up afterwards: what it mounts before belongs to the host's
    // user namespace, so that the host side can still create files in it. An ordinary user has rights to mount
    // only in a user namespace of its own, which therefore comes first.
    let (owner, give_up_root) = match config.identity {
        Identity::Caller { uid, gid } => {
            steps.push(Step::UserNamespace(IdMap { uid, gid, host_uid: caller.0, host_gid: caller.1 }));
            (None, None)
        }
        Identity::Host { host_uid, host_gid, uid, gid } => {
            (Some((host_uid, host_gid)), Some(IdMap { uid, gid, host_uid, host_gid }))
        }
    };
    let own_network = config.network == Network::None;
    steps.push(Step::BecomeFirstProcess { memory: config.limits.memory });
    steps.push(Step::Namespaces { own_network });
    if own_network {
        steps.push(Step::LoopbackUp);
    }
    steps.push(Step::HostName(config.hostname.clone()));
    steps.push(Step::PrivateMounts);
    let (root, rest) = root(&config.mounts);
    let tmpfs_root = matches!(root, FileSystem::Tmpfs { .. });
    steps.push(Step::Root(root));
    for mount in rest {
        steps_for(mount, &mut steps);
    }
    if tmpfs_root {
        steps.push(Step::ReadOnly { guest: guest(&GuestPath::new("/")) });
    }
    steps.push(Step::ChangeRoot);
    steps.extend(give_up_root.map(Step::GiveUpRoot));
    let (processes, open_files) = (config.limits.processes, config.limits.open_files);
    steps.extend([
        Step::Limits { processes, open_files },
        Step::NoNewPrivileges,
        Step::DropCapabilities,
        Step::ScopeAbstractSockets,
        Step::FilterSystemCalls,
    ]);
    Plan { owner, steps }
}

/// Returns the steps for serving commands in the caller's own world, with all that they leave behind ended.
///
/// With `user`, commands are that user and group of the host: root does not run what it does not trust.
pub(crate) fn unisolated(user: Option<(u32, u32)>, limits: Limits) -> Plan {
    let mut steps = vec![Step::Limits { processes: limits.processes, open_files: limits.open_files }];
    if let Some((uid, gid)) = user {
        steps.push(Step::BecomeUser { uid, gid });
    }
    steps.extend([Step::NoNewPrivileges, Step::AdoptOrphans]);
    Plan { owner: user, steps }
}

fn root(mounts: &[Mount]) -> (FileSystem, &[Mount]) {
    if let Some((first, rest)) = mounts.split_first() {
        match first {
            Mount::Bind { host: source, guest, writable } if guest.parent().is_none() => {
                return (FileSystem::Bind { host: host(source), writable: *writable }, rest);
            }
            Mount::Overlay { guest, lowers, upper } if guest.parent().is_none() => {
                return (overlay(lowers, upper.as_ref()), rest);
            }
            _ => {}
        }
    }
    (FileSystem::Tmpfs { size: ROOT_SIZE, mode: 0o755 }, mounts)
}

fn overlay(lowers: &[HostPath], upper: Option<&crate::config::Upper>) -> FileSystem {
    match (lowers, upper) {
        // The kernel wants something to put together; one directory alone is simply mounted.
        ([only], None) => FileSystem::Bind { host: host(only), writable: false },
        _ => FileSystem::Overlay {
            lowers: lowers.iter().map(host).collect(),
            upper: upper.map(|u| (host(&u.dir), host(&u.work))),
        },
    }
}

fn steps_for(mount: &Mount, steps: &mut Vec<Step>) {
    let at = |path: &GuestPath, file_system| Step::Mount { guest: guest(path), file_system };
    match mount {
        Mount::Bind { host: source, guest, writable } => {
            steps.push(at(guest, FileSystem::Bind { host: host(source), writable: *writable }));
        }
        Mount::Tmpfs { guest, size, mode } => {
            steps.push(at(guest, FileSystem::Tmpfs { size: *size, mode: *mode }));
        }
        Mount::Proc { guest } => steps.push(at(guest, FileSystem::Proc)),
        Mount::Overlay { guest, lowers, upper } => steps.push(at(guest, overlay(lowers, upper.as_ref()))),
        Mount::Link { guest: path, target } => {
            steps.push(Step::Link { guest: guest(path), target: guest(target) });
        }
        Mount::Dir { guest: path, mode } => steps.push(Step::Dir { guest: guest(path), mode: *mode }),
        Mount::ReadOnly { guest: path } => steps.push(Step::ReadOnly { guest: guest(path) }),
        Mount::File { guest: path, contents, mode } => {
            steps.push(Step::File { guest: guest(path), contents: Bytes(contents.clone()), mode: *mode });
        }
        Mount::Dev { guest: dev } => {
            // Mode 755, not a sticky 1777: opening a device with O_CREAT in a sticky directory of another owner
            // is refused, and that is what `> /dev/null` does.
            steps.push(at(dev, FileSystem::Tmpfs { size: 1 << 20, mode: 0o755 }));
            for name in DEVICES {
                let host = host(&HostPath::absolute("/dev").join(name));
                steps.push(Step::Device { host, guest: guest(&dev.join(name)) });
            }
            steps.push(at(&dev.join("pts"), FileSystem::Terminals));
            steps.push(at(&dev.join("shm"), FileSystem::Tmpfs { size: SHM_SIZE, mode: 0o1777 }));
            let links = [
                ("fd", "/proc/self/fd"),
                ("stdin", "/proc/self/fd/0"),
                ("stdout", "/proc/self/fd/1"),
                ("stderr", "/proc/self/fd/2"),
            ];
            for (name, target) in links {
                steps
                    .push(Step::Link { guest: guest(&dev.join(name)), target: Bytes::from(target.as_ref()) });
            }
            steps.push(Step::Link {
                guest: guest(&dev.join("ptmx")),
                target: Bytes::from("pts/ptmx".as_ref()),
            });
            steps.push(Step::ReadOnly { guest: guest(dev) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Upper};

    fn config(mounts: Vec<Mount>, identity: Identity) -> SandboxConfig {
        SandboxConfig {
            init: HostPath::absolute("/init"),
            mounts,
            identity,
            network: Network::Host,
            limits: Limits::default(),
            hostname: "h".to_owned(),
        }
    }

    const CALLER: Identity = Identity::Caller { uid: 1001, gid: 1000 };
    const HOST: Identity = Identity::Host { host_uid: 7, host_gid: 8, uid: 1001, gid: 1000 };

    #[track_caller]
    fn check(config: &SandboxConfig, expected: &[&str]) {
        let found: Vec<_> = plan(config, (500, 501)).steps.iter().map(Step::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_ordinary_user_enters_a_user_namespace_first_and_root_gives_its_rights_up_last() {
        let start = ["create a process namespace", "create the mount, ipc, host name and network namespaces"];
        let middle =
            ["set the host name", "make the mounts private", "mount a tmpfs at `/`", "make `/` read-only"];
        let end = [
            "set the resource limits",
            "forbid new privileges",
            "drop the capabilities",
            "scope the abstract sockets",
            "filter the system calls",
        ];
        let change = "change the root directory";
        let user = [&["create a user namespace"][..], &start, &middle, &[change], &end].concat();
        check(&config(vec![], CALLER), &user);
        let root = [&start[..], &middle, &[change, "become user 7 of the host"], &end].concat();
        check(&config(vec![], HOST), &root);
    }

    #[test]
    fn the_caller_s_ids_are_mapped_and_nothing_has_another_owner() {
        let found = plan(&config(vec![], CALLER), (500, 501));
        let map = IdMap { uid: 1001, gid: 1000, host_uid: 500, host_gid: 501 };
        assert_eq!(found.steps[0], Step::UserNamespace(map));
        assert_eq!(found.owner, None);
        assert_eq!(plan(&config(vec![], HOST), (0, 0)).owner, Some((7, 8)));
    }

    #[test]
    fn loopback_comes_up_only_in_a_network_of_our_own() {
        let mut config = config(vec![], CALLER);
        let count = |config: &SandboxConfig| {
            let steps = plan(config, (1, 1)).steps;
            let own = steps.contains(&Step::Namespaces { own_network: true });
            (own, steps.contains(&Step::LoopbackUp))
        };
        assert_eq!(count(&config), (false, false));
        config.network = Network::None;
        assert_eq!(count(&config), (true, true));
    }

    #[test]
    fn a_first_mount_at_the_root_is_the_root_and_stays_as_writable_as_it_is() {
        let host = HostPath::absolute("/image");
        let root = Mount::Bind { host, guest: GuestPath::new("/"), writable: true };
        let steps = plan(&config(vec![root], CALLER), (1, 1)).steps;
        let host = Bytes::from("/image".as_ref());
        assert!(steps.contains(&Step::Root(FileSystem::Bind { host, writable: true })));
        assert!(!steps.iter().any(|s| matches!(s, Step::ReadOnly { .. })));
    }

    #[test]
    fn one_lower_alone_is_a_read_only_mount() {
        let path = |p: &str| HostPath::absolute(p);
        let bytes = |p: &str| Bytes::from(p.as_ref());
        let upper = Upper { dir: path("/u"), work: path("/w") };
        assert_eq!(overlay(&[path("/a")], None), FileSystem::Bind { host: bytes("/a"), writable: false });
        let both = Some((bytes("/u"), bytes("/w")));
        assert_eq!(
            overlay(&[path("/a")], Some(&upper)),
            FileSystem::Overlay { lowers: vec![bytes("/a")], upper: both }
        );
    }

    #[test]
    fn a_plan_survives_the_wire() {
        let mounts = vec![
            Mount::Dev { guest: GuestPath::new("/dev") },
            Mount::File { guest: GuestPath::new("/f"), contents: vec![0, 255], mode: 0o600 },
        ];
        let plan = plan(&config(mounts, HOST), (0, 0));
        let text = serde_json::to_vec(&plan).unwrap();
        assert_eq!(serde_json::from_slice::<Plan>(&text).unwrap(), plan);
    }
}
