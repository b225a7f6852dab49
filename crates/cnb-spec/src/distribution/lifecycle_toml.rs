//! `lifecycle.toml`: which APIs a packaged lifecycle speaks.
//!
//! Written when a lifecycle is packaged, as the first file of its archive; read by the tools that make
//! builders, which copy it into a label.
//! RFC 11 "Lifecycle Descriptor" and what the Go project added to it; requirements A74, I1.

use serde::Serialize;

use crate::api::{BuildpackApi, PlatformApi};
use crate::buildpack::sbom::SbomFormat;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LifecycleDescriptor {
    /// What it speaks.
    pub apis: Apis,
    /// The oldest it speaks, for tools that know only the first form of this file.
    pub api: OldestApis,
    /// What it is.
    pub lifecycle: Lifecycle,
}

/// The versions of both APIs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Apis {
    /// Of the Buildpack API.
    pub buildpack: Versions,
    /// Of the Platform API.
    pub platform: Versions,
}

/// The versions of one API, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// Those that work and are warned of.
    pub deprecated: Vec<String>,
    /// Those that work, the deprecated ones not included.
    pub supported: Vec<String>,
}

/// The oldest version of each API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OldestApis {
    /// Of the Platform API.
    pub platform: String,
    /// Of the Buildpack API.
    pub buildpack: String,
}

/// The lifecycle itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lifecycle {
    /// Its version, a semantic one.
    pub version: String,
    /// The media types of the SBOM files that it takes from buildpacks.
    pub sbom_formats: Vec<String>,
}

impl LifecycleDescriptor {
    /// Returns the descriptor of a lifecycle that is built on this crate: everything that [`crate::api`]
    /// lists, and nothing deprecated.
    pub fn of_this_implementation(version: &str) -> Self {
        let versions = |supported: Vec<String>| Versions { deprecated: Vec::new(), supported };
        Self {
            apis: Apis {
                buildpack: versions(BuildpackApi::supported().map(|api| api.to_string()).collect()),
                platform: versions(PlatformApi::supported().map(|api| api.to_string()).collect()),
            },
            api: OldestApis {
                platform: PlatformApi::OLDEST.to_string(),
                buildpack: BuildpackApi::OLDEST.to_string(),
            },
            lifecycle: Lifecycle {
                version: version.to_owned(),
                sbom_formats: SbomFormat::ALL.iter().map(|format| format.media_type().to_owned()).collect(),
            },
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Never: text keys with texts and lists of texts are always TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_lists_what_this_crate_speaks() {
        let text = LifecycleDescriptor::of_this_implementation("1.2.3").to_toml().unwrap();
        assert_eq!(
            text,
            r#"[apis.buildpack]
deprecated = []
supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12"]

[apis.platform]
deprecated = []
supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14", "0.15"]

[api]
platform = "0.7"
buildpack = "0.7"

[lifecycle]
version = "1.2.3"
sbom-formats = ["application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.syft+json"]
"#
        );
    }
}
