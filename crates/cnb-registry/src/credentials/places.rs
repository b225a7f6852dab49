//! Where docker and podman keep credentials, as far as the environment says.

use std::ffi::OsStr;
use std::path::PathBuf;

use cnb_spec::env::Env;

/// The variable in which docker finds a configuration file's text, with `auths` in it.
pub const DOCKER_AUTH: &str = "DOCKER_AUTH_CONFIG";

/// The files, whether they exist or not.
///
/// Those that the environment names are taken as they are; a relative one starts at the current folder, as it does
/// for docker and podman.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// `REGISTRY_AUTH_FILE`: podman's file, where the user says so.
    pub(super) named: Option<PathBuf>,
    /// `config.json` in `DOCKER_CONFIG` or `~/.docker`; none without a home.
    pub(super) docker: Option<PathBuf>,
    /// `containers/auth.json` in `XDG_RUNTIME_DIR`, or in `/run/containers` that of the user; then in
    /// `XDG_CONFIG_HOME` or `~/.config`.
    pub(super) podman: Vec<PathBuf>,
}

impl Places {
    /// Returns the places for a user.
    pub(super) fn of(env: &Env, uid: u32) -> Self {
        let folder = |name: &str| env.get(OsStr::new(name)).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = folder("HOME");
        let at_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let runtime = folder("XDG_RUNTIME_DIR").map(|dir| dir.join("containers"));
        let runtime = runtime.unwrap_or_else(|| PathBuf::from(format!("/run/containers/{uid}")));
        let config = folder("XDG_CONFIG_HOME").or_else(|| at_home(".config"));
        let podman = [Some(runtime), config.map(|dir| dir.join("containers"))];
        Self {
            named: folder("REGISTRY_AUTH_FILE"),
            docker: folder("DOCKER_CONFIG").or_else(|| at_home(".docker")).map(|dir| dir.join("config.json")),
            podman: podman.into_iter().flatten().map(|dir| dir.join("auth.json")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(env: &[(&str, &str)], named: Option<&str>, docker: Option<&str>, podman: &[&str]) {
        let env = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let expected = Places {
            named: named.map(PathBuf::from),
            docker: docker.map(PathBuf::from),
            podman: podman.iter().map(PathBuf::from).collect(),
        };
        assert_eq!(Places::of(&env, 7), expected);
    }

    #[test]
    fn the_home_is_enough() {
        let podman = ["/run/containers/7/auth.json", "/h/.config/containers/auth.json"];
        check(&[("HOME", "/h")], None, Some("/h/.docker/config.json"), &podman);
    }

    #[test]
    fn every_place_can_be_elsewhere() {
        check(
            &[
                ("HOME", "/h"),
                ("REGISTRY_AUTH_FILE", "/f"),
                ("DOCKER_CONFIG", "/d"),
                ("XDG_RUNTIME_DIR", "/r"),
                ("XDG_CONFIG_HOME", "/c"),
            ],
            Some("/f"),
            Some("/d/config.json"),
            &["/r/containers/auth.json", "/c/containers/auth.json"],
        );
    }

    #[test]
    fn without_a_home_there_is_little() {
        check(&[], None, None, &["/run/containers/7/auth.json"]);
        check(&[("HOME", ""), ("DOCKER_CONFIG", "")], None, None, &["/run/containers/7/auth.json"]);
    }
}
