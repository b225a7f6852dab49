//! The environment of the container, without what is only for the launcher.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use cnb_spec::env::Env;
use cnb_spec::fault;

/// The variables that speak to the launcher; every other one reaches the app.
const FOR_THE_LAUNCHER: [&str; 5] =
    ["CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API", "CNB_DEPRECATION_MODE"];

/// The directories of the lifecycle, which the app's `PATH` loses wherever they stand in it.
const LIFECYCLE_DIRS: [&[u8]; 2] = [b"/cnb/process", b"/cnb/lifecycle"];

/// Returns what the app gets of the container's environment (requirement B105, Δ33).
pub(crate) fn for_process(container: &Env) -> Env {
    let mut env = container.clone();
    for name in FOR_THE_LAUNCHER.iter().filter(|_| !fault::is("launch-variables-kept")) {
        env.remove(OsStr::new(name));
    }
    if let Some(path) = env.get_mut(OsStr::new("PATH")).filter(|_| !fault::is("launch-path-kept")) {
        let kept: Vec<_> =
            path.as_bytes().split(|b| *b == b':').filter(|d| !LIFECYCLE_DIRS.contains(d)).collect();
        *path = OsString::from_vec(kept.join(&b':'));
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let container = Env::from([("PATH".into(), path.into()), ("CNB_APP_DIR".into(), "/a".into())]);
        assert_eq!(for_process(&container), Env::from([("PATH".into(), expected.into())]));
    }

    #[test]
    fn path_loses_the_lifecycle_and_nothing_else() {
        check("/cnb/process:/cnb/lifecycle:/usr/bin:/cnb/process:/bin", "/usr/bin:/bin");
        check("/cnb/process/x::/cnb/lifecycle/:.", "/cnb/process/x::/cnb/lifecycle/:.");
        check("/cnb/process", "");
    }

    #[test]
    fn a_missing_path_stays_missing() {
        assert_eq!(for_process(&Env::new()), Env::new());
    }
}
