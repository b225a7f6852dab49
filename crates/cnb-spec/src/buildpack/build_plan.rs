//! The Build Plan: what a buildpack provides and requires.
//!
//! Written by `bin/detect`, read by the detector.
//! Buildpack Interface Specification, "Build Plan (TOML)"; requirements A56, C27, C46.

use serde::Deserialize;

use crate::gotoml::Table;
use crate::value::Metadata;

/// A Build Plan with its alternatives.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct BuildPlan {
    /// What is provided, in the first alternative.
    #[serde(default)]
    pub provides: Vec<Provide>,
    /// What is required, in the first alternative.
    #[serde(default)]
    pub requires: Vec<Require>,
    /// The other alternatives, in order.
    #[serde(default, rename = "or")]
    pub alternatives: Vec<Alternative>,
}

/// What is provided and required together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Alternative {
    /// What is provided.
    #[serde(default)]
    pub provides: Vec<Provide>,
    /// What is required.
    #[serde(default)]
    pub requires: Vec<Require>,
}

/// A dependency that can be provided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Provide {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// A dependency that is required.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Require {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// A version at the top level: an error at every supported API (requirement C27).
    #[serde(default)]
    pub version: String,
    /// What is wished of it.
    #[serde(default)]
    pub metadata: Metadata,
}

impl Require {
    /// Returns the table in `plan.toml` and in a Buildpack Plan.
    pub fn to_toml(&self) -> Table {
        Table::new()
            .with("name", self.name.as_str())
            .with_some("metadata", (!self.metadata.is_empty()).then(|| Table::from(&self.metadata)))
    }
}

impl BuildPlan {
    /// Returns all alternatives, the top level first.
    pub fn all_alternatives(&self) -> Vec<Alternative> {
        let top = Alternative { provides: self.provides.clone(), requires: self.requires.clone() };
        std::iter::once(top).chain(self.alternatives.iter().cloned()).collect()
    }

    /// Returns the file's text, as the author's side writes it.
    pub fn to_toml(&self) -> String {
        let section = |table: Table, provides: &[Provide], requires: &[Require]| {
            table
                .with_tables("provides", provides.iter().map(|p| Table::new().with("name", p.name.as_str())))
                .with_tables("requires", requires.iter().map(Require::to_toml))
        };
        section(Table::new(), &self.provides, &self.requires)
            .with_tables(
                "or",
                self.alternatives.iter().map(|a| section(Table::new(), &a.provides, &a.requires)),
            )
            .write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_is_the_first_alternative() {
        let text = "[[provides]]\n  name = \"a\"\n\n[[or]]\n\n  [[or.requires]]\n    name = \"b\"\n    [or.requires.metadata]\n      v = 1\n";
        let plan: BuildPlan = toml::from_str(text).unwrap();
        let all = plan.all_alternatives();
        assert_eq!((all.len(), all[0].provides.len(), all[1].requires.len()), (2, 1, 1));
        assert_eq!(plan.to_toml(), text);
    }
}
