//! The build phase: `bin/build` of each buildpack of the group, in the sandbox.

use std::cell::RefCell;
use std::time::Instant;

use cnb_builder::{BuildError, Config, Event as Told, metadata_path};
use cnb_detector::Detected;
use cnb_fs::GuestPath;
use cnb_spec::platform::metadata_toml::BuildMetadata;

use crate::build::{API, Known, LAYERS, Session};
use crate::enter::World;
use crate::{Event, Failure, FailureKind, Phase};

/// Names that the specification keeps from layers, beside which its own files lie (requirement A55).
const NO_LAYERS: [&str; 3] = ["build", "launch", "store"];

/// Runs the buildpacks and writes `metadata.toml`, which becomes part of the image.
pub(crate) fn run(
    session: &Session<'_>,
    world: &World,
    detected: &Detected,
    known: &Known,
) -> Result<BuildMetadata, Failure> {
    let config = Config {
        platform_api: API,
        app: session.request.workspace.clone(),
        layers: GuestPath::new(LAYERS),
        buildpacks: world.buildpacks.clone(),
        platform: world.platform_dir.clone(),
        build_config: GuestPath::new("/cnb/build-config"),
        scratch: world.scratch.clone(),
        group: detected.group.clone(),
        plan: detected.plan.clone(),
        target: known.analyzed.run_image.as_ref().and_then(|r| r.target.clone()).unwrap_or_default(),
        exec_env: session.request.exec_env.clone(),
        env: world.env.clone(),
    };
    let started = RefCell::new(Instant::now());
    let events = |told: Told| match &told {
        Told::Starting(name) => {
            started.replace(Instant::now());
            session.event(Event::BuildpackStarted(name));
        }
        Told::Finished(name) => session.event(Event::BuildpackFinished(name, started.borrow().elapsed())),
        Told::Output(bytes) => session.event(Event::Output(bytes)),
        Told::ReadingOsRelease => session.debug(&told.to_string()),
        _ => session.warn(&told.to_string()),
    };
    let built = cnb_builder::build(&config, &world.root, &world.sandbox, &events).map_err(failure)?;
    for module in &config.group.group {
        let layers = config.layers.join(module.id.escaped());
        for name in NO_LAYERS.iter().filter(|name| world.root.is_dir(&layers.join(name)).is_ok_and(|is| is)) {
            session.warn(&format!(
                "the buildpack {}@{} is not as specified: it has a layer called `{name}`",
                module.id, module.version
            ));
        }
    }
    let path = metadata_path(&config.layers);
    // Whatever a buildpack put there is in the way.
    let written = world
        .root
        .remove_tree(&GuestPath::new(LAYERS).join("config"))
        .and_then(|()| world.root.write(&path, built.metadata.to_toml(API).as_bytes(), 0o644));
    written.map_err(|e| {
        Failure::new(FailureKind::Phase(Phase::Build), "failed to write the metadata of the build").because(e)
    })?;
    Ok(built.metadata)
}

fn failure(error: BuildError) -> Failure {
    let kind = match error {
        BuildError::Failed { .. } | BuildError::Start { .. } => FailureKind::BuildpackFailed,
        _ => FailureKind::Phase(Phase::Build),
    };
    if matches!(error, BuildError::Failed { .. }) {
        let failure = Failure::new(kind, error.to_string());
        return failure.hint("what the buildpack printed above says why");
    }
    Failure::new(kind, "failed to build").because(error)
}
