//! The analyzer: access checks, previous image, run image, `analyzed.toml` (requirements B23 to B33).

use cnb_cache::Volume;
use cnb_image::Image;
use cnb_lifecycle::analyze::{self, Seen};
use cnb_lifecycle::extract::extract;
use cnb_lifecycle::images::{Images, Looked};
use cnb_spec::digest::DiffId;
use cnb_spec::env::Env;
use cnb_spec::fault;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::ImageConfig;
use cnb_spec::platform::analyzed_toml::Analyzed;
use cnb_spec::target::host_arch;

use crate::connected::Connected;
use crate::console::{Console, Level};
use crate::exit::{Context, Failure};
use crate::inputs::Inputs;
use crate::launch_cache;
use crate::names::Names;
use crate::phase::Phase;
use crate::timer::Timer;

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let names = Names::resolve(Phase::Analyzer, inputs, env, console)?;
    names.check(Phase::Analyzer, inputs, console)?;
    let dirs = inputs.dirs(&["layers", "cache-dir", "launch-cache"]);
    let connected = Connected::new(inputs, env, console, names, &[], &dirs)?;
    let analyzed = analyze(&connected)?;
    write(&connected, &analyzed)
}

/// Writes `analyzed.toml`.
pub(crate) fn write(connected: &Connected<'_>, analyzed: &Analyzed) -> Result<(), Failure> {
    let (inputs, root) = (connected.inputs, &connected.root);
    root.write(&inputs.path("analyzed"), analyzed.to_toml(inputs.platform_api).as_bytes(), 0o666)
        .map_err(Failure::file("write analyzed file"))
}

/// Looks at previous image and run image.
pub(crate) fn analyze(connected: &Connected<'_>) -> Result<Analyzed, Failure> {
    let Connected { inputs, console, names, images, .. } = connected;
    check_access(connected).map_err(Failure::analyze("initialize analyzer"))?;
    let failed = |what: &'static str| move |e| Failure::analyze("initialize analyzer")(Context::new(what, e));
    let previous = images.look(&names.previous).map_err(failed("getting previous image"))?;
    let launch_cache = launch_cache::open(connected)
        .map_err(|e| Failure::analyze("initialize analyzer")(Context::new("creating launch cache", e)))?;
    let run_image = images.look(&names.run_image).map_err(failed("getting run image"))?;

    let _timer = Timer::start(console, "Analyzer");
    tell(console, &previous);
    let whole = match &previous.image {
        Some(image) if !images.is_whole(&names.previous, image).map_err(Failure::analyze("analyze"))? => {
            console.log(Level::Info, &format!("Ignoring image \"{}\" because it was corrupt", previous.name));
            None
        }
        other => other.as_ref(),
    };
    let before = whole.map(|image| Seen::new(&previous.name, &previous.reference, image.config()));
    tell(console, &run_image);
    // Of an image that is not there, the Go program sees an empty one for this machine (J10).
    let nothing = ImageConfig {
        os: "linux".to_owned(),
        architecture: host_arch().to_owned(),
        ..ImageConfig::default()
    };
    let config = run_image.image.as_ref().map_or(&nothing, Image::config);
    let seen = Seen::new(&run_image.name, &run_image.reference, config);
    let analyzed =
        analyze::analyze(inputs.platform_api, before.as_ref(), &seen).map_err(Failure::analyze("analyze"))?;
    if let Some(sbom) = &analyzed.metadata.sbom
        && inputs.platform_api.has_sbom()
        && !inputs.skips_layers()
        && !sbom.sha.is_empty()
    {
        restore_sbom(connected, whole, launch_cache.as_ref(), &sbom.sha)?;
    }
    Ok(analyzed)
}

fn tell(console: &Console, looked: &Looked) {
    if looked.image.is_some() {
        console.log(Level::Debug, &format!("Found image with identifier \"{}\"", looked.reference));
    } else {
        console.log(Level::Info, &format!("Image with name \"{}\" not found", looked.name));
    }
}

/// Checks that what is to be read can be read, and what is to be written can be written (B27).
fn check_access(connected: &Connected<'_>) -> Result<(), Context> {
    let Connected { names, registry, .. } = connected;
    let is_remote = matches!(connected.images, Images::Registry(_));
    let denied = |what: &'static str, right: &str, name: &str| {
        let text = format!("{what}: failed to ensure registry {right} access to {name}");
        move |e: Box<dyn std::error::Error>| Context { text, source: e }
    };
    let parse = |name: &str| name.parse::<ImageRef>().map_err(|e| Context::new("parsing", e));
    let read = [&names.previous, &names.run_image].into_iter().filter(|n| is_remote && !n.is_empty());
    for name in read {
        registry
            .check_read(&parse(name)?)
            .map_err(|e| denied("validating registry read access", "read", name)(e.into()))?;
    }
    let written = [&names.image].into_iter().chain(&names.tags).filter(|_| is_remote);
    let written = written.filter(|_| !fault::is("write-access-unchecked"));
    for name in [&names.cache_image].into_iter().filter(|n| !n.is_empty()).chain(written) {
        registry
            .check_write(&parse(name)?)
            .map_err(|e| denied("validating registry write access", "read/write", name)(e.into()))?;
    }
    Ok(())
}

/// Brings the SBOMs of the previous image back, from the launch cache if it has them (B30).
fn restore_sbom(
    connected: &Connected<'_>,
    previous: Option<&Image>,
    launch_cache: Option<&Volume>,
    sha: &str,
) -> Result<(), Failure> {
    let failed = |e: Box<dyn std::error::Error>| {
        Failure::analyze("analyze")(Context { text: "retrieving launch SBOM layer".to_owned(), source: e })
    };
    let Some(image) = previous else { return Ok(()) };
    connected.console.log(Level::Info, "Restoring data for SBOM from previous image");
    if let Some(tar) = launch_cache.and_then(|volume| volume.open_tar(sha).ok()) {
        return extract(&connected.root, tar).map_err(|e| failed(e.into()));
    }
    let missing = || failed(format!("previous image did not have layer with diff id '{sha}'").into());
    let diff_id: DiffId = sha.parse().map_err(|_| missing())?;
    let layer = image.layer(&diff_id).ok_or_else(missing)?;
    let tar = layer.open_tar().map_err(|e| failed(e.into()))?;
    extract(&connected.root, tar).map_err(|e| failed(e.into()))
}
