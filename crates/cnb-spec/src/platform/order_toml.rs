//! `order.toml`: the groups to try, in order.
//!
//! Written by the platform, read by the detector.
//! Platform Interface Specification, "`order.toml` (TOML)"; requirement A22.

use serde::Deserialize;

use crate::exec_env::ExecEnvs;
use crate::id::ModuleId;

/// The contents of `order.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct OrderFile {
    /// The groups of buildpacks.
    #[serde(default)]
    pub order: Vec<OrderGroup>,
    /// The groups of image extensions.
    #[serde(default, rename = "order-extensions")]
    pub order_extensions: Vec<OrderGroup>,
}

/// Modules that are tried together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct OrderGroup {
    /// The modules, in order.
    #[serde(default)]
    pub group: Vec<OrderEntry>,
}

/// A module in an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OrderEntry {
    /// Its ID.
    pub id: ModuleId,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Whether the group can pass without it.
    #[serde(default)]
    pub optional: bool,
    /// Where the entry counts; everywhere when empty (Buildpack API 0.12, Δ3).
    #[serde(default, rename = "exec-env")]
    pub exec_env: ExecEnvs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_groups_of_entries() {
        let file: OrderFile =
            toml::from_str("[[order]]\n[[order.group]]\nid = 'a'\nversion = '1'\noptional = true").unwrap();
        assert!(file.order[0].group[0].optional);
        assert!(file.order_extensions.is_empty());
    }
}
