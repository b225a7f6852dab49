//! The client against real engines, and against servers that behave as no engine should.
//!
//! The engines are root's business, with folders of their own; where one is missing the test is skipped, but in CI it
//! fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod docker;
mod fake;
mod images;
mod podman;

use std::path::Path;

use cnb_daemon::{Address, Engine};

#[track_caller]
fn connect(socket: &Path) -> Engine {
    Engine::connect(&Address::Unix(socket.to_path_buf())).unwrap()
}
