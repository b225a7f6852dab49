//! `analyzed.toml`: what analysis found out about the previous image and the run image.
//!
//! Written by the analyzer, rewritten by detector (with extensions) and restorer, read by later phases.
//! Platform Interface Specification, "`analyzed.toml` (TOML)"; requirements A12 to A19.

use serde::Deserialize;

use super::labels::LifecycleMetadata;
use crate::api::PlatformApi;
use crate::gotoml::Table;
use crate::target::Target;

/// The contents of `analyzed.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Analyzed {
    /// The previous image; the reference is empty when there is none.
    pub image: Option<ImageReference>,
    /// The image that builds run in, when extensions need it.
    #[serde(rename = "build-image")]
    pub build_image: Option<ImageReference>,
    /// The lifecycle's label of the previous image.
    #[serde(default)]
    pub metadata: LifecycleMetadata,
    /// The run image that was chosen.
    #[serde(rename = "run-image")]
    pub run_image: Option<AnalyzedRunImage>,
}

/// An image by its reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ImageReference {
    /// A digest reference, an image ID, or a layout path (requirement A16).
    #[serde(default)]
    pub reference: String,
}

/// The run image, as analysis resolved it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AnalyzedRunImage {
    /// The resolved reference.
    #[serde(default)]
    pub reference: String,
    /// The name that the platform or an extension gave (requirement A17).
    #[serde(default)]
    pub image: String,
    /// Whether extensions will add to it.
    #[serde(default)]
    pub extend: bool,
    /// What it is, when known.
    pub target: Option<Target>,
}

impl Analyzed {
    /// Returns the file's text for `api`, keys in the Go lifecycle's order (requirement A13).
    pub fn to_toml(&self, api: PlatformApi) -> String {
        let mut table = Table::new();
        let reference = |image: &ImageReference| Table::new().with("reference", image.reference.as_str());
        table = table.with_some("image", self.image.as_ref().map(reference));
        if api.has_extensions() {
            table = table.with_some("build-image", self.build_image.as_ref().map(reference));
        }
        table = table.with("metadata", self.metadata.to_toml());
        if let Some(run) = &self.run_image {
            let mut inner = Table::new().with("reference", run.reference.as_str());
            if api.has_targets() {
                inner = inner.with_text("image", &run.image);
            }
            inner = inner.with_some("extend", run.extend.then_some(true));
            if api.has_targets() {
                inner = inner.with_some("target", run.target.as_ref().map(target));
            }
            table = table.with("run-image", inner);
        }
        table.write()
    }
}

fn target(target: &Target) -> Table {
    Table::new()
        .with_text("id", &target.id)
        .with("os", target.os.as_str())
        .with("arch", target.arch.as_str())
        .with_text("arch-variant", &target.arch_variant)
        .with_some(
            "distro",
            target
                .distro
                .as_ref()
                .map(|d| Table::new().with("name", d.name.as_str()).with("version", d.version.as_str())),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let analyzed = Analyzed {
            image: Some(ImageReference { reference: "a@sha256:00".into() }),
            run_image: Some(AnalyzedRunImage {
                reference: "r".into(),
                image: "run".into(),
                target: Some(Target {
                    os: "linux".into(),
                    arch: "arm".into(),
                    arch_variant: "v7".into(),
                    ..Target::default()
                }),
                ..AnalyzedRunImage::default()
            }),
            ..Analyzed::default()
        };
        let text = analyzed.to_toml(PlatformApi::LATEST);
        assert_eq!(toml::from_str::<Analyzed>(&text).unwrap(), analyzed, "{text}");
    }

    #[test]
    fn targets_are_written_from_0_12_on() {
        let run = AnalyzedRunImage {
            image: "x".into(),
            target: Some(Target::default()),
            ..AnalyzedRunImage::default()
        };
        let analyzed = Analyzed { run_image: Some(run), ..Analyzed::default() };
        assert!(!analyzed.to_toml("0.11".parse().unwrap()).contains("target"));
        assert!(analyzed.to_toml("0.12".parse().unwrap()).contains("[run-image.target]"));
    }
}
