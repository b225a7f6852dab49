//! `run.toml` and its older form `stack.toml`: the run images a platform offers.
//!
//! Written by the platform, read by analyzer, restorer, exporter, rebaser.
//! Platform Interface Specification, "`run.toml` (TOML)"; requirements A26, A27, B25.

use serde::{Deserialize, Serialize};

use crate::{fault, image_ref};

/// The contents of `run.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RunFile {
    /// The run images, the first is the default.
    #[serde(default)]
    pub images: Vec<RunImage>,
}

/// A run image and where else it can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct RunImage {
    /// Its name; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The same image at other places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
}

/// The contents of `stack.toml` (before Platform API 0.12).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StackFile {
    /// The run image.
    #[serde(default, rename = "run-image")]
    pub run_image: RunImage,
}

impl RunImage {
    /// Returns whether `name` is this image or a mirror of it; digests do not count (E32, B92).
    pub fn contains(&self, name: &str) -> bool {
        let name = image_ref::canonical(name);
        std::iter::once(&self.image)
            .chain(self.mirrors.iter().filter(|_| !fault::is("mirrors-ignored")))
            .any(|own| image_ref::canonical(own) == name)
    }

    /// Chooses the name to read: the first on `registry` that `readable` accepts, else the first that it
    /// accepts at all (requirement B25). `registry_of` tells a name's registry.
    pub fn choose<'a>(
        &'a self,
        registry: &str,
        registry_of: impl Fn(&str) -> Option<String>,
        readable: impl Fn(&str) -> bool,
    ) -> Option<&'a str> {
        let names = || {
            std::iter::once(&self.image).chain(&self.mirrors).map(String::as_str).filter(|n| !n.is_empty())
        };
        let near = names().filter(|n| registry_of(n).as_deref() == Some(registry));
        near.chain(names()).find(|n| readable(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(registry: &str, unreadable: &[&str], expected: Option<&str>) {
        let run = RunImage { image: "a/run".into(), mirrors: vec!["b/run".into(), "c/run".into()] };
        let registry_of = |n: &str| n.split('/').next().map(str::to_owned);
        assert_eq!(run.choose(registry, registry_of, |n| !unreadable.contains(&n)), expected);
    }

    #[test]
    fn the_same_registry_comes_first_then_the_listed_order() {
        check("b", &[], Some("b/run"));
        check("b", &["b/run"], Some("a/run"));
        check("z", &["a/run"], Some("b/run"));
        check("a", &["a/run", "b/run", "c/run"], None);
    }
}
