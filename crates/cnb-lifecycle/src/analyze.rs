//! Analyze: what the previous image and the run image tell.
//!
//! Pure: the images' configs come in as values, read by whoever has access to them.
//! Platform Interface Specification, "`analyzer`"; requirements B29, B31.

use std::collections::BTreeMap;

use cnb_spec::api::PlatformApi;
use cnb_spec::fault;
use cnb_spec::oci::ImageConfig;
use cnb_spec::platform::analyzed_toml::{Analyzed, AnalyzedRunImage, ImageReference};
use cnb_spec::platform::labels::{self, LifecycleMetadata};
use cnb_spec::target::{Distro, Target};

/// An image as analysis sees it.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The name it was asked for by.
    pub name: String,
    /// The resolved reference.
    pub reference: String,
    /// The operating system of its config.
    pub os: &'a str,
    /// The architecture of its config.
    pub arch: &'a str,
    /// The variant of the architecture.
    pub variant: &'a str,
    /// The labels of its config.
    pub labels: &'a BTreeMap<String, String>,
}

/// Why analysis failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnalyzeError {
    /// The run image does not say what it is for (requirement B31).
    #[error("failed to find OS in run image config: `{0}` does not name its operating system")]
    NoOs(String),
}

impl<'a> Seen<'a> {
    /// Returns what an image shows of itself.
    pub fn new(name: &str, reference: &str, config: &'a ImageConfig) -> Self {
        Self {
            name: name.to_owned(),
            reference: reference.to_owned(),
            os: &config.os,
            arch: &config.architecture,
            variant: &config.variant,
            labels: &config.config.labels,
        }
    }
}

/// Returns what later phases need to know of both images.
///
/// # Errors
/// When the run image does not say what it is for, from the Platform API on that asks.
pub fn analyze(
    api: PlatformApi,
    previous: Option<&Seen<'_>>,
    run_image: &Seen<'_>,
) -> Result<Analyzed, AnalyzeError> {
    if api.has_targets() && run_image.os.is_empty() {
        return Err(AnalyzeError::NoOs(run_image.name.clone()));
    }
    // An image whose label cannot be read is as none (B29); one without a label just has nothing to tell.
    let metadata = previous.and_then(|p| {
        LifecycleMetadata::from_label(p.labels.get(labels::LIFECYCLE_METADATA).map_or("", String::as_str))
    });
    let reference = previous.filter(|_| metadata.is_some()).map(|p| p.reference.clone()).unwrap_or_default();
    Ok(Analyzed {
        image: Some(ImageReference { reference }),
        build_image: None,
        metadata: metadata.filter(|_| !fault::is("previous-metadata-lost")).unwrap_or_default(),
        run_image: Some(AnalyzedRunImage {
            reference: run_image.reference.clone(),
            image: run_image.name.clone(),
            extend: false,
            target: Some(target_of(run_image)),
        }),
    })
}

/// Returns the target that an image's config and labels describe (requirement B31).
pub fn target_of(image: &Seen<'_>) -> Target {
    let label = |key: &str| image.labels.get(key).cloned();
    let (name, version) = (label(labels::BASE_DISTRO_NAME), label(labels::BASE_DISTRO_VERSION));
    let distro = ((name.is_some() || version.is_some()) && !fault::is("distro-lost"))
        .then(|| Distro { name: name.unwrap_or_default(), version: version.unwrap_or_default() });
    Target {
        id: label(labels::BASE_ID).unwrap_or_default(),
        os: image.os.to_owned(),
        arch: image.arch.to_owned(),
        arch_variant: image.variant.to_owned(),
        distro,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen<'a>(os: &'a str, labels: &'a BTreeMap<String, String>) -> Seen<'a> {
        Seen { name: "run".into(), reference: "run@x".into(), os, arch: "amd64", variant: "", labels }
    }

    #[test]
    fn the_target_comes_from_config_and_labels() {
        let labels = BTreeMap::from([(labels::BASE_DISTRO_NAME.to_owned(), "debian".to_owned())]);
        let target = analyze(PlatformApi::LATEST, None, &seen("linux", &labels))
            .unwrap()
            .run_image
            .unwrap()
            .target
            .unwrap();
        assert_eq!(target.distro, Some(Distro { name: "debian".into(), version: String::new() }));
        assert_eq!((target.os.as_str(), target.arch.as_str()), ("linux", "amd64"));
    }

    #[test]
    fn a_run_image_without_an_operating_system_is_refused() {
        assert_eq!(
            analyze(PlatformApi::LATEST, None, &seen("", &BTreeMap::new())),
            Err(AnalyzeError::NoOs("run".into()))
        );
    }

    #[test]
    fn an_undecodable_label_blanks_the_previous_image() {
        for (label, known) in [("{}", true), ("", true), ("null", true), ("garbage", false), ("[]", false)] {
            let labels = BTreeMap::from([(labels::LIFECYCLE_METADATA.to_owned(), label.to_owned())]);
            let analyzed =
                analyze(PlatformApi::LATEST, Some(&seen("linux", &labels)), &seen("linux", &BTreeMap::new()))
                    .unwrap();
            assert_eq!(!analyzed.image.unwrap().reference.is_empty(), known, "{label}");
        }
    }
}
