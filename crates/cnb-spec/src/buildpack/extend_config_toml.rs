//! `extend-config.toml`: build arguments for the Dockerfiles that an extension generates.
//!
//! Written by `bin/generate`, read by detector and extender.
//! Image Extension Specification, "`extend-config.toml` (TOML)"; requirement A65.

use serde::Deserialize;

/// The contents of `extend-config.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ExtendConfig {
    /// For `build.Dockerfile`.
    #[serde(default)]
    pub build: Args,
    /// For `run.Dockerfile`.
    #[serde(default)]
    pub run: Args,
}

/// The arguments of one Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Args {
    /// The arguments, in order.
    #[serde(default)]
    pub args: Vec<Arg>,
}

/// A build argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Arg {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// The names that the lifecycle itself passes, and which an extension may not.
pub const RESERVED_ARGS: &[&str] = &["build_id", "user_id", "group_id"];

impl ExtendConfig {
    /// Returns the first argument with a reserved name.
    pub fn reserved_arg(&self) -> Option<&str> {
        let all = self.build.args.iter().chain(&self.run.args);
        all.map(|a| a.name.as_str()).find(|n| RESERVED_ARGS.contains(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_told() {
        let config: ExtendConfig = toml::from_str("[[run.args]]\nname = 'user_id'\nvalue = '0'").unwrap();
        assert_eq!(config.reserved_arg(), Some("user_id"));
        assert_eq!(ExtendConfig::default().reserved_arg(), None);
    }
}
