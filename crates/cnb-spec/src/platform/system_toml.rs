//! `system.toml`: buildpacks that a platform puts before and after every group (Platform API 0.15).
//!
//! Written by the platform, read by the detector.
//! Platform Interface Specification, "`system.toml` (TOML)"; requirements A28, B36.

use serde::Deserialize;

use super::order_toml::OrderEntry;

/// The contents of `system.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SystemFile {
    /// The only table.
    #[serde(default)]
    pub system: System,
}

/// The buildpacks before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct System {
    /// Before every group.
    #[serde(default)]
    pub pre: SystemBuildpacks,
    /// After every group.
    #[serde(default)]
    pub post: SystemBuildpacks,
}

/// A list of buildpacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SystemBuildpacks {
    /// The buildpacks, in order.
    #[serde(default)]
    pub buildpacks: Vec<OrderEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_read() {
        let file: SystemFile =
            toml::from_str("[[system.pre.buildpacks]]\nid = 'a'\nversion = '1'\n[[system.post.buildpacks]]\nid = 'b'\nversion = '1'\noptional = true").unwrap();
        assert_eq!(file.system.pre.buildpacks[0].id.as_str(), "a");
        assert!(file.system.post.buildpacks[0].optional);
    }
}
