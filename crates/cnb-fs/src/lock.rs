//! Advisory locks between processes, released by the kernel when the holder ends, however it ends.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::FsError;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl Lock {
    /// Takes the lock on `path`; `waiting` is called once when another process holds it.
    pub fn exclusive(path: &Path, waiting: impl FnOnce()) -> Result<Self, FsError> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive, waiting)
    }

    /// Takes the lock on `path` together with other readers; `waiting` is called once when a writer holds it.
    pub fn shared(path: &Path, waiting: impl FnOnce()) -> Result<Self, FsError> {
        Self::take(path, FlockOperation::NonBlockingLockShared, FlockOperation::LockShared, waiting)
    }

    /// Takes the lock on `path` if nobody holds it; `None` otherwise.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, FsError> {
        Self::attempt(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock on `path` together with other readers, if no writer holds it; `None` otherwise.
    pub fn try_shared(path: &Path) -> Result<Option<Self>, FsError> {
        Self::attempt(path, FlockOperation::NonBlockingLockShared)
    }

    fn attempt(path: &Path, operation: FlockOperation) -> Result<Option<Self>, FsError> {
        let on_error = |e: std::io::Error| FsError::on("lock", path)(e);
        let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path);
        let file = file.map_err(on_error)?;
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(on_error(e.into())),
        }
    }

    fn take(
        path: &Path,
        attempt: FlockOperation,
        wait: FlockOperation,
        waiting: impl FnOnce(),
    ) -> Result<Self, FsError> {
        let on_error = |e: std::io::Error| FsError::on("lock", path)(e);
        let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path);
        let file = file.map_err(on_error)?;
        match flock(&file, attempt) {
            Ok(()) => return Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => waiting(),
            Err(e) => return Err(on_error(e.into())),
        }
        loop {
            match flock(&file, wait) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::INTR) => {}
                Err(e) => return Err(on_error(e.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_second_holder_says_that_it_waits_and_then_gets_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::exclusive(&path, || unreachable!("nobody holds it yet")).unwrap();
        let (said, hears) = mpsc::channel();
        std::thread::scope(|s| {
            let second = s.spawn(|| Lock::exclusive(&path, || said.send(()).unwrap()));
            hears.recv().unwrap();
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn an_attempt_does_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::try_exclusive(&path).unwrap();
        assert!(first.is_some() && Lock::try_exclusive(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn readers_share() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _one = Lock::shared(&path, || unreachable!()).unwrap();
        let _two = Lock::shared(&path, || unreachable!()).unwrap();
    }
}
