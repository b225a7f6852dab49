//! Advisory locks between processes, released by the kernel when the holder ends, however it ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::FsError;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock(File);

/// A held lock whose file goes with it, for folders that are the user's own.
#[derive(Debug)]
pub struct TemporaryLock {
    path: PathBuf,
    _lock: Lock,
}

impl TemporaryLock {
    /// Takes the lock on `path`, waiting for whoever holds it.
    pub fn exclusive(path: &Path) -> Result<Self, FsError> {
        loop {
            let lock = Lock::exclusive(path, || {})?;
            let held = lock.0.metadata().map_err(FsError::on("lock", path))?;
            // The holder before deleted the file that this is: others may hold another one by now.
            let named = path.symlink_metadata().ok();
            if named.is_some_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                return Ok(Self { path: path.to_path_buf(), _lock: lock });
            }
        }
    }
}

impl Drop for TemporaryLock {
    fn drop(&mut self) {
        // Before the lock goes. A file that stays is taken by the next holder.
        let _ = std::fs::remove_file(&self.path);
    }
}

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
    fn a_temporary_lock_excludes_others_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = TemporaryLock::exclusive(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(!path.exists());
    }

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
