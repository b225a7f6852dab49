//! The restorer: `analyzed.toml` brought up to date, cached layers brought back (requirements B44 to B56).

use cnb_cache::Volume;
use cnb_fs::{GuestPath, HostPath, toml_file};
use cnb_image::{Image, Layout};
use cnb_lifecycle::analyze::{Seen, target_of};
use cnb_lifecycle::cached::{self, CacheSource, CachedEvent};
use cnb_lifecycle::images::{ImagesError, Looked, look_in_registry};
use cnb_spec::digest::Digest;
use cnb_spec::env::Env;
use cnb_spec::id::ModuleKind;
use cnb_spec::platform::analyzed_toml::{Analyzed, AnalyzedRunImage, ImageReference};
use cnb_spec::platform::group_toml::Group;

use crate::connected::Connected;
use crate::console::{Console, Level};
use crate::detector::read_analyzed;
use crate::exit::{Context, Failure};
use crate::inputs::Inputs;
use crate::names::{self, Names};
use crate::phase::Phase;
use crate::timer::Timer;
use crate::{analyzer, exit};

/// Where kaniko, and so the extender, looks for base images.
const KANIKO: &str = "/kaniko";

/// Returns the layout in which the extender finds the image with `digest`.
pub(crate) fn base_image(digest: &Digest) -> GuestPath {
    GuestPath::new(KANIKO).join("cache/base").join(digest.to_string())
}

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let names = Names::resolve(Phase::Restorer, inputs, env, console)?;
    names.check(Phase::Restorer, inputs, console)?;
    let mut dirs = inputs.dirs(&["layers", "cache-dir"]);
    dirs.push(GuestPath::new(KANIKO));
    let more = run_image_of(inputs);
    let connected = Connected::new(inputs, env, console, names, &more, &dirs)?;
    let group = read_group(&connected)?;
    let analyzed = match read_analyzed(&connected.root, &inputs.path("analyzed"), console) {
        Ok(mut analyzed) => {
            update(&connected, &group, &mut analyzed)?;
            analyzer::write(&connected, &analyzed)?;
            analyzed
        }
        Err(e) => {
            let why = exit::describe(&e);
            console.log(
                Level::Warn,
                &format!(
                    "Not using analyzed data, usable file not found: failed to read analyzed file: {why}"
                ),
            );
            Analyzed::default()
        }
    };
    let cache = Cache::open(&connected)?;
    restore(&connected, &group, &analyzed, cache.as_ref())
}

/// Returns the run image that analysis chose, whose credentials are needed as well.
fn run_image_of(inputs: &Inputs) -> Vec<String> {
    let analyzed: Option<Analyzed> = toml_file::read_host(inputs.path("analyzed").as_guest()).ok();
    analyzed.and_then(|a| a.run_image).map(|r| r.image).filter(|n| !n.is_empty()).into_iter().collect()
}

/// Reads `group.toml` and checks the API of each buildpack.
pub(crate) fn read_group(connected: &Connected<'_>) -> Result<Group, Failure> {
    let group: Group = toml_file::read(&connected.root, &connected.inputs.path("group"))
        .map_err(Failure::file("read group file"))?;
    check_apis(&group)?;
    Ok(group)
}

/// Checks the API of each buildpack of the group.
pub(crate) fn check_apis(group: &Group) -> Result<(), Failure> {
    for element in &group.group {
        cnb_dirs::store::check_api(ModuleKind::Buildpack, &element.id, &element.version, &element.api)
            .map_err(Failure::BuildpackApi)?;
    }
    Ok(())
}

/// Brings what is known of build image and run image up to date (B46 to B48).
fn update(connected: &Connected<'_>, group: &Group, analyzed: &mut Analyzed) -> Result<(), Failure> {
    let (inputs, api) = (connected.inputs, connected.inputs.platform_api);
    if api.has_extensions() && !connected.names.build_image.is_empty() {
        let name = &connected.names.build_image;
        let looked = pull_sparse(connected, name).map_err(Failure::image("pull builder image", name))?;
        analyzed.build_image = Some(ImageReference { reference: looked.reference });
    }
    let name = analyzed.run_image.as_ref().map(|r| r.image.clone()).unwrap_or_default();
    if api.restores_launch_metadata_from_cache() {
        check_run_image(connected, &name)?;
    }
    let Some(run_image) = &mut analyzed.run_image else { return Ok(()) };
    let is_known = run_image.target.as_ref().is_some_and(|t| !t.os.is_empty());
    if api.extends_run_images() && !inputs.switch("layout") && run_image.extend {
        let looked = pull_sparse(connected, &name).map_err(Failure::image("pull run image", &name))?;
        identify(connected, run_image, &looked);
    } else if api.has_extensions() && !group.group_extensions.is_empty() && !is_known {
        let looked = connected.images.look(&name).and_then(|looked| match looked.image {
            Some(_) => Ok(looked),
            None => Err(ImagesError::NoEngine(format!("there is no image `{name}`"))),
        });
        let looked = looked.map_err(Failure::image("get run image", &name))?;
        identify(connected, run_image, &looked);
    }
    Ok(())
}

/// Checks that a run image that the platform offers can still be read; there is no other to fall back on (B47).
fn check_run_image(connected: &Connected<'_>, name: &str) -> Result<(), Failure> {
    let offered = names::read_run(connected.inputs, &connected.root, connected.console)
        .map_err(Failure::file("read run file"))?;
    if !connected.images.are_remote() || !offered.images.iter().any(|i| i.contains(name)) {
        return Ok(());
    }
    let readable = name.parse().is_ok_and(|name| connected.registry.check_read(&name).is_ok());
    if readable {
        Ok(())
    } else {
        Err(Failure::RunImage(format!("selected run image '{name}' is not accessible")))
    }
}

fn identify(connected: &Connected<'_>, run_image: &mut AnalyzedRunImage, looked: &Looked) {
    run_image.reference.clone_from(&looked.reference);
    run_image.target = None;
    if let Some(image) = &looked.image
        && connected.inputs.platform_api.has_targets()
    {
        run_image.target = Some(target_of(&Seen::new(&looked.name, &looked.reference, image.config())));
    }
}

/// Reads manifest and config of an image and leaves them where the extender looks (B46, D19).
fn pull_sparse(connected: &Connected<'_>, name: &str) -> Result<Looked, Box<dyn std::error::Error>> {
    let looked = look_in_registry(&connected.registry, name)
        .map_err(|e| Context::new("failed to initialize remote image", e))?;
    let Some(image) = &looked.image else {
        return Err("failed to get remote image".into());
    };
    let path = HostPath::absolute(base_image(&image.digest()).as_guest());
    std::fs::create_dir_all(path.as_path())
        .map_err(|e| Context::new("failed to create cache directory", e))?;
    connected.console.log(Level::Debug, &format!("Saving image metadata to {path}..."));
    let write = || Layout::create(&path)?.write_sparse(image);
    write().map_err(|e: cnb_image::ImageError| Context::new("failed to save layout image", e))?;
    Ok(looked)
}

/// The cache of a build, open.
pub(crate) enum Cache {
    /// A directory.
    Volume(Volume),
    /// An image, if it is there yet.
    Image(Option<Box<Image>>),
}

impl Cache {
    /// Opens the cache that the inputs name, if they do; an image comes before a directory.
    pub(crate) fn open(connected: &Connected<'_>) -> Result<Option<Self>, Failure> {
        let name = &connected.names.cache_image;
        if !name.is_empty() {
            let failed = |e: ImagesError| {
                Failure::file("create image cache")(Context {
                    text: format!("accessing cache image \"{name}\""),
                    source: e.into(),
                })
            };
            let looked = look_in_registry(&connected.registry, name).map_err(failed)?;
            let image = match looked.image {
                Some(image) if !is_whole(connected, name, &image).map_err(failed)? => {
                    let text = format!("Ignoring cache image \"{name}\" because it was corrupt");
                    connected.console.log(Level::Info, &text);
                    None
                }
                other => other,
            };
            return Ok(Some(Self::Image(image.map(Box::new))));
        }
        if connected.inputs.text("cache-dir").is_empty() {
            return Ok(None);
        }
        let dir = HostPath::absolute(connected.inputs.path("cache-dir").as_guest());
        let volume = Volume::open(&dir).map_err(Failure::file("create volume cache"))?;
        Ok(Some(Self::Volume(volume)))
    }
}

fn is_whole(connected: &Connected<'_>, name: &str, image: &Image) -> Result<bool, ImagesError> {
    Ok(connected.registry.has_layers(&name.parse()?, image)?)
}

/// Brings layers back.
pub(crate) fn restore(
    connected: &Connected<'_>,
    group: &Group,
    analyzed: &Analyzed,
    cache: Option<&Cache>,
) -> Result<(), Failure> {
    let Connected { inputs, console, root, .. } = connected;
    let _timer = Timer::start(console, "Restorer");
    let source = match cache {
        None => CacheSource::None,
        Some(Cache::Volume(volume)) => CacheSource::Volume(volume),
        Some(Cache::Image(image)) => CacheSource::Image(image.as_deref()),
    };
    let config = cached::Restore {
        root,
        layers: &inputs.path("layers"),
        api: inputs.platform_api,
        group,
        previous: &analyzed.metadata,
        cache: &source,
        skip_layers: inputs.skips_layers(),
        confined: false,
    };
    let events = |event: CachedEvent| match event {
        CachedEvent::CacheNotFound => console.log(Level::Info, "Layer cache not found"),
        CachedEvent::SkippingLayers => console.log(Level::Info, "Skipping buildpack layer analysis"),
        CachedEvent::Layer(event) => console.log(Level::Info, &event.to_string()),
        CachedEvent::Sboms => console.log(Level::Info, "Restoring data for SBOM from cache"),
        CachedEvent::Skipped { layer, reason } => {
            console.log(Level::Warn, &format!("Skipping restore for layer {layer}: {reason}"));
        }
    };
    cached::restore(&config, &events).map_err(|e| Failure::Restore(e.into()))
}
