//! All of these tests once more as an ordinary user, when root runs them.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::world::{built, is_root};

/// Any user but root will do.
const ID: u32 = 65_533;

#[test]
fn every_claim_also_holds_for_an_ordinary_user() {
    if !is_root() {
        // Then the other tests have shown it already.
        return;
    }
    // Copied to where that user can reach them.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let test = dir.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &test).unwrap();
    for name in ["cnb-init", "shell"] {
        std::fs::copy(built(name), dir.path().join(name)).unwrap();
    }
    // The library's user drops all groups with the change of user.
    let output = Command::new(&test).current_dir("/").uid(ID).gid(ID).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "as an ordinary user:\n{printed}");
    assert!(printed.contains("every_claim_also_holds_for_an_ordinary_user ... ok"), "{printed}");
}
