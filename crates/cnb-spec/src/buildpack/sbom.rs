//! SBOM files: their names and media types.
//!
//! Written by `bin/build`, collected by the builder.
//! Buildpack Interface Specification, "Software-Bill-of-Materials"; requirements A54, C64, C65.

use std::str::FromStr;

/// A format of SBOM files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SbomFormat {
    /// `CycloneDX` JSON.
    CycloneDx,
    /// SPDX JSON.
    Spdx,
    /// Syft JSON.
    Syft,
}

impl SbomFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::CycloneDx, Self::Spdx, Self::Syft];

    /// Returns the end of the file name, behind `sbom.`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::CycloneDx => "cdx.json",
            Self::Spdx => "spdx.json",
            Self::Syft => "syft.json",
        }
    }

    /// Returns the media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::CycloneDx => "application/vnd.cyclonedx+json",
            Self::Spdx => "application/spdx+json",
            Self::Syft => "application/vnd.syft+json",
        }
    }

    /// Returns whether `declared` names this format, parameters aside (requirement C64).
    pub fn is_declared_by(self, declared: &str) -> bool {
        declared.split(';').next().is_some_and(|t| t.trim() == self.media_type())
    }
}

/// The extension is no SBOM format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported SBOM file format")]
pub struct UnknownFormat;

impl FromStr for SbomFormat {
    type Err = UnknownFormat;

    fn from_str(extension: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|f| f.extension() == extension).ok_or(UnknownFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_declared_type_do_not_count() {
        assert!(SbomFormat::CycloneDx.is_declared_by("application/vnd.cyclonedx+json;version=1.4"));
        assert!(!SbomFormat::Spdx.is_declared_by("application/vnd.cyclonedx+json"));
        assert_eq!("syft.json".parse(), Ok(SbomFormat::Syft));
        assert_eq!("foo.json".parse::<SbomFormat>(), Err(UnknownFormat));
    }
}
