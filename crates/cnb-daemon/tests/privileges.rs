//! The lifecycle's use of an engine (B18): connect as root, give up root, go on with the connection.
//!
//! A program of its own, without a test harness: giving up root concerns one thread, and there must be no other.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

#[path = "engines/images.rs"]
mod images;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use cnb_daemon::{Address, Engine, EngineError};
use cnb_image::Image;
use cnb_image::media::Family;
use cnb_testkit::engine::{Dockerd, Podman};
use rustix::fs::Gid;
use rustix::process::Uid;

use images::{config, layer, store};

const USER: u32 = 12_345;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if Dockerd::is_available() {
        let peer = Dockerd::start().unwrap();
        an_engine_is_used_after_root_was_given_up(peer.socket());
        println!("dockerd is used after root was given up ... ok");
    }
    if Podman::is_available() {
        let peer = Podman::serve().unwrap();
        an_engine_is_used_after_root_was_given_up(&peer.socket().unwrap());
        println!("podman is used after root was given up ... ok");
    }
}

fn an_engine_is_used_after_root_was_given_up(socket: &Path) {
    // The socket's own permissions decide, not those of its folder.
    fs_err::set_permissions(socket.parent().unwrap(), Permissions::from_mode(0o711)).unwrap();
    let address = Address::Unix(socket.to_path_buf());
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), Some(USER), Some(USER)).unwrap();
    let engine = Engine::connect(&address).unwrap().spooling_in(dir.path());
    assert_eq!(threads(), 1, "connecting starts no thread");

    as_user(|| {
        let store = store(&dir.path().join("blobs"));
        let base = images::image(&store, &["base"]);
        assert_eq!(engine.load(&base, &["base".parse().unwrap()]).unwrap(), base.id());
        engine.ping().unwrap();
        let found = engine.image("base").unwrap().unwrap();
        let mut layers = vec![layer(&store, "below")];
        layers.extend_from_slice(found.layers());
        // The layer of the engine has another place now, so Docker's has to be exported and sent.
        let app = Image::assemble(Family::Docker, config(&["below", "base"]), layers).unwrap();
        assert_eq!(engine.load(&app, &["app".parse().unwrap()]).unwrap(), app.id());
        assert_eq!(threads(), 1, "no request starts a thread");

        let error = Engine::connect(&address).unwrap_err();
        assert!(matches!(error, EngineError::Denied { .. }), "{error}");
        assert!(error.remedy().is_some());
    });
}

/// Gives up root, in this thread, for the time of `work`.
fn as_user(work: impl FnOnce()) {
    let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(group, group, Gid::ROOT).unwrap();
    rustix::thread::set_thread_res_uid(user, user, Uid::ROOT).unwrap();
    work();
    // What the engine left behind is root's to clean up.
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).unwrap();
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).unwrap();
}

fn threads() -> usize {
    fs_err::read_dir("/proc/self/task").unwrap().count()
}
