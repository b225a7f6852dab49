//! The rebaser: an app image on another run image (requirements B88 to B97).

use cnb_fs::Root;
use cnb_image::Image;
use cnb_lifecycle::images::Looked;
use cnb_lifecycle::rebase::{self, Rebase};
use cnb_spec::env::Env;

use crate::connected::{self, Connected};
use crate::console::{Console, Level};
use crate::exit::{Context, Failure, Plain};
use crate::inputs::Inputs;
use crate::names::{self, Names};
use crate::phase::Phase;
use crate::timer::Timer;
use crate::{retry, saving};

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let mut names = Names::resolve(Phase::Rebaser, inputs, env, console)?;
    names.check(Phase::Rebaser, inputs, console)?;
    let is_remote = !inputs.switch("daemon");
    if is_remote {
        // Which run image it is, and so which credentials are needed, is known before they are out of reach.
        let client = connected::client_for_rebase(inputs, env)?;
        let images = cnb_lifecycle::images::Images::Registry(client);
        let app = app_image(&images, &names)?;
        choose_run_image(&mut names, &app, inputs, env)?;
    }
    let mut connected = Connected::new(inputs, env, console, names, &[], &[])?;
    let app = app_image(&connected.images, &connected.names)?;
    if !is_remote {
        choose_run_image(&mut connected.names, &app, inputs, env)?;
    }
    let run_image = retry::open(console, || connected.images.look(&connected.names.run_image))
        .map_err(Failure::file("access run image"))?;
    let Looked { image: Some(new), reference, .. } = &run_image else {
        return Err(Failure::RunImage(format!(
            "failed to access run image: there is no image `{}`",
            connected.names.run_image
        )));
    };
    let timer = Timer::start(console, "Rebaser");
    let config = Rebase {
        api: inputs.platform_api,
        app: &app,
        run_image: new,
        run_image_name: &connected.names.run_image,
        run_image_reference: reference,
        force: inputs.switch("force"),
    };
    let rebased = rebase::rebase(&config, &|mismatch| console.log(Level::Warn, &mismatch.to_string()))
        .map_err(Failure::rebase("rebase"))?;
    drop(timer);
    let saved = saving::save(&connected, &rebased, Phase::Rebaser)?;
    saved.result?;
    let root = Root::host().map_err(Failure::file("open the root directory"))?;
    root.write(&inputs.path("report"), saved.report.to_toml().as_bytes(), 0o666)
        .map_err(Failure::rebase("write rebase report"))
}

/// Reads the image that is rebased: the previous one if it is named, else what is written.
fn app_image(images: &cnb_lifecycle::images::Images, names: &Names) -> Result<Image, Failure> {
    let name = if names.previous.is_empty() { &names.image } else { &names.previous };
    let failed = |e: Box<dyn std::error::Error>| {
        Failure::rebase("set app image")(Context {
            text: "failed to access image to rebase".to_owned(),
            source: e,
        })
    };
    let looked = images.look(name).map_err(|e| failed(e.into()))?;
    looked.image.ok_or_else(|| failed(format!("there is no image `{name}`").into()))
}

/// Finds the run image where the inputs name none (B89).
fn choose_run_image(names: &mut Names, app: &Image, inputs: &Inputs, env: &Env) -> Result<(), Failure> {
    let metadata = rebase::metadata(app.config()).map_err(Failure::rebase("set app image"))?;
    if !names.run_image.is_empty() {
        return Ok(());
    }
    let none =
        "failed to parse arguments: -run-image is required when there is no run image metadata available";
    let failed = |text: &str| Failure::rebase("set app image")(Plain(text.to_owned()));
    let offered = rebase::run_image_of(&metadata, inputs.platform_api).ok_or_else(|| failed(none))?;
    let name = if names.previous.is_empty() { &names.image } else { &names.previous };
    let registry = names::parse(name)?.registry().to_owned();
    names.run_image = names::best_mirror(&offered, &registry, inputs, env).map_err(|e| match e {
        Failure::Inputs(text) => failed(&text),
        other => other,
    })?;
    Ok(())
}
