//! The outcome of detection and the Build Plan (requirements C25, A56).

use serde::Serialize;

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
}

impl BuildPlan {
    /// Makes the plan of a buildpack that provides `name` and needs it itself, so that it passes alone.
    pub fn own(name: &str) -> Self {
        Self {
            provides: vec![Provide { name: name.to_owned() }],
            requires: vec![Require { name: name.to_owned(), metadata: toml::Table::new() }],
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
