//! A memory limit over all processes of a sandbox, where a version 2 control group is delegated to us.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

/// A control group of our own; dropping it removes it, which works once all its processes have ended.
pub(super) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Puts `pid` under a limit of `memory` bytes, `None` where that is not possible.
    pub(super) fn create(memory: u64, pid: Pid) -> Option<Self> {
        let name = format!("cnb-{}", pid.as_raw_nonzero());
        let dir = own_group().ok()??.join(name);
        fs::create_dir(&dir).ok()?;
        // From here on the group is removed again whatever fails.
        let group = Self(dir);
        group.set("memory.max", &memory.to_string()).ok()?;
        // Without a limit on swap the other one only slows things down; not every kernel accounts for swap.
        let _ = group.set("memory.swap.max", "0");
        group.set("cgroup.procs", &pid.as_raw_nonzero().to_string()).ok()?;
        Some(group)
    }

    fn set(&self, file: &str, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.0.join(file))?.write_all(text.as_bytes())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // A group that cannot be removed is empty and harmless.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Finds the version 2 group that this process is in.
fn own_group() -> io::Result<Option<PathBuf>> {
    let mut text = String::new();
    fs::File::open("/proc/self/cgroup")?.read_to_string(&mut text)?;
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Ok(None) };
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let mount = mounts.iter().map(Path::new).find(|m| m.join("cgroup.controllers").exists());
    Ok(mount.map(|m| m.join(path)))
}
