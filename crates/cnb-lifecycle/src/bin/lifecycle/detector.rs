//! The detector: read the inputs, detect, generate, write `group.toml`, `plan.toml` and `analyzed.toml`
//! (requirements B34 to B43).

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::thread;

use cnb_detector::{Config, Detected, Event, GenerateConfig, detect, generate};
use cnb_fs::{GuestPath, Root, toml_file};
use cnb_sandbox::Direct;
use cnb_spec::env::Env;
use cnb_spec::platform::analyzed_toml::Analyzed;
use cnb_spec::platform::order_toml::OrderFile;
use cnb_spec::platform::run_toml::RunFile;
use cnb_spec::platform::system_toml::{System, SystemFile};
use cnb_spec::target::Target;

use crate::console::{Console, Level};
use crate::exit::Failure;
use crate::experimental;
use crate::inputs::Inputs;
use crate::temporary::Temporary;
use crate::timer::Timer;

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let root = Root::host().map_err(Failure::file("initialize detector"))?;
    let analyzed = read_analyzed(&root, &inputs.path("analyzed"), console)
        .map_err(Failure::file("initialize detector"))?;
    let detected = detect_group(inputs, env, console, &analyzed)?;
    write(inputs, &root, &detected)?;
    if detected.group.group_extensions.is_empty() {
        return Ok(());
    }
    generate_files(inputs, env, console, &root, analyzed, detected)
}

/// Writes `group.toml` and `plan.toml`.
pub(crate) fn write(inputs: &Inputs, root: &Root, detected: &Detected) -> Result<(), Failure> {
    write_file(root, &inputs.path("group"), &detected.group.to_toml(), "write group file")?;
    write_file(root, &inputs.path("plan"), &detected.plan.to_toml(), "write plan file")
}

/// Chooses a group and resolves its plan.
pub(crate) fn detect_group(
    inputs: &Inputs,
    env: &Env,
    console: &Console,
    analyzed: &Analyzed,
) -> Result<Detected, Failure> {
    let root = Root::host().map_err(Failure::file("initialize detector"))?;
    let temporary = Temporary::create(env).map_err(Failure::file("initialize detector"))?;
    let order_path = inputs.order_path(|path| root.exists(path).unwrap_or(false));
    let order: OrderFile = toml_file::read(&root, &order_path)
        .map_err(Failure::file("initialize detector: reading order: failed to read order file"))?;
    let system = read_system(inputs, &root, console)?;
    if !order.order_extensions.is_empty() && !inputs.platform_api.extensions_are_stable() {
        experimental::guard(experimental::DOCKERFILES, env, console)?;
    }
    let config = Config {
        platform_api: inputs.platform_api,
        app: inputs.path("app"),
        buildpacks: inputs.path("buildpacks"),
        extensions: inputs.path("extensions"),
        platform: inputs.path("platform"),
        build_config: inputs.path("build-config"),
        scratch: temporary.path(),
        order,
        system,
        target: target_of(analyzed),
        exec_env: inputs.exec_env()?,
        env: env.clone(),
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).saturating_mul(WIDTH),
    };
    detect_and_tell(&config, &root, console)
}

/// Returns the target of the run image, as far as it is known.
fn target_of(analyzed: &Analyzed) -> Target {
    analyzed.run_image.as_ref().and_then(|r| r.target.clone()).unwrap_or_default()
}

/// Lets the extensions of the group generate, and writes what that changes.
fn generate_files(
    inputs: &Inputs,
    env: &Env,
    console: &Console,
    root: &Root,
    analyzed: Analyzed,
    detected: Detected,
) -> Result<(), Failure> {
    let temporary = Temporary::create(env).map_err(Failure::file("initialize generator"))?;
    let run_images: Option<RunFile> = toml_file::read_if_exists(root, &inputs.path("run"))
        .map_err(Failure::file("initialize generator: reading run"))?;
    if run_images.is_none() {
        console.log(Level::Info, &format!("No run metadata found at path \"{}\"", inputs.path("run")));
    }
    let generating = GenerateConfig {
        platform_api: inputs.platform_api,
        app: inputs.path("app"),
        extensions: inputs.path("extensions"),
        generated: inputs.path("generated"),
        platform: inputs.path("platform"),
        build_config: inputs.path("build-config"),
        scratch: temporary.path(),
        group: detected.group.group_extensions,
        plan: detected.plan,
        run_image: analyzed.run_image.clone(),
        run_images: run_images.unwrap_or_default(),
        exec_env: inputs.exec_env()?,
        env: env.clone(),
    };
    let timer = Timer::start(console, "Generator");
    let generated =
        generate(&generating, root, &Direct, &|event| tell(console, &event)).map_err(Failure::Generate)?;
    drop(timer);
    let analyzed = Analyzed { run_image: generated.run_image, ..analyzed };
    write_file(
        root,
        &inputs.path("analyzed"),
        &analyzed.to_toml(inputs.platform_api),
        "write analyzed file",
    )?;
    write_file(root, &inputs.path("plan"), &generated.plan.to_toml(), "write plan file")
}

/// How many `bin/detect` run at once on each processor: most of them only look at files.
const WIDTH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// Runs detection; the lines about groups are kept until it ends, since all are shown when it fails (H10).
fn detect_and_tell(config: &Config, root: &Root, console: &Console) -> Result<Detected, Failure> {
    let _timer = Timer::start(console, "Detector");
    let report = RefCell::new(Vec::new());
    let detected = detect(config, root, &Direct, &|event| match event {
        Event::ReadingOsRelease | Event::CheckingTarget(_) | Event::OtherExecEnv { .. } => {
            tell(console, &event);
        }
        event => report.borrow_mut().push(event),
    });
    for event in report.into_inner() {
        if detected.is_err() || console.shows(level(&event)) {
            console.print(level(&event), event.to_string().as_bytes());
            if let Event::Output { text, .. } = &event {
                console.print(level(&event), text);
            }
        }
    }
    detected.map_err(Failure::Detect)
}

fn tell(console: &Console, event: &Event) {
    if let Event::Generating(bytes) = event {
        console.raw(bytes);
    } else {
        console.log(level(event), &event.to_string());
    }
}

/// Returns how much an event matters (requirements H11 to H13).
fn level(event: &Event) -> Level {
    match event {
        Event::NotRecommended { .. } | Event::UnlistedRunImage(_) => Level::Warn,
        Event::ReadingOsRelease
        | Event::Err(..)
        | Event::Broken { .. }
        | Event::Participating { .. }
        | Event::Participant { .. }
        | Event::Generating(_)
        | Event::Output { broken: true, .. } => Level::Info,
        Event::CheckingTarget(_)
        | Event::OtherExecEnv { .. }
        | Event::Output { .. }
        | Event::Results
        | Event::Passed(_)
        | Event::Skipped(_)
        | Event::Failed(_)
        | Event::NoViableBuildpacks
        | Event::TooManyPlans(_)
        | Event::Resolving(_)
        | Event::Unfit { .. } => Level::Debug,
    }
}

/// Reads `analyzed.toml`; a missing one only warns (requirement A18).
pub(crate) fn read_analyzed(
    root: &Root,
    path: &GuestPath,
    console: &Console,
) -> Result<Analyzed, toml_file::TomlFileError> {
    let analyzed = toml_file::read_if_exists(root, path)?;
    if analyzed.is_none() {
        console.log(Level::Warn, &format!("No analyzed metadata found at path \"{path}\""));
    }
    Ok(analyzed.unwrap_or_default())
}

fn read_system(inputs: &Inputs, root: &Root, console: &Console) -> Result<System, Failure> {
    if !inputs.platform_api.has_system_buildpacks() {
        return Ok(System::default());
    }
    let path = inputs.path("system");
    let file: Option<SystemFile> = toml_file::read_if_exists(root, &path)
        .map_err(Failure::file("initialize detector: reading system: failed to read system file"))?;
    if file.is_none() {
        console.log(Level::Debug, &format!("No system buildpacks found at path \"{path}\""));
    }
    Ok(file.unwrap_or_default().system)
}

fn write_file(root: &Root, path: &GuestPath, text: &str, action: &'static str) -> Result<(), Failure> {
    root.write(path, text.as_bytes(), 0o666).map_err(Failure::file(action))
}
