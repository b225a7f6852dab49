//! The inside of `cnb-init`: what carries out a plan and serves commands, with the kernel's own means.
//!
//! Only here is `unsafe` allowed. All but `exact` and `signals` runs in a process of its own with a single thread,
//! so between a `fork` and an `execve` there is no lock that another thread could hold.
#![expect(unsafe_code, reason = "namespaces, fork and signal masks have no safe interface")]

mod control_group;
mod exact;
mod ids;
mod init;
mod namespaces;
mod rootfs;
mod seccomp;
mod serve;
mod signals;
mod spawn;

pub(crate) use exact::execute_exactly;
pub use init::main;
pub use signals::Signals;
