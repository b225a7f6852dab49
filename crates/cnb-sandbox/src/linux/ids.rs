//! Giving up rights: ids, capabilities, limits.

use std::io;

use rustix::fs::{Gid, Uid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Leaves all supplementary groups.
pub(super) fn drop_groups() -> io::Result<()> {
    rustix::thread::set_thread_groups(&[]).map_err(io::Error::from)
}

/// Becomes a user and group for good; this process has one thread.
pub(super) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Drops every capability, those that an executed program could bring included.
pub(super) fn drop_capabilities() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: takes a number and changes nothing but this process's own bounding set.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            // The first number that the kernel does not know ends the list.
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(io::Error::from)
}

/// Sets the limits, never above what this process may have itself.
pub(super) fn limit(processes: Option<u64>, open_files: Option<u64>) -> io::Result<()> {
    set(Resource::Core, Some(0))?;
    set(Resource::Nproc, processes)?;
    set(Resource::Nofile, open_files)
}

fn set(resource: Resource, limit: Option<u64>) -> io::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let allowed = getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit));
    setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) }).map_err(io::Error::from)
}

/// Cuts the commands off from abstract sockets made outside, where the kernel can do that (Linux 6.12).
///
/// Such a socket has no file, so no mount hides it from a guest that shares the host's network.
pub(super) fn scope_abstract_sockets() {
    const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
    // The kernel's `struct landlock_ruleset_attr`: file system rights, network rights, scopes.
    let attributes: [u64; 3] = [0, 0, SCOPE_ABSTRACT_UNIX_SOCKET];
    let size = size_of_val(&attributes);
    // SAFETY: the pointer and the size describe the array; the result is a new descriptor or an error.
    let ruleset = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), size, 0) };
    if ruleset >= 0 {
        // SAFETY: `ruleset` is the descriptor just made; it is closed here once and used nowhere else.
        unsafe {
            libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0);
            libc::syscall(libc::SYS_close, ruleset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    #[test]
    fn abstract_sockets_made_outside_cannot_be_reached_where_the_kernel_can_do_that() {
        let name = format!("cnb-sandbox-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).unwrap();
        // SAFETY: asks for the version and touches no memory.
        let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) };
        // The restriction is the thread's alone.
        let result = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            scope_abstract_sockets();
            UnixStream::connect_addr(&address).map(drop).map_err(|e| e.raw_os_error())
        });
        let expected = if version >= 6 { Err(Some(libc::EPERM)) } else { Ok(()) };
        assert_eq!(result.join().unwrap(), expected);
    }
}
