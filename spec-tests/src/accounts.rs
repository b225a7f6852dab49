//! User ids for cases, which give files to several users.
//!
//! Root has them. An ordinary user has the range that `/etc/subuid` and `/etc/subgid` give them, in a user
//! namespace in which they themselves are root.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};

use command_fds::{CommandFdExt, FdMapping};
use fs_err as fs;

use crate::room;

/// The descriptors on which bubblewrap tells its process and waits for the mapping.
const INFO: i32 = 3;
const GO_ON: i32 = 4;

/// How processes get user ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts(Option<Ranges>);

/// The ids of an ordinary user, which become 0, and the ranges that become 1 and more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ranges {
    user: u32,
    group: u32,
    users: Range,
    groups: Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    count: u32,
}

/// Why an ordinary user cannot run cases.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// A file could not be read.
    #[error("failed to find this user's ids")]
    Read(#[from] std::io::Error),
    /// The system's administrator gave this user no range.
    #[error("cases need more user ids than one: `{file}` gives none to `{user}`; run as root, or add a line")]
    NoRange {
        /// The file without a line.
        file: &'static str,
        /// The user's name or number.
        user: String,
    },
    /// The program that gives ranges is missing.
    #[error("`newuidmap` is missing: install the package `uidmap`, or run as root")]
    NoProgram,
}

impl Accounts {
    /// Finds what this process may use.
    ///
    /// # Errors
    /// If it is not root's, and its user has no range of ids.
    pub fn of_this_process() -> Result<Self, AccountsError> {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        if user.is_root() {
            return Ok(Self(None));
        }
        let (user, group) = (user.as_raw(), group.as_raw());
        if room::program("newuidmap").is_none() || room::program("newgidmap").is_none() {
            return Err(AccountsError::NoProgram);
        }
        let name = name(&fs::read_to_string("/etc/passwd")?, user);
        let range = |file: &'static str| {
            let text = fs::read_to_string(file)?;
            range(&text, name.as_deref(), user).ok_or_else(|| AccountsError::NoRange {
                file,
                user: name.clone().unwrap_or_else(|| user.to_string()),
            })
        };
        Ok(Self(Some(Ranges { user, group, users: range("/etc/subuid")?, groups: range("/etc/subgid")? })))
    }

    /// Returns whether files of all these ids are this process's to remove.
    pub fn are_ours(&self) -> bool {
        self.0.is_none()
    }

    /// Starts bubblewrap with `args`, as root of these ids.
    pub(crate) fn spawn(&self, mut bwrap: Command, args: &[OsString]) -> std::io::Result<Child> {
        let Some(ranges) = &self.0 else { return bwrap.args(args).spawn() };
        let (info, tell) = std::io::pipe()?;
        let (wait, mut go_on) = std::io::pipe()?;
        bwrap.args(["--unshare-user", "--uid", "0", "--gid", "0"]);
        bwrap.args(["--info-fd", &INFO.to_string(), "--userns-block-fd", &GO_ON.to_string()]).args(args);
        let mappings = vec![
            FdMapping { parent_fd: tell.into(), child_fd: INFO },
            FdMapping { parent_fd: wait.into(), child_fd: GO_ON },
        ];
        bwrap.fd_mappings(mappings).map_err(std::io::Error::other)?;
        let mut child = bwrap.spawn()?;
        // The command holds our copies of the child's ends.
        drop(bwrap);
        // Without a process there is nothing to map, and bubblewrap has said why.
        let mapped = process(BufReader::new(info)).map_or(Ok(()), |pid| ranges.give_to(pid));
        if let Err(e) = mapped.and_then(|()| go_on.write_all(&[0])) {
            child.kill()?;
            child.wait()?;
            return Err(e);
        }
        Ok(child)
    }
}

impl Ranges {
    fn give_to(&self, pid: u32) -> std::io::Result<()> {
        let given = [("newuidmap", self.user, self.users), ("newgidmap", self.group, self.groups)];
        for (program, own, range) in given {
            let map = [pid, 0, own, 1, 1, range.start, range.count].map(|number| number.to_string());
            let done = Command::new(program).env("PATH", room::PATH).args(map).output()?;
            if !done.status.success() {
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                return Err(std::io::Error::other(format!("`{program}` failed: {why}")));
            }
        }
        Ok(())
    }
}

/// Reads the process that bubblewrap started: JSON over several lines, which end with `}`.
fn process(info: impl BufRead) -> Option<u32> {
    let mut text = String::new();
    for line in info.lines() {
        let line = line.ok()?;
        text.push_str(&line);
        if line.ends_with('}') {
            break;
        }
    }
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    u32::try_from(json["child-pid"].as_u64()?).ok()
}

/// Returns the name of a user in the text of `/etc/passwd`.
fn name(passwd: &str, user: u32) -> Option<String> {
    let mut rows = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.get(2).and_then(|id| id.parse().ok()) == Some(user))?;
    Some(row[0].to_owned())
}

/// Returns the first range of a user in the text of `/etc/subuid` or `/etc/subgid`.
fn range(text: &str, name: Option<&str>, user: u32) -> Option<Range> {
    let number = user.to_string();
    text.lines().find_map(|line| {
        let (who, range) = line.split_once(':')?;
        let (start, count) = range.split_once(':')?;
        let ours = Some(who) == name || who == number;
        if ours {
            Some(Range { start: start.parse().ok()?, count: count.trim().parse().ok()? })
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_or_number() {
        let text = "root:1:2\nann:100000:65536\n1001:7:8\nbad\n";
        assert_eq!(range(text, Some("ann"), 1000), Some(Range { start: 100_000, count: 65536 }));
        assert_eq!(range(text, None, 1001), Some(Range { start: 7, count: 8 }));
        assert_eq!(range(text, Some("bob"), 1002), None);
        assert_eq!(name("root:x:0:0\nann:x:1000:1000:Ann:/home/ann:/bin/sh", 1000).as_deref(), Some("ann"));
        assert_eq!(name("root:x:0:0", 1000), None);
    }

    #[test]
    fn the_process_is_read_from_what_bubblewrap_tells() {
        let told = "{\n    \"child-pid\": 4711,\n    \"net-namespace\": 4026532570\n}\n";
        assert_eq!(process(told.as_bytes()), Some(4711));
        assert_eq!(process("".as_bytes()), None);
    }
}
