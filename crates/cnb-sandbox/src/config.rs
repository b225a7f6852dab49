//! What a sandbox is made of: mounts, identity, network and limits, as plain data.

use cnb_fs::{GuestPath, HostPath};

/// Everything that decides what a sandbox is.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The `cnb-init` program on the host.
    pub init: HostPath,
    /// What the guest sees, in the order in which it is put together; later mounts cover earlier ones.
    ///
    /// A first [`Mount::Bind`] or [`Mount::Overlay`] at `/` is the root itself. Without one, the root is a small
    /// tmpfs that is read-only once everything is in place.
    pub mounts: Vec<Mount>,
    /// Who the commands are.
    pub identity: Identity,
    /// Which network they have.
    pub network: Network,
    /// What they may use up.
    pub limits: Limits,
    /// The host name that they see.
    pub hostname: String,
}

/// One thing that is put into the guest.
///
/// Every file system is mounted without set-uid and without devices, and every directory that leads to a
/// guest path is made when it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A file or directory of the host, with all that is mounted below it.
    Bind {
        /// The source, which may lie below directories that the guest's user cannot enter.
        host: HostPath,
        /// Where it appears.
        guest: GuestPath,
        /// Whether commands may change it; if not, the mount itself is read-only.
        writable: bool,
    },
    /// An empty, writable file system in memory.
    Tmpfs {
        /// Where it appears.
        guest: GuestPath,
        /// The most bytes it holds.
        size: u64,
        /// The permissions of its top directory.
        mode: u32,
    },
    /// The processes of the sandbox.
    Proc {
        /// Where it appears.
        guest: GuestPath,
    },
    /// Devices: null, zero, full, random, urandom, tty, terminals, shared memory.
    Dev {
        /// Where it appears.
        guest: GuestPath,
    },
    /// Directories on top of each other.
    Overlay {
        /// Where it appears.
        guest: GuestPath,
        /// What is below, top first; never written.
        lowers: Vec<HostPath>,
        /// What takes the changes; without it nothing can be changed.
        upper: Option<Upper>,
    },
    /// A symbolic link.
    Link {
        /// Where it appears.
        guest: GuestPath,
        /// What it says.
        target: GuestPath,
    },
    /// A directory.
    Dir {
        /// Where it appears.
        guest: GuestPath,
        /// Its permissions.
        mode: u32,
    },
    /// What was mounted before at this path cannot be changed any more; what is below in mounts of its own can.
    ReadOnly {
        /// The mount point.
        guest: GuestPath,
    },
    /// A small file.
    File {
        /// Where it appears.
        guest: GuestPath,
        /// What is in it.
        contents: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
}

/// The directories that take the changes of an overlay; both on one file system of the host, both empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upper {
    /// What has changed.
    pub dir: HostPath,
    /// The kernel's own directory for changes that are under way.
    pub work: HostPath,
}

/// Who the commands are, inside and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The caller itself under another number: for an ordinary user.
    ///
    /// Root must not use this: a process that is root on the host is bound by no process limit.
    Caller {
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
    },
    /// Another, unprivileged user of the host: for root.
    Host {
        /// User id on the host, which must not be 0.
        host_uid: u32,
        /// Group id on the host.
        host_gid: u32,
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
    },
}

/// Which network the commands have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's.
    Host,
    /// A loop-back interface of their own, and nothing else.
    None,
}

/// What the commands may use up; a limit that is above the caller's own is lowered to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most processes and threads at one time.
    pub processes: Option<u64>,
    /// The most open files of one process.
    pub open_files: Option<u64>,
    /// The most bytes of memory, all processes together; holds only where a version 2 control group is delegated.
    pub memory: Option<u64>,
}
