//! The system calls that commands are refused: about what container engines refuse by default.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

/// Calls that are refused whatever their arguments: they change what the sandbox is made of, look into other
/// processes, or open parts of the kernel that no build needs and that have had many holes.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// The same for calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[294 /* kexec_file_load, which some C libraries' lists lack */];

/// The flags of `clone` that would make a namespace.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Terminal requests that put words into somebody else's mouth.
const TERMINAL_INPUT: [u64; 2] = [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */];

/// The personalities that exist on ordinary systems, and the question which one it is.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// Installs the filters on this process and all that it will start.
pub(super) fn apply() -> io::Result<()> {
    for program in programs().map_err(io::Error::other)? {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = |rules, errno: libc::c_int| {
        let action = SeccompAction::Errno(errno.unsigned_abs());
        SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?.try_into()
    };
    // Its flags lie in memory where a filter cannot look; C libraries fall back to `clone`, whose can be seen.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    let mut all = vec![refuse(rules()?, libc::EPERM)?, refuse(clone3, libc::ENOSYS)?];
    if cfg!(target_arch = "x86_64") {
        all.push(no_x32());
    }
    Ok(all)
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|&call| (call, vec![])).collect();
    let argument = |index, op, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value);
    let mut namespaces = Vec::new();
    for flag in NAMESPACES {
        let bit = u64::from(flag.cast_unsigned());
        namespaces.push(SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(bit), bit)?])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    let mut input = Vec::new();
    for request in TERMINAL_INPUT {
        input.push(SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, input);
    let mut others = Vec::new();
    for personality in PERSONALITIES {
        others.push(argument(0, SeccompCmpOp::Ne, personality)?);
    }
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(others)?]);
    // Reaches the hypervisor or the kernel's crypto, which no build asks for.
    let families = [libc::AF_VSOCK, libc::AF_ALG];
    let mut sockets = Vec::new();
    for family in families {
        sockets.push(SeccompRule::new(vec![argument(
            0,
            SeccompCmpOp::Eq,
            u64::from(family.cast_unsigned()),
        )?])?);
    }
    rules.insert(libc::SYS_socket, sockets);
    Ok(rules)
}

/// Refuses the x32 calls, which have numbers of their own that no rule above names.
fn no_x32() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, at offset 0: `seccomp_data.nr`
    const JUMP_IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const X32: u32 = 0x4000_0000;
    let line = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    vec![
        line(LOAD_NUMBER, 0, 0),
        line(JUMP_IF_AT_LEAST, 1, X32),
        line(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        line(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes calls in a thread under the filters and returns the error number of each, 0 for success.
    fn errors(calls: &[(libc::c_long, [libc::c_long; 3])]) -> Vec<i32> {
        let under_filters = || {
            apply().unwrap();
            let try_one = |&(number, [a, b, c]): &(libc::c_long, [libc::c_long; 3])| {
                // SAFETY: every call in these tests is refused, or only asks for something.
                match unsafe { libc::syscall(number, a, b, c, 0, 0) } {
                    -1 => io::Error::last_os_error().raw_os_error().unwrap(),
                    _ => 0,
                }
            };
            calls.iter().map(try_one).collect()
        };
        std::thread::scope(|s| s.spawn(under_filters).join().unwrap())
    }

    #[test]
    fn what_changes_the_sandbox_or_looks_into_others_is_refused() {
        let found = errors(&[
            (libc::SYS_ptrace, [libc::PTRACE_PEEKUSER.into(), 1, 0]),
            (libc::SYS_unshare, [0, 0, 0]),
            (libc::SYS_setns, [-1, 0, 0]),
            (libc::SYS_mount, [0, 0, 0]),
            (libc::SYS_umount2, [0, 0, 0]),
            (libc::SYS_pivot_root, [0, 0, 0]),
            (libc::SYS_bpf, [0, 0, 0]),
            (libc::SYS_keyctl, [0, 0, 0]),
            (libc::SYS_io_uring_setup, [0, 0, 0]),
            (libc::SYS_process_vm_readv, [0, 0, 0]),
            (libc::SYS_open_by_handle_at, [-1, 0, 0]),
        ]);
        assert_eq!(found, [libc::EPERM; 11]);
    }

    #[test]
    fn a_clone_that_would_make_a_namespace_is_refused_and_clone3_does_not_exist() {
        let found = errors(&[
            (libc::SYS_clone, [libc::CLONE_NEWUSER.into(), 0, 0]),
            (libc::SYS_clone, [(libc::CLONE_NEWNS | libc::CLONE_NEWPID).into(), 0, 0]),
            (libc::SYS_clone3, [0, 0, 0]),
        ]);
        assert_eq!(found, [libc::EPERM, libc::EPERM, libc::ENOSYS]);
    }

    #[test]
    fn arguments_decide_where_a_call_has_good_uses_too() {
        let found = errors(&[
            (libc::SYS_ioctl, [-1, 0x5412, 0]),
            // The kernel looks at the lower half of the request only.
            (libc::SYS_ioctl, [-1, 0x7_0000_5412, 0]),
            (libc::SYS_ioctl, [-1, 0x5413, 0]),
            (libc::SYS_socket, [libc::AF_VSOCK.into(), libc::SOCK_STREAM.into(), 0]),
            (libc::SYS_socket, [-1, libc::SOCK_STREAM.into(), 0]),
            (libc::SYS_personality, [0x0040_0000, 0, 0]),
            (libc::SYS_personality, [0xffff_ffff, 0, 0]),
            (libc::SYS_getpid, [0, 0, 0]),
        ]);
        let (refused, tried) = (libc::EPERM, libc::EBADF);
        assert_eq!(found, [refused, refused, tried, refused, libc::EAFNOSUPPORT, refused, 0, 0]);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_calls_of_x32_do_not_exist() {
        assert_eq!(errors(&[(0x4000_0000 | libc::SYS_getpid, [0, 0, 0])]), [libc::ENOSYS]);
    }
}
