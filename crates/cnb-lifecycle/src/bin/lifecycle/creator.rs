//! The creator: all phases of a build in one process (requirements B83 to B87).

use cnb_daemon::Engine;
use cnb_lifecycle::images::Images;
use cnb_spec::env::Env;
use cnb_spec::fault;

use crate::connected::Connected;
use crate::console::Console;
use crate::exit::Failure;
use crate::inputs::Inputs;
use crate::names::Names;
use crate::phase::Phase;
use crate::restorer::{self, Cache};
use crate::{analyzer, builder, detector, exporter, privileges};

/// Runs all phases.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let names = Names::resolve(Phase::Creator, inputs, env, console)?;
    names.check(Phase::Creator, inputs, console)?;
    let dirs = inputs.dirs(&["cache-dir", "launch-cache", "layers"]);
    let mut connected = Connected::new(inputs, env, console, names, &[], &dirs)?;
    privileges::set_user_environment(&mut connected.env, connected.owner.uid)?;
    let cache = Cache::open(&connected)?;

    console.phase("ANALYZING");
    let analyzed = analyzer::analyze(&connected)?;
    analyzer::write(&connected, &analyzed)?;

    console.phase("DETECTING");
    let detected = detector::detect_group(inputs, &connected.env, console, &analyzed)?;
    if !detected.group.group_extensions.is_empty() {
        return Err(Failure::CreatorExtensions);
    }
    detector::write(inputs, &connected.root, &detected)?;

    if !inputs.skips_layers()
        || (inputs.platform_api.restores_store_when_skipping() && !fault::is("store-skipped"))
    {
        console.phase("RESTORING");
        restorer::restore(&connected, &detected.group, &analyzed, cache.as_ref())?;
    }

    console.phase("BUILDING");
    let target = analyzed.run_image.as_ref().and_then(|r| r.target.clone()).unwrap_or_default();
    let group = detected.group.clone();
    let engine = match &connected.images {
        Images::Engine(engine) => Some(engine),
        _ => None,
    };
    while_alive(engine, console, || {
        builder::build_group(inputs, &connected.env, console, group, detected.plan, target)
    })?;

    console.phase("EXPORTING");
    if let Some(known) = analyzed.run_image.as_ref().filter(|r| !r.reference.is_empty()) {
        // Exactly the image that was analyzed, whatever has become of the name since.
        connected.names.run_image.clone_from(&known.reference);
    }
    exporter::export(&connected, &detected.group, &analyzed, cache)
}

/// Runs `work`; the connection to the engine is used every half second, so that it stays open (B18).
fn while_alive<T>(engine: Option<&Engine>, console: &Console, work: impl FnOnce() -> T) -> T {
    let Some(engine) = engine else { return work() };
    let (done, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let pause = std::time::Duration::from_millis(500);
            while ended.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if let Err(e) = engine.ping() {
                    let text = format!("ping error: {}", crate::exit::describe(&e));
                    console.log(crate::console::Level::Warn, &text);
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}
