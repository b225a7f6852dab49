//! Run `bin/build` of each buildpack in the group and collect what it left.
//!
//! [`build`] reaches the build's world through [`cnb_fs::Root`], runs executables through
//! [`cnb_sandbox::Run`], and tells what happens as [`Event`]s. Nothing that a buildpack leaves behind is
//! trusted: links, devices, huge files and odd names end in errors that name the file.
//!
//! Platform Interface Specification, "builder"; Buildpack Interface Specification, "Phase #3: Build";
//! requirements B57 to B64, C1 to C24, C53 to C60, C64 to C67.
//!
//! Reading order: this file (the phase), [`mod@env`] (what layers do to the environment), [`collect`] (what one
//! buildpack left), [`processes`], [`sbom`].

pub mod collect;
pub mod env;
mod error;
mod event;
pub mod processes;
pub mod sbom;

use cnb_dirs::scratch::Scratch;
use cnb_dirs::store::{self, Module};
use cnb_dirs::variables::{self, Overrides};
use cnb_dirs::{base_target, layers};
use cnb_fs::{GuestPath, Root};
use cnb_sandbox::{Invocation, Run};
use cnb_spec::api::{BuildpackApi, PlatformApi};
use cnb_spec::buildpack::buildpack_plan::BuildpackPlan;
use cnb_spec::env::Env;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::id::ModuleKind;
use cnb_spec::platform::group_toml::Group;
use cnb_spec::platform::metadata_toml::BuildMetadata;
use cnb_spec::platform::plan_toml::Plan;
use cnb_spec::target::Target;

pub use error::BuildError;
pub use event::Event;

use crate::processes::Processes;
use crate::sbom::Collected;

/// The inputs of a build.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Platform API in use.
    pub platform_api: PlatformApi,
    /// `<app>`.
    pub app: GuestPath,
    /// `<layers>`.
    pub layers: GuestPath,
    /// `<buildpacks>`.
    pub buildpacks: GuestPath,
    /// `<platform>`.
    pub platform: GuestPath,
    /// `<build-config>`.
    pub build_config: GuestPath,
    /// Where temporary files of the guest go; the build user can read there.
    pub scratch: GuestPath,
    /// The detected group.
    pub group: Group,
    /// The detected plan, without what extensions met.
    pub plan: Plan,
    /// The target of the run image, as far as it is known.
    pub target: Target,
    /// The execution environment of this build.
    pub exec_env: ExecEnv,
    /// The environment of the lifecycle, of which buildpacks inherit a fixed part.
    pub env: Env,
}

/// What a build left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Built {
    /// What the buildpacks said of the app image, to be written as `<layers>/config/metadata.toml`.
    pub metadata: BuildMetadata,
}

/// Where the metadata of a build lies.
pub fn metadata_path(layers: &GuestPath) -> GuestPath {
    layers.join("config/metadata.toml")
}

/// Builds with each buildpack of the group in turn; the first failure ends the build.
///
/// SBOM files are left in `<layers>/sbom` for the exporter.
///
/// # Errors
/// [`BuildError`] tells whether a `bin/build` failed or something around it.
pub fn build(
    config: &Config,
    root: &Root,
    run: &dyn Run,
    events: &dyn Fn(Event),
) -> Result<Built, BuildError> {
    let check = |e: &cnb_spec::platform::group_toml::GroupElement| {
        store::check_api(ModuleKind::Buildpack, &e.id, &e.version, &e.api)
    };
    let apis = config.group.group.iter().map(check).collect::<Result<Vec<_>, _>>()?;
    sbom::clean(root, &config.layers)?;
    if base_target::needs_os_release(&config.target) {
        events(Event::ReadingOsRelease);
    }
    let mut work = Work {
        config,
        root,
        run,
        events,
        target: base_target::complete(root, &config.target),
        env: variables::inherited(&config.env),
        plan: config.plan.clone(),
    };
    let (mut metadata, mut processes, mut collected) =
        (BuildMetadata::default(), Processes::default(), Collected::default());
    for (element, api) in config.group.group.iter().zip(apis) {
        events(Event::Starting(element.to_string()));
        let all = &config.buildpacks;
        let module = store::look_up(root, all, ModuleKind::Buildpack, &element.id, &element.version)?;
        let left = work.build_one(&module, api)?;
        if let Some(redefined) = processes.add(left.processes) {
            events(Event::RedefinedDefault(redefined));
        }
        metadata.labels.extend(left.labels);
        metadata.slices.extend(left.slices);
        collected.files.extend(left.sbom_files);
        collected.launch_bom.extend(left.launch_bom);
        collected.build_bom.extend(left.build_bom);
        events(Event::Finished(element.to_string()));
    }
    if config.platform_api.has_sbom() {
        collected.copy_files(root, &config.layers)?;
    }
    if config.platform_api.has_legacy_sbom_file() {
        collected.write_legacy(root, &config.layers)?;
    } else {
        metadata.bom = collected.launch_bom;
    }
    metadata.buildpacks.clone_from(&config.group.group);
    metadata.extensions.clone_from(&config.group.group_extensions);
    (metadata.processes, metadata.default_process_type) = processes.finish();
    Ok(Built { metadata })
}

/// What the buildpacks of one build share, and what they change for those after them.
struct Work<'a> {
    config: &'a Config,
    root: &'a Root,
    run: &'a dyn Run,
    events: &'a dyn Fn(Event),
    target: Target,
    env: Env,
    plan: Plan,
}

impl Work<'_> {
    fn build_one(&mut self, module: &Module, api: BuildpackApi) -> Result<collect::Left, BuildError> {
        let plan = self.plan.for_module(ModuleKind::Buildpack, &module.id);
        let layers = layers::dir_of(&self.config.layers, &module.id);
        self.root.create_dir_all(&layers)?;
        self.run_build(module, api, &layers, &plan)?;
        let left = collect::collect(self.root, &self.config.layers, module, api, &plan, self.events)?;
        env::apply_layers(self.root, &left.build_layers, &mut self.env)?;
        self.plan.remove_met(&left.met);
        Ok(left)
    }

    fn run_build(
        &self,
        module: &Module,
        api: BuildpackApi,
        layers: &GuestPath,
        plan: &BuildpackPlan,
    ) -> Result<(), BuildError> {
        let config = self.config;
        let scratch = Scratch::create(self.root, &config.scratch, "plan")?;
        let plan_path = scratch.path().join("plan.toml");
        self.root.write(&plan_path, plan.to_toml().as_bytes(), 0o666)?;
        let program = module.dir.join("bin/build");
        let invocation = Invocation {
            program: program.clone(),
            args: [layers, &config.platform, &plan_path].map(|path| path.as_os_str().into()).to_vec(),
            env: self.environment(module, api, layers, &plan_path)?,
            cwd: config.app.clone(),
        };
        let exit = self.run.run(&invocation, &mut |bytes| (self.events)(Event::Output(bytes.to_vec())));
        match exit.map_err(|source| BuildError::Start { program, source })? {
            exit if exit.success() => Ok(()),
            exit => Err(BuildError::Failed { buildpack: module.to_string(), exit }),
        }
    }

    /// Returns the environment of a `bin/build` (requirements C5 to C10).
    fn environment(
        &self,
        module: &Module,
        api: BuildpackApi,
        layers: &GuestPath,
        plan: &GuestPath,
    ) -> Result<Env, BuildError> {
        let config = self.config;
        let mut env = self.env.clone();
        let platform = (!module.info.clear_env).then_some(&config.platform);
        Overrides { platform, build_config: &config.build_config }.apply(self.root, &mut env)?;
        let mut set = |name: &str, path: &GuestPath| env.insert(name.into(), path.as_os_str().into());
        set("CNB_BUILDPACK_DIR", &module.dir);
        if api.has_path_variables() {
            set("CNB_PLATFORM_DIR", &config.platform);
            set("CNB_BP_PLAN_PATH", plan);
            set("CNB_LAYERS_DIR", layers);
        }
        if api.has_targets() {
            variables::set_target(&mut env, &self.target);
        }
        if api.has_exec_env() && !config.exec_env.as_str().is_empty() {
            env.insert("CNB_EXEC_ENV".into(), config.exec_env.as_str().into());
        }
        Ok(env)
    }
}
