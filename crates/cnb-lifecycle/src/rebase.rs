//! Rebase: puts the layers of an app on another run image, without building anything.
//!
//! Pure: both images come in as values, and another one comes out, not yet saved.
//! Platform Interface Specification, "`rebaser`"; requirements B88 to B97.

use std::collections::BTreeSet;

use cnb_image::media::Family;
use cnb_image::{Image, ImageError, ImageLayer};
use cnb_spec::api::PlatformApi;
use cnb_spec::fault;
use cnb_spec::gojson;
use cnb_spec::oci::{History, ImageConfig};
use cnb_spec::platform::labels::{self, LifecycleMetadata, StackMetadata};
use cnb_spec::platform::run_toml::RunImage;
use cnb_spec::target::Target;
use serde_json::Value as Json;

use crate::analyze::{Seen, target_of};

/// The time that a rebased image carries; nothing else can be asked for (B97).
const CREATED: &str = "1980-01-01T00:00:01Z";
/// The label of stacks, from before there were targets.
const STACK_ID: &str = "io.buildpacks.stack.id";
/// The label with the mixins of a stack.
const MIXINS: &str = "io.buildpacks.stack.mixins";

/// The label of an app image, in which everything within `app` survives as it is (B94, J23).
pub type Metadata = LifecycleMetadata<Json>;

/// What a rebase depends on.
#[derive(Clone, Copy, Debug)]
pub struct Rebase<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// The app image.
    pub app: &'a Image,
    /// The run image to stand on.
    pub run_image: &'a Image,
    /// The name of that run image, as given.
    pub run_image_name: &'a str,
    /// The reference by which it was read.
    pub run_image_reference: &'a str,
    /// Whether what does not fit is only warned of.
    pub force: bool,
}

/// Why an image cannot be rebased.
#[derive(Debug, thiserror::Error)]
pub enum RebaseError {
    /// The label is missing or malformed.
    #[error("get image metadata: {0}")]
    Label(LabelError),
    /// The two images have different stacks, or none (B90).
    #[error("{0}")]
    Stack(String),
    /// The new run image lacks mixins that the app needs (B90).
    #[error("missing required mixin(s): {0}")]
    Mixins(String),
    /// Something that `-force` overrides does not fit (B91, B92).
    #[error("{0}; please provide -force to override")]
    Refused(Mismatch),
    /// The app does not stand on the run image that its label names (B93).
    #[error("rebase app image: could not find base layer in image")]
    NoBaseLayer,
    /// An image tells of more layers than it has.
    #[error(
        "rebase app image: failed to process {image} image: malformed image: config history references at least {} \
         non-empty layer(s), but only {layers} layer(s) are present",
        layers + 1
    )]
    History {
        /// Which of the two: `new base` or `original`.
        image: &'static str,
        /// How many it has.
        layers: usize,
    },
    /// The new run image has nothing to stand on (E43).
    #[error("get rebase run image top layer SHA: image has no layers")]
    NoLayers,
    /// The label cannot be written.
    #[error("set app image metadata label")]
    Write(#[source] serde_json::Error),
    /// The image cannot be put together.
    #[error("rebase app image")]
    Image(#[from] ImageError),
}

/// Why a label cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to unmarshal context of label '{label}': {source}")]
pub struct LabelError {
    label: &'static str,
    source: serde_json::Error,
}

/// What does not fit, unless forced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The run image of the app says that its apps cannot be rebased.
    #[error("app image is not marked as rebasable")]
    NotRebasable,
    /// Operating system, architecture or distribution differ.
    #[error("unable to satisfy target os/arch constraints; new run image: {new}, old run image: {old}")]
    Target {
        /// The target of the new run image, JSON.
        new: String,
        /// That of the app image.
        old: String,
    },
    /// The app's metadata does not name the new run image.
    #[error("rebase app image: new base image '{name}' not found in existing run image metadata: {known}")]
    Name {
        /// The new run image.
        name: String,
        /// What the metadata names, JSON.
        known: String,
    },
}

/// Reads the label of an app image; an image without one has empty metadata.
pub fn metadata(app: &ImageConfig) -> Result<Metadata, LabelError> {
    let label = labels::LIFECYCLE_METADATA;
    let Some(text) = app.config.labels.get(label) else { return Ok(Metadata::default()) };
    // What the other phases cannot read is refused here as well, although `app` may hold more.
    serde_json::from_str::<LifecycleMetadata>(text).map_err(|source| LabelError { label, source })?;
    serde_json::from_str(text).map_err(|source| LabelError { label, source })
}

/// Returns the run image that the label of an app names, with its mirrors (B89).
pub fn run_image_of(metadata: &Metadata, api: PlatformApi) -> Option<RunImage> {
    let run = &metadata.run_image;
    if api.has_run_toml() && !run.image.is_empty() {
        return Some(RunImage { image: run.image.clone(), mirrors: run.mirrors.clone() });
    }
    Some(metadata.stack.run_image.clone()).filter(|stack| !stack.image.is_empty())
}

/// Returns the app on its new run image; `warn` hears what was forced.
pub fn rebase(config: &Rebase<'_>, warn: &dyn Fn(&Mismatch)) -> Result<Image, RebaseError> {
    let (app, new) = (config.app.config(), config.run_image.config());
    let of_app = app.env("CNB_PLATFORM_API").and_then(|api| api.parse::<PlatformApi>().ok());
    if of_app.is_some_and(PlatformApi::has_targets) {
        check_target(config, warn)?;
    } else {
        check_stack(app, new)?;
        check_mixins(app, new)?;
    }
    let mut metadata = metadata(app).map_err(RebaseError::Label)?;
    let layers = layers(config, &metadata)?;
    let top = config.run_image.layers().last().ok_or(RebaseError::NoLayers)?;
    if !fault::is("top-layer-stale") {
        metadata.run_image.top_layer = top.diff_id.to_string();
    }
    config.run_image_reference.clone_into(&mut metadata.run_image.reference);
    if config.api.has_run_toml() {
        check_name(config, &mut metadata, warn)?;
    }
    let label = gojson::to_string(&metadata).map_err(RebaseError::Write)?;
    let mut rebased = rebased_config(app, new, layers.len(), config.api);
    rebased.config.labels.insert(labels::LIFECYCLE_METADATA.to_owned(), label);
    // The Go program builds on an empty image, whose manifest is Docker's (E39, J35).
    let assemble = if fault::is("rebased-media-types") { Image::assemble_mixed } else { Image::assemble };
    Ok(assemble(Family::Docker, rebased, layers)?)
}

/// Returns the new run image's layers and above them the app's own (B93).
fn layers(config: &Rebase<'_>, metadata: &Metadata) -> Result<Vec<ImageLayer>, RebaseError> {
    let own = config.app.layers();
    let top = own.iter().position(|l| l.diff_id.to_string() == metadata.run_image.top_layer);
    let above = own.get(top.ok_or(RebaseError::NoBaseLayer)? + 1..).unwrap_or_default();
    check_history("new base", config.run_image)?;
    check_history("original", config.app)?;
    Ok(config.run_image.layers().iter().chain(above).cloned().collect())
}

/// Refuses an image that tells of more layers than it has, as Go's image library does.
fn check_history(name: &'static str, image: &Image) -> Result<(), RebaseError> {
    let (told, layers) =
        (image.config().history.iter().filter(|step| !step.empty_layer).count(), image.layers().len());
    if told > layers { Err(RebaseError::History { image: name, layers }) } else { Ok(()) }
}

/// Returns the config without its label: what the Go program keeps of the app's, and the new target (B95 to B97).
fn rebased_config(app: &ImageConfig, new: &ImageConfig, layers: usize, api: PlatformApi) -> ImageConfig {
    let is_synced = |key: &str| {
        key.starts_with("io.buildpacks.stack.")
            || (api.has_targets() && key.starts_with("io.buildpacks.base."))
    };
    let is_synced = |key: &str| is_synced(key) && !fault::is("base-labels-not-synced");
    let mut config = app.config.clone();
    config.labels.retain(|key, _| !is_synced(key));
    let synced = new.config.labels.iter().filter(|(key, _)| is_synced(key));
    config.labels.extend(synced.map(|(key, value)| (key.clone(), value.clone())));
    let blank = || History { created: CREATED.to_owned(), ..History::default() };
    ImageConfig {
        architecture: new.architecture.clone(),
        os: new.os.clone(),
        os_version: new.os_version.clone(),
        created: CREATED.to_owned(),
        history: std::iter::repeat_with(blank).take(layers).collect(),
        config,
        ..ImageConfig::default()
    }
}

fn check_stack(app: &ImageConfig, new: &ImageConfig) -> Result<(), RebaseError> {
    let stack = |config: &ImageConfig| config.config.labels.get(STACK_ID).cloned().unwrap_or_default();
    let (of_app, of_new) = (stack(app), stack(new));
    let problem = if of_app.is_empty() {
        "stack not defined on app image".to_owned()
    } else if of_new.is_empty() {
        "stack not defined on new base image".to_owned()
    } else if of_app != of_new {
        format!("incompatible stack: '{of_new}' is not compatible with '{of_app}'")
    } else {
        return Ok(());
    };
    Err(RebaseError::Stack(problem))
}

fn check_mixins(app: &ImageConfig, new: &ImageConfig) -> Result<(), RebaseError> {
    let mixins = |config: &ImageConfig| -> Result<BTreeSet<String>, RebaseError> {
        let Some(text) = config.config.labels.get(MIXINS) else { return Ok(BTreeSet::new()) };
        let all: Option<Vec<String>> = serde_json::from_str(text)
            .map_err(|source| RebaseError::Label(LabelError { label: MIXINS, source }))?;
        let plain = |mixin: String| mixin.split_once(':').map_or(mixin.clone(), |(_, rest)| rest.to_owned());
        Ok(all.unwrap_or_default().into_iter().map(plain).collect())
    };
    let (needed, there) = (mixins(app)?, mixins(new)?);
    let missing: Vec<&str> = needed.difference(&there).map(String::as_str).collect();
    if missing.is_empty() { Ok(()) } else { Err(RebaseError::Mixins(missing.join(", "))) }
}

fn check_target(config: &Rebase<'_>, warn: &dyn Fn(&Mismatch)) -> Result<(), RebaseError> {
    let app = config.app.config();
    let rebasable = app.config.labels.get(labels::REBASABLE).filter(|_| !fault::is("rebasable-ignored"));
    if rebasable.is_some_and(|value| value == "false") {
        allow(Mismatch::NotRebasable, config, warn)?;
    }
    let target = |config| target_of(&Seen::new("", "", config));
    let (new, old) = (target(config.run_image.config()), target(app));
    if !fits(&new, &old) && !fault::is("target-unchecked") {
        allow(Mismatch::Target { new: new.to_json(), old: old.to_json() }, config, warn)?;
    }
    Ok(())
}

/// Returns whether an app made for `old` runs on `new` (B91).
fn fits(new: &Target, old: &Target) -> bool {
    let agree = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
    let distros = match (&new.distro, &old.distro) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(new), Some(old)) => agree(&new.name, &old.name) && agree(&new.version, &old.version),
    };
    new.os == old.os && new.arch == old.arch && agree(&new.arch_variant, &old.arch_variant) && distros
}

/// Checks that the metadata names the new run image; when forced, it will from now on (B92).
fn check_name(
    config: &Rebase<'_>,
    metadata: &mut Metadata,
    warn: &dyn Fn(&Mismatch),
) -> Result<(), RebaseError> {
    let name = config.run_image_name;
    let named = &metadata.run_image;
    let named = RunImage { image: named.image.clone(), mirrors: named.mirrors.clone() };
    if named.contains(name) || metadata.stack.run_image.contains(name) {
        return Ok(());
    }
    let known = if named.image.is_empty() {
        gojson::to_string(&metadata.stack.run_image)
    } else {
        gojson::to_string(&metadata.run_image)
    };
    let known = known.map_err(RebaseError::Write)?;
    allow(Mismatch::Name { name: name.to_owned(), known }, config, warn)?;
    name.clone_into(&mut metadata.run_image.image);
    metadata.run_image.mirrors.clear();
    metadata.stack = StackMetadata { run_image: RunImage { image: name.to_owned(), mirrors: Vec::new() } };
    Ok(())
}

fn allow(mismatch: Mismatch, config: &Rebase<'_>, warn: &dyn Fn(&Mismatch)) -> Result<(), RebaseError> {
    if config.force {
        warn(&mismatch);
        Ok(())
    } else {
        Err(RebaseError::Refused(mismatch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnb_spec::target::Distro;

    fn target(text: &str) -> Target {
        let mut words = text.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        let (os, arch, arch_variant) = (next(), next(), next().replace('-', ""));
        let name = next();
        let distro = (!name.is_empty()).then(|| Distro { name, version: next() });
        Target { os, arch, arch_variant, distro, ..Target::default() }
    }

    #[track_caller]
    fn check(new: &str, old: &str, expected: bool) {
        assert_eq!(fits(&target(new), &target(old)), expected, "{new} under {old}");
    }

    #[test]
    fn targets_agree_in_all_that_both_name() {
        check("linux amd64", "linux amd64", true);
        check("linux arm64", "linux amd64", false);
        check("linux arm v7", "linux arm -", true);
        check("linux arm v7", "linux arm v6", false);
        check("linux amd64 - debian 12", "linux amd64 - debian 12", true);
        check("linux amd64 - debian 13", "linux amd64 - debian 12", false);
        check("linux amd64 - debian 13", "linux amd64", false);
        check("linux amd64", "linux amd64 - debian 12", true);
        check("linux amd64 - debian", "linux amd64 - debian 12", true);
    }

    #[test]
    fn stages_of_mixins_do_not_count() {
        let config = |mixins: &str| {
            let mut config = ImageConfig::default();
            config.config.labels.insert(MIXINS.to_owned(), mixins.to_owned());
            config
        };
        assert!(check_mixins(&config(r#"["build:a","b"]"#), &config(r#"["run:a","b","c"]"#)).is_ok());
        let error = check_mixins(&config(r#"["a","b"]"#), &config("null")).unwrap_err();
        assert_eq!(error.to_string(), "missing required mixin(s): a, b");
        assert!(check_mixins(&config("garbage"), &config("[]")).is_err());
    }
}
