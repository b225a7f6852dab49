//! The environment that buildpacks' and extensions' executables start with (requirements C5 to C10).

use std::ffi::{OsStr, OsString};

use cnb_fs::{FsError, GuestPath, Root};
use cnb_spec::env::{Action, Env};
use cnb_spec::fault;
use cnb_spec::target::Target;

use crate::env_dir;

/// What is passed on from the environment of the lifecycle itself, and nothing else (requirement C7).
pub const INHERITED: &[&str] = &[
    "CNB_STACK_ID",
    "HOSTNAME",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "PATH",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "CPATH",
    "PKG_CONFIG_PATH",
];

/// Returns the part of `env` that buildpacks inherit.
pub fn inherited(env: &Env) -> Env {
    env.iter()
        .filter(|(name, _)| {
            INHERITED.iter().any(|i| *name == OsStr::new(i))
                || (fault::is("credentials-inherited") && *name == OsStr::new("CNB_REGISTRY_AUTH"))
        })
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Where users and operators leave their variables.
#[derive(Clone, Copy, Debug)]
pub struct Overrides<'a> {
    /// `<platform>`; `None` for a module with `clear-env` (requirement C10).
    pub platform: Option<&'a GuestPath>,
    /// `<build-config>`.
    pub build_config: &'a GuestPath,
}

impl Overrides<'_> {
    /// Applies the user's variables, then the operator's.
    pub fn apply(&self, root: &Root, env: &mut Env) -> Result<(), FsError> {
        if let Some(platform) = self.platform {
            env_dir::apply_user(root, &platform.join("env"), env)?;
        }
        env_dir::apply(root, &self.build_config.join("env"), Action::Default, env)
    }
}

/// Sets `CNB_TARGET_*`; the optional ones only when they have a value.
pub fn set_target(env: &mut Env, target: &Target) {
    let distro = target.distro.clone().unwrap_or_default();
    let mut set = |name: &str, value: &str| env.insert(OsString::from(name), OsString::from(value));
    set("CNB_TARGET_OS", &target.os);
    set("CNB_TARGET_ARCH", &target.arch);
    for (name, value) in [
        ("CNB_TARGET_ARCH_VARIANT", &target.arch_variant),
        ("CNB_TARGET_DISTRO_NAME", &distro.name),
        ("CNB_TARGET_DISTRO_VERSION", &distro.version),
    ] {
        if !value.is_empty() && !fault::is("target-variables-lost") {
            set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_variables_are_inherited() {
        let env: Env =
            [("PATH", "/bin"), ("SECRET", "x"), ("no_proxy", "")].map(|(k, v)| (k.into(), v.into())).into();
        let found: Vec<_> = inherited(&env).into_keys().collect();
        assert_eq!(found, ["PATH", "no_proxy"]);
    }

    #[test]
    fn empty_target_fields_are_left_out_but_for_os_and_arch() {
        let mut env = Env::new();
        set_target(&mut env, &Target { os: "linux".into(), ..Target::default() });
        let expected: Env =
            [("CNB_TARGET_OS", "linux"), ("CNB_TARGET_ARCH", "")].map(|(k, v)| (k.into(), v.into())).into();
        assert_eq!(env, expected);
    }
}
