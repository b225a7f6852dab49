//! The guest's file systems, made detached, opened before any right is given up, attached by handle.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use cnb_fs::{FsError, GuestPath, Root};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, open_tree, unmount,
};

use crate::plan::FileSystem;
use crate::wire::Bytes;

const EMPTY: &CStr = c"";

/// Makes sure that the host sees nothing of what is mounted from here on.
pub(super) fn make_private() -> io::Result<()> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(io::Error::from)
}

/// Makes a file system that is not attached anywhere yet.
pub(super) fn make(file_system: &FileSystem, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    match file_system {
        FileSystem::Bind { host, writable } => bind(host, *writable),
        FileSystem::Tmpfs { size, mode } => {
            let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&fs, "size", size.to_string())?;
            fsconfig_set_string(&fs, "mode", format!("{mode:o}"))?;
            if let Some((uid, gid)) = owner {
                fsconfig_set_string(&fs, "uid", uid.to_string())?;
                fsconfig_set_string(&fs, "gid", gid.to_string())?;
            }
            mounted(&fs, MountAttrFlags::empty())
        }
        FileSystem::Proc => {
            let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            mounted(&fs, MountAttrFlags::MOUNT_ATTR_NOEXEC)
        }
        FileSystem::Terminals => {
            let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&fs, "ptmxmode", "0666")?;
            fsconfig_set_string(&fs, "mode", "0620")?;
            fsconfig_set_flag(&fs, "newinstance")?;
            mount_terminals(&fs)
        }
        FileSystem::Overlay { lowers, upper } => overlay(lowers, upper.as_ref()),
    }
}

fn mount_terminals(fs: &OwnedFd) -> io::Result<OwnedFd> {
    fsconfig_create(fs)?;
    // No MOUNT_ATTR_NODEV: terminals are devices.
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(io::Error::from)
}

fn mounted(fs: &OwnedFd, flags: MountAttrFlags) -> io::Result<OwnedFd> {
    fsconfig_create(fs)?;
    let always = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, flags | always).map_err(io::Error::from)
}

fn bind(host: &Bytes, writable: bool) -> io::Result<OwnedFd> {
    // With all that is mounted below: a part of the host's tree without its submounts could uncover files, and
    // the kernel refuses it in a user namespace.
    let tree = clone_tree(host, OpenTreeFlags::AT_RECURSIVE)?;
    let mut flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if !writable {
        flags |= libc::MOUNT_ATTR_RDONLY;
    }
    set_attributes(&tree, flags, libc::AT_RECURSIVE)?;
    Ok(tree)
}

fn clone_tree(host: &Bytes, extent: OpenTreeFlags) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | extent;
    open_tree(CWD, host.as_os_str(), flags).map_err(io::Error::from)
}

fn overlay(lowers: &[Bytes], upper: Option<&(Bytes, Bytes)>) -> io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By handle, so that a name of any length with any character can be given.
    let open = |path: &Bytes| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path.as_os_str(), flags, Mode::empty())
    };
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lowers = lowers.iter().map(open).collect::<rustix::io::Result<Vec<_>>>()?;
    for (index, lower) in lowers.iter().enumerate() {
        match fsconfig_set_string(&fs, "lowerdir+", name(lower)) {
            // Before Linux 6.7 all of them stand in one string, which takes about a dozen.
            Err(rustix::io::Errno::INVAL) if index == 0 => {
                let all: Vec<String> = lowers.iter().map(name).collect();
                fsconfig_set_string(&fs, "lowerdir", all.join(":"))?;
                break;
            }
            other => other?,
        }
    }
    // Kept open until the file system exists: older kernels look the names up only then.
    let mut kept = Vec::new();
    if let Some((dir, work)) = upper {
        for (key, path) in [("upperdir", dir), ("workdir", work)] {
            let handle = open(path)?;
            fsconfig_set_string(&fs, key, name(&handle))?;
            kept.push(handle);
        }
        fsconfig_set_flag(&fs, "volatile")?;
    }
    fsconfig_set_flag(&fs, "userxattr")?;
    mounted(&fs, MountAttrFlags::empty())
}

/// The kernel's `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(tree: &OwnedFd, set: u64, flags: libc::c_int) -> io::Result<()> {
    let attributes = MountAttributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the descriptor is open, the path is empty and terminated, and pointer and size describe
    // `attributes`, which the kernel only reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            EMPTY.as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Attaches the guest's root on top of the host's, where [`change_root`] can swap the two.
pub(super) fn attach_over_root(tree: &OwnedFd) -> io::Result<()> {
    move_mount(tree, EMPTY, CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(io::Error::from)
}

/// Attaches `tree` at a path of the guest, which is made when it is missing.
pub(super) fn attach(root: &Root, tree: &OwnedFd, guest: &Bytes) -> io::Result<()> {
    let path = GuestPath::new(guest.as_os_str());
    let kind = FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode);
    if kind == FileType::Directory {
        root.create_dir_all(&path).map_err(cause)?;
    } else if !root.exists(&path).map_err(cause)? {
        root.write(&path, b"", 0o644).map_err(cause)?;
    }
    let target = root.open(&path, OFlags::PATH).map_err(cause)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, EMPTY, &target, EMPTY, flags).map_err(io::Error::from)
}

/// Attaches a device of the host; one that the host lacks is left out.
pub(super) fn attach_device(root: &Root, host: &Bytes, guest: &Bytes) -> io::Result<()> {
    let tree = match clone_tree(host, OpenTreeFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    set_attributes(&tree, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, 0)?;
    attach(root, &tree, guest)
}

/// Makes a symbolic link, replacing what is there.
pub(super) fn link(root: &Root, guest: &Bytes, target: &Bytes, owner: Option<(u32, u32)>) -> io::Result<()> {
    let path = GuestPath::new(guest.as_os_str());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(rustix::io::Errno::EXIST));
    };
    root.create_dir_all(&parent).map_err(cause)?;
    let dir = root.open(&parent, OFlags::PATH | OFlags::DIRECTORY).map_err(cause)?;
    match rustix::fs::symlinkat(target.as_os_str(), &dir, name) {
        Err(rustix::io::Errno::EXIST) => {
            rustix::fs::unlinkat(&dir, name, AtFlags::empty())?;
            rustix::fs::symlinkat(target.as_os_str(), &dir, name)?;
        }
        other => other?,
    }
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Makes a directory with exactly these permissions.
pub(super) fn dir(root: &Root, guest: &Bytes, mode: u32) -> io::Result<()> {
    let path = GuestPath::new(guest.as_os_str());
    root.create_dir_all(&path).map_err(cause)?;
    root.set_mode(&path, mode).map_err(cause)
}

/// Makes a file with exactly these permissions.
pub(super) fn file(root: &Root, guest: &Bytes, contents: &[u8], mode: u32) -> io::Result<()> {
    let path = GuestPath::new(guest.as_os_str());
    root.write(&path, contents, 0o600).map_err(cause)?;
    root.set_mode(&path, mode).map_err(cause)
}

/// Makes the mount at a path read-only.
pub(super) fn make_read_only(root: &Root, guest: &Bytes) -> io::Result<()> {
    let mount = root.open(&GuestPath::new(guest.as_os_str()), OFlags::PATH).map_err(cause)?;
    set_attributes(&mount, libc::MOUNT_ATTR_RDONLY, 0)
}

/// Makes the new root this process's `/` and lets go of the host's.
pub(super) fn change_root(root: &Root) -> io::Result<()> {
    rustix::process::fchdir(root.as_fd())?;
    // Both names are the new root: the old one ends up on top of it, and is what is unmounted.
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    Ok(())
}

fn cause(error: FsError) -> io::Error {
    error.source
}
