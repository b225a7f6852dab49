//! `plan.toml`: the resolved build plan.
//!
//! Written by the detector, read by the builder and the extender.
//! Platform Interface Specification, "`plan.toml` (TOML)"; requirements A23 to A25.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::buildpack::build_plan::Require;
use crate::buildpack::buildpack_plan::BuildpackPlan;
use crate::gotoml::Table;
use crate::id::{ModuleId, ModuleKind};

/// The resolved plan: one entry per dependency name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Plan {
    /// The entries, in the order in which they were first required.
    #[serde(default)]
    pub entries: Vec<PlanEntry>,
}

/// A dependency, who can provide it, and who requires it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct PlanEntry {
    /// The modules that can provide it, in order.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// What was required, in order.
    #[serde(default)]
    pub requires: Vec<Require>,
}

/// A module that provides a dependency.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Provider {
    /// Its ID.
    pub id: ModuleId,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Whether it is an extension.
    #[serde(default)]
    pub extension: bool,
}

impl Provider {
    /// Returns what kind of module it is.
    pub fn kind(&self) -> ModuleKind {
        if self.extension { ModuleKind::Extension } else { ModuleKind::Buildpack }
    }
}

impl PlanEntry {
    fn lists(&self, kind: ModuleKind, id: &ModuleId) -> bool {
        self.providers.iter().any(|p| p.kind() == kind && p.id == *id)
    }
}

impl Plan {
    /// Returns what the module `id` is asked for: the requires of all entries that list it (requirement C53).
    pub fn for_module(&self, kind: ModuleKind, id: &ModuleId) -> BuildpackPlan {
        let entries =
            self.entries.iter().filter(|e| e.lists(kind, id)).flat_map(|e| e.requires.clone()).collect();
        BuildpackPlan { entries }
    }

    /// Removes every entry that contains one of the `met` names (requirement C54).
    pub fn remove_met(&mut self, met: &[String]) {
        // A plan can be large and hostile: look names up instead of comparing lists pairwise.
        let met: BTreeSet<&str> = met.iter().map(String::as_str).collect();
        self.entries.retain(|e| !e.requires.iter().any(|r| met.contains(r.name.as_str())));
    }

    /// Returns the file's text; empty for an empty plan.
    pub fn to_toml(&self) -> String {
        let provider = |p: &Provider| {
            Table::new()
                .with("id", p.id.as_str())
                .with("version", p.version.as_str())
                .with_some("extension", p.extension.then_some(true))
        };
        let entry = |e: &PlanEntry| {
            Table::new()
                .with_tables("providers", e.providers.iter().map(provider))
                .with_tables("requires", e.requires.iter().map(Require::to_toml))
        };
        Table::new().with_tables("entries", self.entries.iter().map(entry)).write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        toml::from_str(
            "[[entries]]\n[[entries.providers]]\nid = 'a'\n[[entries.requires]]\nname = 'x'\n[entries.requires.metadata]\nv = 1\n\
             [[entries]]\n[[entries.providers]]\nid = 'a'\n[[entries.providers]]\nid = 'b'\nextension = true\n[[entries.requires]]\nname = 'y'\n",
        )
        .unwrap()
    }

    #[test]
    fn a_module_is_asked_for_the_entries_that_list_it() {
        let names = |kind, id: &str| -> Vec<String> {
            plan().for_module(kind, &id.parse().unwrap()).entries.into_iter().map(|r| r.name).collect()
        };
        assert_eq!(names(ModuleKind::Buildpack, "a"), ["x", "y"]);
        assert_eq!(names(ModuleKind::Buildpack, "b"), [""; 0]);
        assert_eq!(names(ModuleKind::Extension, "b"), ["y"]);
    }

    #[test]
    fn met_entries_leave_the_plan() {
        let mut plan = plan();
        plan.remove_met(&["x".into()]);
        assert_eq!(plan.entries.len(), 1);
    }

    #[test]
    fn what_is_written_is_read_back_and_an_empty_plan_is_an_empty_file() {
        assert_eq!(toml::from_str::<Plan>(&plan().to_toml()).unwrap(), plan());
        assert_eq!(Plan::default().to_toml(), "");
    }
}
