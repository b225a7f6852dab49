//! What a phase does as root before it stops being root (requirements B16 to B18).
//!
//! Identity is changed by system calls that work on the calling thread, so there must be no other: nothing
//! before this point may leave a thread behind, and that is checked.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use cnb_fs::{FsError, GuestPath, Owner};
use cnb_spec::env::Env;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};

use crate::exit::Failure;

/// Gives each of `paths` that is there to `owner`, with all below it, unless `owner` can write to it already.
pub(crate) fn ensure_owner(owner: Owner, paths: &[GuestPath]) -> Result<(), Failure> {
    for path in paths.iter().map(GuestPath::as_guest) {
        give(owner, path).map_err(Failure::file("chown volumes"))?;
    }
    Ok(())
}

fn give(owner: Owner, path: &Path) -> Result<(), FsError> {
    let metadata = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(FsError::on("look at", path))?,
    };
    if can_write(owner, &metadata) {
        // Whoever has the directory is taken to have what is in it.
        return Ok(());
    }
    let (uid, gid) = ids(owner);
    rustix::fs::chown(path, Some(uid), Some(gid)).map_err(FsError::on("chown", path))?;
    if metadata.is_dir() { give_contents(owner, path) } else { Ok(()) }
}

/// Gives what is in `dir`, links themselves and never what they lead to.
fn give_contents(owner: Owner, dir: &Path) -> Result<(), FsError> {
    let (uid, gid) = ids(owner);
    let handle = rustix::fs::openat(
        CWD,
        dir,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let handle = handle.map_err(FsError::on("list", dir))?;
    for entry in fs::read_dir(dir).map_err(FsError::on("list", dir))? {
        let entry = entry.map_err(FsError::on("list", dir))?;
        let path = entry.path();
        rustix::fs::chownat(&handle, entry.file_name(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(FsError::on("chown", &path))?;
        if entry.file_type().map_err(FsError::on("look at", &path))?.is_dir() {
            give_contents(owner, &path)?;
        }
    }
    Ok(())
}

fn ids(owner: Owner) -> (Uid, Gid) {
    (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid))
}

/// Returns whether `owner` is the owner, or group or everybody may write (B17).
fn can_write(owner: Owner, metadata: &fs::Metadata) -> bool {
    let mode = metadata.mode();
    metadata.uid() == owner.uid || (metadata.gid() == owner.gid && mode & 0o020 != 0) || mode & 0o002 != 0
}

/// Becomes `owner` for good; supplementary groups stay, as in the Go program.
pub(crate) fn run_as(owner: Owner) -> Result<(), Failure> {
    let (uid, gid) = ids(owner);
    if rustix::process::getuid() == uid && rustix::process::getgid() == gid {
        return Ok(());
    }
    let drop = || -> io::Result<()> {
        if !is_alone() {
            return Err(io::Error::other("several threads are running"));
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    };
    drop().map_err(|source| Failure::RunAs { owner, source })
}

/// Waits until this is the only thread; those of a client that is gone take a moment to end.
fn is_alone() -> bool {
    let mut backoff = Duration::from_micros(100);
    loop {
        if fs::read_dir("/proc/self/task").map_or(1, Iterator::count) == 1 {
            return true;
        }
        if backoff > Duration::from_secs(4) {
            return false;
        }
        std::thread::sleep(backoff);
        backoff *= 2;
    }
}

/// Sets `HOME` and `USER` in `env` as `/etc/passwd` has them for the user `uid`.
pub(crate) fn set_user_environment(env: &mut Env, uid: u32) -> Result<(), Failure> {
    const PASSWD: &str = "/etc/passwd";
    let failed = |source: io::Error| Failure::UserEnvironment { uid, source };
    let text = fs_err::read(PASSWD).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let (name, home) =
        user(&text, uid).ok_or_else(|| failed(io::Error::other(format!("user: unknown userid {uid}"))))?;
    env.insert("HOME".into(), OsString::from(home));
    env.insert("USER".into(), OsString::from(name));
    Ok(())
}

/// Returns name and home of the user `uid` in the text of a passwd file.
fn user(passwd: &str, uid: u32) -> Option<(&str, &str)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| fields.nth(2).map(|home| (name, home))).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\ncnb:x:1001:1000::/home/cnb:/bin/sh\n";
        assert_eq!(user(text, 1001), Some(("cnb", "/home/cnb")));
        assert_eq!(user(text, 0), Some(("root", "/root")));
        assert_eq!(user(text, 7), None);
    }

    #[test]
    fn nothing_is_given_to_who_can_write_already() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = dir.path().metadata().unwrap();
        let own = Owner { uid: metadata.uid(), gid: metadata.gid() };
        assert!(can_write(own, &metadata));
        assert!(!can_write(Owner { uid: own.uid + 1, gid: own.gid + 1 }, &metadata));
        ensure_owner(own, &[GuestPath::new(dir.path()), GuestPath::new("/nowhere/at/all")]).unwrap();
    }
}
