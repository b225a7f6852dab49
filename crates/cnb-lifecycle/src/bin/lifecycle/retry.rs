//! Tries again to open a run image whose registry does not answer well (requirement B22).

use std::thread;
use std::time::Duration;

use cnb_lifecycle::images::{ImagesError, Looked};

use crate::console::{Console, Level};
use crate::exit::describe;

/// How long to wait before each further try, in milliseconds.
const PAUSES: [u64; 5] = [100, 200, 500, 1000, 2000];

/// Calls `open` until it succeeds, fails for good, or has failed six times.
pub(crate) fn open(
    console: &Console,
    open: impl Fn() -> Result<Looked, ImagesError>,
) -> Result<Looked, ImagesError> {
    for (attempt, pause) in (1..).zip(PAUSES.map(Duration::from_millis)) {
        match open() {
            Err(e) if e.may_pass() => {
                let why = describe(&e);
                let text = format!(
                    "Failed to open remote image (attempt {attempt}/{}): {why}, retrying in {pause:?}",
                    PAUSES.len() + 1
                );
                console.log(Level::Warn, &text);
                // The backoff between two tries.
                thread::sleep(pause);
            }
            other => return other,
        }
    }
    open()
}
