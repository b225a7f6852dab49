//! IDs and versions of buildpacks and extensions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is no ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid buildpack or extension ID `{0}`")]
pub struct IdError(String);

/// The ID of a buildpack or an extension, such as `example/node`.
///
/// As lenient as the Go lifecycle (Δ22): whatever can be a single folder name once `/` became `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ModuleId(String);

impl ModuleId {
    /// Returns the ID as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the ID as a folder name: every `/` is `_`.
    pub fn escaped(&self) -> String {
        self.0.replace('/', "_")
    }

    /// Returns whether the ID is one that the specification reserves (requirement A55).
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.as_str(), "app" | "config" | "generated" | "sbom")
    }

    /// Returns whether the ID has only the characters that the specification allows (requirement A59).
    pub fn is_conforming(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'-'))
            && !self.is_reserved()
    }
}

impl FromStr for ModuleId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        // These would name another folder than one of the buildpack's own.
        if matches!(text, "" | "." | "..") || text.contains('\0') {
            return Err(IdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ModuleId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a module is a buildpack or an image extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModuleKind {
    /// A buildpack.
    Buildpack,
    /// An image extension.
    Extension,
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buildpack => "buildpack",
            Self::Extension => "extension",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_single_folder_name_once_escaped() {
        assert_eq!("a/b/c".parse::<ModuleId>().unwrap().escaped(), "a_b_c");
        assert_eq!("../x".parse::<ModuleId>().unwrap().escaped(), ".._x");
        for bad in ["", ".", "..", "a\0b"] {
            assert!(bad.parse::<ModuleId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reserved_and_odd_ids_can_be_told() {
        let id = |t: &str| t.parse::<ModuleId>().unwrap();
        assert!(id("sbom").is_reserved() && !id("a/sbom").is_reserved());
        assert!(id("a/b-1.c").is_conforming() && !id("a b").is_conforming());
    }
}
