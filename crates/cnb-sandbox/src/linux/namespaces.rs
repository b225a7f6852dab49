//! Entering namespaces, and who is who in them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use crate::plan::IdMap;

/// Enters new namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: this process has one thread, so nothing else counts on sharing what is unshared; descriptors
    // (CLONE_FILES) are never among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Enters a user namespace in which the caller's own ids have other numbers, and which gives it all
/// capabilities over the namespaces made from it.
pub(super) fn enter_user_namespace(map: IdMap) -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER)?;
    write_maps_in(Path::new("/proc/self"), map)
}

/// Gives ids to another process, which has entered a user namespace.
pub(super) fn write_maps(pid: Pid, map: IdMap) -> io::Result<()> {
    write_maps_in(&PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero())), map)
}

fn write_maps_in(process: &Path, map: IdMap) -> io::Result<()> {
    // The kernel demands the first line of those who map their own group alone.
    write_once(&process.join("setgroups"), "deny")?;
    write_once(&process.join("uid_map"), &format!("{} {} 1", map.uid, map.host_uid))?;
    write_once(&process.join("gid_map"), &format!("{} {} 1", map.gid, map.host_gid))
}

fn write_once(path: &Path, text: &str) -> io::Result<()> {
    // These files take their text in one `write` or not at all.
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Brings up `lo`, which is down in a new network namespace.
pub(super) fn bring_up_loopback() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all zeroes is a valid `ifreq`: it holds numbers, characters and a union of those.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).map_err(io::Error::other)?;
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(up).map_err(io::Error::other)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the socket is open and `request` is the structure that this request reads.
    let result = unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
