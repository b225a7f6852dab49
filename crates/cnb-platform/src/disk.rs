//! How much a build writes, and stopping it when that is too much.
//!
//! An ordinary user has no quotas, so a thread looks every quarter of a second; what is written between two
//! looks is the overshoot (`docs/sandbox.md`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use cnb_fs::HostPath;

use crate::{Cancel, Stopped};

/// The shortest time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Returns the bytes that `path` and all below it take on disk; what vanishes meanwhile counts nothing.
pub(crate) fn usage(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        // A file with several names counts once for each: too much is on the safe side.
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|e| usage(&e.path())).sum::<u64>()
}

/// Watches `folders` until `done` hangs up; stops the build when they hold more than `most` bytes.
pub(crate) fn watch(folders: &[HostPath], most: u64, cancel: &Cancel, done: &Receiver<()>) {
    let base: u64 = folders.iter().map(|f| usage(f.as_path())).sum();
    let mut pause = INTERVAL;
    while done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let start = Instant::now();
        let now: u64 = folders.iter().map(|f| usage(f.as_path())).sum();
        if now.saturating_sub(base) > most {
            cancel.stop(Stopped::DiskFull(most));
            return;
        }
        // Looking at a large tree takes a while itself: at most a fifth of the time goes into it.
        pause = INTERVAL.max(start.elapsed() * 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_build_that_writes_too_much_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let folder = [HostPath::absolute(dir.path())];
        let cancel = Cancel::new();
        let (_done, watched) = mpsc::channel();
        let stopping = cancel.clone();
        std::thread::scope(|s| {
            let guard = s.spawn(move || watch(&folder, 1 << 20, &stopping, &watched));
            // Written piece by piece until the watcher has had enough, however its start and ours fall together.
            for n in 0u64.. {
                if cancel.stopped().is_some() || n > 100_000 {
                    break;
                }
                // So many names that the folder still grows when the watcher has a late start.
                fs_err::write(dir.path().join((n % 4096).to_string()), vec![1; 64 << 10]).unwrap();
            }
            guard.join().unwrap();
        });
        assert_eq!(cancel.stopped(), Some(Stopped::DiskFull(1 << 20)));
    }
}
