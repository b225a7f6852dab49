//! The outcome of detection and the Build Plan (requirements C25, A56).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Failure;

/// What detection found.
#[derive(Clone, Debug, PartialEq)]
pub enum Detection {
    /// The buildpack can build this app; what it offers and wants is in the plan.
    Pass(BuildPlan),
    /// The buildpack is not for this app. The text says what it would need, on one line.
    Fail(String),
}

impl Detection {
    /// Passes with an empty plan.
    pub fn pass() -> Self {
        Self::Pass(BuildPlan::default())
    }

    /// Fails; `need` completes "would need: ".
    pub fn would_need(need: impl Into<String>) -> Self {
        Self::Fail(need.into())
    }

    /// Passes with an empty plan when `met`, fails with `need` otherwise.
    pub fn when(met: bool, need: &str) -> Self {
        if met { Self::pass() } else { Self::would_need(need) }
    }
}

/// What a buildpack provides to others and requires of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BuildPlan {
    /// Names that this buildpack can provide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provides: Vec<Provide>,
    /// Names that this buildpack wants some buildpack to provide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Require>,
    /// Other plans, tried in this order where this one cannot be met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub or: Vec<BuildPlan>,
}

/// What a buildpack would do, as far as detection can tell: `cnb plan` shows it, other platforms ignore it.
///
/// It travels as the metadata of an entry of the Build Plan, the one channel that the specification has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Intent {
    /// Why the buildpack is for this app, such as ``a `package.json` ``.
    pub because: String,
    /// The versions that were asked for, each with the file or variable that asks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
    /// The commands that would run, as the user would type them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// What the image would start, by process type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<String, String>,
}

/// A version that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Of what, such as `node`.
    pub of: String,
    /// The version or range as it is written.
    pub version: String,
    /// The file or variable that it is written in, or why it is this one.
    pub source: String,
}

impl Detection {
    /// Passes, and says what the build would do; `name` is what the buildpack provides and needs itself.
    pub fn intends(name: &str, intent: &Intent) -> Result<Self, Failure> {
        let metadata =
            toml::Table::try_from(intent).map_err(Failure::on("failed to write the Build Plan"))?;
        let mut plan = BuildPlan::own(name);
        plan.requires.iter_mut().for_each(|require| require.metadata.clone_from(&metadata));
        Ok(Self::Pass(plan))
    }

    /// Requires what another buildpack may provide; where none does, the plan holds without.
    #[must_use]
    pub fn or_with(self, name: &str) -> Self {
        match self {
            Self::Pass(without) => {
                let mut plan = without.clone().require(name);
                plan.or.push(without);
                Self::Pass(plan)
            }
            fail @ Self::Fail(_) => fail,
        }
    }
}

impl BuildPlan {
    /// Adds what another buildpack has to provide.
    #[must_use]
    pub fn require(mut self, name: &str) -> Self {
        self.requires.push(Require { name: name.to_owned(), metadata: toml::Table::new() });
        self
    }

    /// Makes the plan of a buildpack that provides `name` and needs it itself, so that it passes alone.
    pub fn own(name: &str) -> Self {
        Self {
            provides: vec![Provide { name: name.to_owned() }],
            requires: vec![Require { name: name.to_owned(), metadata: toml::Table::new() }],
            or: Vec::new(),
        }
    }
}

/// A name that a buildpack provides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provide {
    /// The name.
    pub name: String,
}

/// A name that a buildpack requires.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Require {
    /// The name.
    pub name: String,
    /// What the provider should know.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub metadata: toml::Table,
}

#[cfg(test)]
mod tests {
    use super::{BuildPlan, Detection, Intent, Version};

    #[test]
    fn what_a_build_would_do_travels_in_the_build_plan() {
        let intent = Intent {
            because: "a `go.mod`".to_owned(),
            versions: vec![Version { of: "go".into(), version: "1.22".into(), source: "go.mod".into() }],
            commands: vec!["go build ./cmd/web".to_owned()],
            processes: [("web".to_owned(), "web".to_owned())].into(),
        };
        let Detection::Pass(plan) = Detection::intends("go", &intent).unwrap() else { panic!() };
        let table = toml::Table::try_from(plan.require("web-assets")).unwrap();
        assert_eq!(table["provides"][0]["name"].as_str(), Some("go"));
        assert_eq!(table["requires"][0]["metadata"]["versions"][0]["version"].as_str(), Some("1.22"));
        assert_eq!(table["requires"][0]["metadata"]["processes"]["web"].as_str(), Some("web"));
        assert_eq!(table["requires"][1]["name"].as_str(), Some("web-assets"));
    }

    #[test]
    fn alternatives_are_written_as_the_specification_has_them() {
        let plan = BuildPlan { or: vec![BuildPlan::own("node")], ..BuildPlan::own("web-assets") };
        let table = toml::Table::try_from(plan).unwrap();
        assert_eq!(table["or"][0]["provides"][0]["name"].as_str(), Some("node"));
    }
}
