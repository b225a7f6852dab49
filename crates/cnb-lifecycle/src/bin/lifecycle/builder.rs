//! The builder: read the inputs, build, write `config/metadata.toml` (requirements B57 to B64).

use cnb_builder::{Config, Event, build, metadata_path};
use cnb_fs::{Root, toml_file};
use cnb_sandbox::Direct;
use cnb_spec::env::Env;
use cnb_spec::platform::group_toml::Group;
use cnb_spec::platform::plan_toml::Plan;
use cnb_spec::target::Target;

use crate::console::{Console, Level};
use crate::detector::read_analyzed;
use crate::exit::Failure;
use crate::inputs::Inputs;
use crate::phase::Phase;
use crate::restorer::check_apis;
use crate::temporary::Temporary;
use crate::timer::Timer;

/// Refuses to run buildpacks as root (requirement B16).
pub(crate) fn refuse_root() -> Result<(), Failure> {
    if rustix::process::getuid().is_root() { Err(Failure::Privileged(Phase::Builder)) } else { Ok(()) }
}

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let root = Root::host().map_err(Failure::file("initialize builder"))?;
    let group: Group =
        toml_file::read(&root, &inputs.path("group")).map_err(Failure::file("read group file"))?;
    let plan = toml_file::read(&root, &inputs.path("plan")).map_err(Failure::file("read plan file"))?;
    check_apis(&group)?;
    let analyzed = read_analyzed(&root, &inputs.path("analyzed"), console)
        .map_err(Failure::file("read analyzed file"))?;
    let target = analyzed.run_image.and_then(|r| r.target).unwrap_or_default();
    build_group(inputs, env, console, group, plan, target)
}

/// Builds and writes `config/metadata.toml`.
pub(crate) fn build_group(
    inputs: &Inputs,
    env: &Env,
    console: &Console,
    group: Group,
    plan: Plan,
    target: Target,
) -> Result<(), Failure> {
    let root = Root::host().map_err(Failure::file("initialize builder"))?;
    let temporary = Temporary::create(env).map_err(Failure::file("initialize builder"))?;
    let config = Config {
        platform_api: inputs.platform_api,
        app: inputs.path("app"),
        layers: inputs.path("layers"),
        buildpacks: inputs.path("buildpacks"),
        platform: inputs.path("platform"),
        build_config: inputs.path("build-config"),
        scratch: temporary.path(),
        group,
        plan,
        target,
        exec_env: inputs.exec_env()?,
        env: env.clone(),
    };
    let timer = Timer::start(console, "Builder");
    let built = build(&config, &root, &Direct, &|event| tell(console, &event)).map_err(Failure::Build)?;
    drop(timer);
    let text = built.metadata.to_toml(inputs.platform_api);
    root.write(&metadata_path(&config.layers), text.as_bytes(), 0o666)
        .map_err(Failure::file("write build metadata"))
}

fn tell(console: &Console, event: &Event) {
    let level = match event {
        Event::Output(bytes) => return console.raw(bytes),
        Event::Starting(_) | Event::Finished(_) => Level::Debug,
        Event::ReadingOsRelease => Level::Info,
        Event::LegacyBom
        | Event::IgnoredWorkingDir(_)
        | Event::RedefinedDefault(_)
        | Event::NamelessLayer(_) => Level::Warn,
    };
    console.log(level, &event.to_string());
}
