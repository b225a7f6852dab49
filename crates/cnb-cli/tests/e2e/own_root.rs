//! Builds without isolation, in a root file system of their own: nothing appears on that of this machine.

use std::process::Command;

use crate::support::{Bench, Running};

/// Returns `build` so often, each in the same new root; only root can start it. At the end it lists `/layers` and
/// `/workspace`, which must be gone.
pub(crate) fn repeated(bench: &Bench, build: &Command, times: usize) -> Command {
    let script = r#"set -eu
        times=$1; shift
        mkdir "$D/mount" && mount -t tmpfs none "$D/mount" && cd "$D/mount" && mkdir upper work root
        mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work none root
        for f in /proc /dev /tmp "$D" "$(dirname "$1")"; do mkdir -p "root$f"; mount --rbind "$f" "root$f"; done
        for i in $(seq "$times"); do chroot root env -C "$D" "$@"; done
        chroot root ls -d /layers /workspace || true"#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "bash", "-c", script, "bash", &times.to_string()])
        .arg(build.get_program())
        .args(build.get_args());
    command.env("D", bench.path("")).env("CNB_HOME", bench.path("home"));
    command
}

/// Runs it to its end, and checks that its folders are gone.
#[track_caller]
pub(crate) fn run(bench: &Bench, build: &Command, times: usize) -> crate::support::Done {
    Running::start(repeated(bench, build, times))
        .finish()
        .expect(0)
        .says("cannot access '/layers'")
        .says("cannot access '/workspace'")
}
