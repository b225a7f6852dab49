//! The life of `cnb-init`: take the plan, carry it out step by step, serve commands until the library goes away.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use cnb_fs::{Owner, Root};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::control_group::ControlGroup;
use super::{ids, namespaces, rootfs, seccomp, serve, spawn};
use crate::plan::{FileSystem, IdMap, Plan, Step};
use crate::wire::{self, Reply, Request};

/// Runs `cnb-init`; its standard input is the socket to the library.
pub fn main() -> ExitCode {
    let served = take_over().and_then(|control| {
        let reach = set_up(&control)?;
        serve::serve(&control, reach)
    });
    // There is nobody to tell what went wrong: the library sees that the socket is closed.
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Frees this process from its parent's terminal and descriptors, and finds the socket.
fn take_over() -> io::Result<UnixStream> {
    // A Ctrl-C in the caller's terminal is the caller's to deal with.
    let _ = rustix::process::setsid();
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    spawn::close_all_but(&control);
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(UnixStream::from(control))
}

/// Carries out the plan; returns only in the process that is to serve.
fn set_up(control: &UnixStream) -> io::Result<serve::Reach> {
    let Some((Request::Setup(plan), _)) = wire::receive(control)? else {
        return Err(io::Error::other("no plan"));
    };
    let mut world = World { control, plan: &plan, sync: None, root: None, memory_limited: false };
    for step in &plan.steps {
        world.take(step).map_err(|error| report(control, step.to_string(), error))?;
    }
    let isolated = world.root.is_some();
    let root = match world.root {
        Some(root) => root,
        None => Root::host()?,
    };
    // The guest may share our user id: nothing about this process is for it to look at.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let ready = Reply::Ready { memory_limited: world.memory_limited };
    wire::send(control, &ready, &[root.as_fd()])?;
    Ok(if isolated { serve::Reach::Namespace } else { serve::Reach::Descendants })
}

fn report(control: &UnixStream, step: String, error: io::Error) -> io::Error {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    match wire::send(control, &Reply::Failed { step, errno }, &[]) {
        Ok(()) => error,
        Err(unsent) => unsent,
    }
}

/// What the steps have made so far.
struct World<'a> {
    control: &'a UnixStream,
    plan: &'a Plan,
    /// The way to the process outside, once there are two.
    sync: Option<UnixStream>,
    root: Option<Root>,
    memory_limited: bool,
}

impl World<'_> {
    fn take(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::UserNamespace(map) => namespaces::enter_user_namespace(*map)?,
            Step::BecomeFirstProcess { memory } => self.become_first_process(*memory)?,
            Step::Namespaces { own_network } => {
                let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
                flags.set(UnshareFlags::NEWNET, *own_network);
                namespaces::unshare(flags)?;
            }
            Step::LoopbackUp => namespaces::bring_up_loopback()?,
            Step::HostName(name) => rustix::system::sethostname(name.as_bytes())?,
            Step::PrivateMounts => rootfs::make_private()?,
            Step::Root(file_system) => {
                let tree = self.make(file_system)?;
                rootfs::attach_over_root(&tree)?;
                let owner = self.plan.owner.map(|(uid, gid)| Owner { uid, gid });
                self.root = Some(Root::new(tree, owner));
            }
            Step::Mount { guest, file_system } => {
                let tree = self.make(file_system)?;
                rootfs::attach(self.root()?, &tree, guest)?;
            }
            Step::Device { host, guest } => rootfs::attach_device(self.root()?, host, guest)?,
            Step::Link { guest, target } => rootfs::link(self.root()?, guest, target, self.plan.owner)?,
            Step::Dir { guest, mode } => rootfs::dir(self.root()?, guest, *mode)?,
            Step::File { guest, contents, mode } => rootfs::file(self.root()?, guest, &contents.0, *mode)?,
            Step::ReadOnly { guest } => rootfs::make_read_only(self.root()?, guest)?,
            Step::ChangeRoot => rootfs::change_root(self.root()?)?,
            Step::GiveUpRoot(map) => self.give_up_root(*map)?,
            Step::Limits { processes, open_files } => ids::limit(*processes, *open_files)?,
            Step::BecomeUser { uid, gid } => {
                ids::drop_groups()?;
                ids::become_user(*uid, *gid)?;
            }
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true)?,
            Step::DropCapabilities => ids::drop_capabilities()?,
            Step::ScopeAbstractSockets => ids::scope_abstract_sockets(),
            Step::FilterSystemCalls => seccomp::apply()?,
            Step::AdoptOrphans => {
                rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
            }
        }
        Ok(())
    }

    fn root(&self) -> io::Result<&Root> {
        self.root.as_ref().ok_or_else(|| io::Error::from(rustix::io::Errno::NOTDIR))
    }

    fn make(&self, file_system: &FileSystem) -> io::Result<OwnedFd> {
        rootfs::make(file_system, self.plan.owner)
    }

    /// Goes on as process 1 of a new namespace; the other half of the fork never comes back from here.
    fn become_first_process(&mut self, memory: Option<u64>) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        namespaces::unshare(UnshareFlags::NEWPID)?;
        if let Some(first) = spawn::fork()? {
            drop(theirs);
            self.stay_outside(first, &ours, memory);
        }
        drop(ours);
        die_with_parent(&theirs)?;
        // The first answer says whether a memory limit holds.
        let mut limited = [0];
        io::Read::read_exact(&mut &theirs, &mut limited)?;
        self.memory_limited = limited == [1];
        self.sync = Some(theirs);
        Ok(())
    }

    /// Does what must be done from outside the new namespaces, then waits for process 1 to end.
    fn stay_outside(&self, first: Pid, sync: &UnixStream, memory: Option<u64>) -> ! {
        let group = memory.and_then(|limit| ControlGroup::create(limit, first));
        if let Err(error) = self.help(first, sync, group.is_some()) {
            let _ = report(self.control, "set up the sandbox from outside".to_owned(), error);
            let _ = rustix::process::kill_process(first, Signal::KILL);
        }
        // Only process 1 may hold the socket from here on: its end must be the library's end of file. The pair
        // stays open, for process 1 to see that its parent lives.
        spawn::close_all_but(sync);
        while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(first), WaitOptions::empty()) {
        }
        drop(group);
        // Without closing descriptors a second time: they went with `close_all_but`.
        spawn::exit_now(0)
    }

    fn help(&self, first: Pid, sync: &UnixStream, memory_limited: bool) -> io::Result<()> {
        let handle = rustix::process::pidfd_open(first, PidfdFlags::empty())?;
        wire::send(self.control, &Reply::Forked, &[handle.as_fd()])?;
        io::Write::write_all(&mut &*sync, &[u8::from(memory_limited)])?;
        let give_up = self.plan.steps.iter().find_map(|step| match step {
            Step::GiveUpRoot(map) => Some(*map),
            _ => None,
        });
        if let Some(map) = give_up {
            // An end of file instead means that process 1 failed before, and has said so itself.
            if wire::await_nudge(sync).is_ok() {
                namespaces::write_maps(first, map)?;
                wire::nudge(sync)?;
            }
        }
        Ok(())
    }

    fn give_up_root(&self, map: IdMap) -> io::Result<()> {
        let sync = self.sync.as_ref().ok_or_else(|| io::Error::from(rustix::io::Errno::INVAL))?;
        ids::drop_groups()?;
        namespaces::unshare(UnshareFlags::NEWUSER)?;
        wire::nudge(sync)?;
        wire::await_nudge(sync).map_err(|_| io::Error::from(rustix::io::Errno::PERM))?;
        ids::become_user(map.uid, map.gid)?;
        die_with_parent(sync)
    }
}

/// Asks the kernel to end this process when its parent ends; a change of ids takes that back.
fn die_with_parent(sync: &UnixStream) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended just before: then its end of the socket pair is closed.
    let mut fds = [PollFd::new(sync, PollFlags::empty())];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now))?;
    if fds[0].revents().contains(PollFlags::HUP) {
        return Err(io::Error::from(rustix::io::Errno::PIPE));
    }
    Ok(())
}
