//! Where processes accept connections, as the kernel tells: nobody connects to them for it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};
use procfs::{ProcError, ProcResult};

/// A running app, as far as where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    root: u32,
}

impl Listening {
    pub(crate) fn below(root: u32) -> Self {
        Self { root }
    }

    /// Lists the addresses at which the app accepts connections at the moment, in order; `None` where this machine
    /// does not show its processes' files, or where it has ended.
    pub fn addresses(self) -> Option<Vec<SocketAddr>> {
        let sockets = sockets(&descendants(i32::try_from(self.root).ok()?).ok()?)?;
        // A machine may have but one of the two protocols.
        let mut all: Vec<TcpNetEntry> = procfs::net::tcp().unwrap_or_default();
        all.extend(procfs::net::tcp6().unwrap_or_default());
        let own = all.into_iter().filter(|e| e.state == TcpState::Listen && sockets.contains(&e.inode));
        let addresses: BTreeSet<SocketAddr> = own.map(|entry| entry.local_address).collect();
        Some(addresses.into_iter().collect())
    }
}

/// Lists a process and all that descend from it.
fn descendants(root: i32) -> ProcResult<Vec<Process>> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in procfs::process::all_processes()?.flatten() {
        // One that has ended meanwhile listens nowhere.
        if let Ok(stat) = process.stat() {
            children.entry(stat.ppid).or_default().push(process);
        }
    }
    let mut found = vec![Process::new(root)?];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at].pid()).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

/// Whether a process is the sandbox's own: it set up the namespaces, and shows nothing of itself since.
fn is_of_sandbox(process: &Process) -> bool {
    process.stat().is_ok_and(|stat| stat.comm == "cnb-init")
}

/// Collects the sockets of processes by their numbers; `None` where one of them does not show its files.
fn sockets(processes: &[Process]) -> Option<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for process in processes {
        match process.fd() {
            Ok(files) => found.extend(files.flatten().filter_map(|file| match file.target {
                FDTarget::Socket(inode) => Some(inode),
                _ => None,
            })),
            Err(ProcError::PermissionDenied(_)) if !is_of_sandbox(process) => return None,
            // It has ended.
            Err(_) => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::Listening;

    #[test]
    fn a_process_listens_where_it_does_and_no_longer_than_it_does() {
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = here.local_addr().unwrap();
        assert!(Listening::below(std::process::id()).addresses().unwrap().contains(&address));
        drop(here);
        assert!(!Listening::below(std::process::id()).addresses().unwrap().contains(&address));
    }

    #[test]
    fn a_process_that_is_not_there_tells_nothing() {
        assert_eq!(Listening::below(u32::MAX).addresses(), None);
        assert_eq!(Listening::below(i32::MAX.cast_unsigned()).addresses(), None);
    }
}
