//! `bin/generate` of the group's extensions, and what their Dockerfiles mean for the run image.
//!
//! Image Extension Specification, "Phase: Generation"; requirements D4 to D17.

use std::io;

use cnb_dirs::base_target;
use cnb_dirs::scratch::Scratch;
use cnb_dirs::store::{self, LookUpError, Module};
use cnb_dirs::variables::{self, Overrides};
use cnb_fs::toml_file::{self, LIMIT, TomlFileError};
use cnb_fs::{FsError, GuestPath, Kind, Root};
use cnb_sandbox::{Exit, Invocation, Run};
use cnb_spec::api::{BuildpackApi, PlatformApi};
use cnb_spec::buildpack::extend_config_toml::ExtendConfig;
use cnb_spec::env::Env;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::id::{ModuleId, ModuleKind};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::platform::analyzed_toml::AnalyzedRunImage;
use cnb_spec::platform::group_toml::GroupElement;
use cnb_spec::platform::plan_toml::Plan;
use cnb_spec::platform::run_toml::RunFile;
use cnb_spec::target::Target;

use crate::Event;
use crate::dockerfile::{Dockerfile, DockerfileError};

/// How deep a generated tree may be; deeper ones are links that lead round in circles.
const DEPTH_LIMIT: usize = 64;

/// The inputs of generation.
#[derive(Clone, Debug)]
pub struct GenerateConfig {
    /// The Platform API in use.
    pub platform_api: PlatformApi,
    /// `<app>`.
    pub app: GuestPath,
    /// `<extensions>`.
    pub extensions: GuestPath,
    /// `<generated>`.
    pub generated: GuestPath,
    /// `<platform>`.
    pub platform: GuestPath,
    /// `<build-config>`.
    pub build_config: GuestPath,
    /// Where temporary files of the guest go; the build user can write there.
    pub scratch: GuestPath,
    /// The extensions of the detected group, in order.
    pub group: Vec<GroupElement>,
    /// The detected plan.
    pub plan: Plan,
    /// The run image that analysis chose.
    pub run_image: Option<AnalyzedRunImage>,
    /// The run images that the platform lists.
    pub run_images: RunFile,
    /// The execution environment of this build.
    pub exec_env: ExecEnv,
    /// The environment of the lifecycle, of which extensions inherit a fixed part.
    pub env: Env,
}

/// What generation changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generated {
    /// The run image for `analyzed.toml`.
    pub run_image: Option<AnalyzedRunImage>,
    /// The plan without what extensions met (requirement D16).
    pub plan: Plan,
}

/// Why generation failed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A `bin/generate` exited with another code than 0 (exit code 91).
    #[error("{}", exit_text(*.0))]
    Failed(Exit),
    /// A `bin/generate` could not be started (exit code 91).
    #[error("failed to start `{program}`")]
    Start {
        /// The program.
        program: GuestPath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An extension speaks a Buildpack API that we do not (exit code 12).
    #[error(transparent)]
    Api(#[from] store::UnsupportedApi),
    /// An extension is missing or unreadable.
    #[error(transparent)]
    LookUp(#[from] LookUpError),
    /// A file could not be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The arguments for Dockerfiles cannot be read.
    #[error("validating extend config")]
    ExtendConfig(#[source] TomlFileError),
    /// An argument has a name that the lifecycle uses itself.
    #[error("validating extend config: invalid content: arg with name \"{0}\" is not allowed")]
    ReservedArg(String),
    /// A Dockerfile is not one that an extension may generate.
    #[error("failed to parse {file} for extension {extension}")]
    Dockerfile {
        /// `build.Dockerfile` or `run.Dockerfile`.
        file: &'static str,
        /// The ID of the extension.
        extension: ModuleId,
        /// Why.
        #[source]
        source: DockerfileError,
    },
    /// A shared and a specific context folder lie side by side (requirement D7).
    #[error("image-specific context dir is provided together with a shared context")]
    Contexts,
    /// A generated tree has no end.
    #[error("`{0}` is nested more than {DEPTH_LIMIT} directories deep")]
    TooDeep(GuestPath),
}

fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("signal: {signal}"),
    }
}

/// A Dockerfile that an extension left.
struct Found {
    extension: ModuleId,
    path: GuestPath,
    kind: FoundKind,
}

enum FoundKind {
    Build,
    Run { new_base: Option<String>, extends: bool, ignored: bool },
}

/// Runs `bin/generate` of each extension and applies what their Dockerfiles say of the run image.
pub fn generate(
    config: &GenerateConfig,
    root: &Root,
    run: &dyn Run,
    events: &dyn Fn(Event),
) -> Result<Generated, GenerateError> {
    let known = config.run_image.as_ref().and_then(|r| r.target.clone()).unwrap_or_default();
    if base_target::needs_os_release(&known) {
        events(Event::ReadingOsRelease);
    }
    let target = base_target::complete(root, &known);
    let outputs = if config.platform_api.has_extension_contexts() {
        None
    } else {
        Some(Scratch::create(root, &config.scratch, "generated")?)
    };
    let parent = outputs.as_ref().map_or(&config.generated, Scratch::path);
    let mut plan = config.plan.clone();
    let mut found = Vec::new();
    for element in &config.group {
        let api = store::check_api(ModuleKind::Extension, &element.id, &element.version, &element.api)?;
        let kind = ModuleKind::Extension;
        let module = store::look_up(root, &config.extensions, kind, &element.id, &element.version)?;
        let output = parent.join(element.id.escaped());
        let own_plan = plan.for_module(kind, &element.id);
        run_generate(
            config,
            root,
            run,
            events,
            &Step { module: &module, api, output: &output, target: &target },
            &own_plan.to_toml(),
        )?;
        found.extend(dockerfiles(root, &output, &element.id, events)?);
        let met: Vec<String> = own_plan.entries.into_iter().map(|r| r.name).collect();
        plan.remove_met(&met);
    }
    let run_image = choose_run_image(config, &mut found, events);
    place(config, root, &found)?;
    Ok(Generated { run_image, plan })
}

struct Step<'a> {
    module: &'a Module,
    api: BuildpackApi,
    output: &'a GuestPath,
    target: &'a Target,
}

fn run_generate(
    config: &GenerateConfig,
    root: &Root,
    run: &dyn Run,
    events: &dyn Fn(Event),
    step: &Step<'_>,
    plan: &str,
) -> Result<(), GenerateError> {
    let Step { module, api, output, target } = step;
    root.create_dir_all(output)?;
    let program = module.dir.join("bin/generate");
    if root.metadata(&program)?.is_none() {
        // Its folder is what it would have generated; the extender looks for it in `<generated>` (Δ24).
        return copy_tree(root, &module.dir.join("generate"), output, 0);
    }
    let scratch = Scratch::create(root, &config.scratch, "plan")?;
    let plan_path = scratch.path().join("plan.toml");
    root.write(&plan_path, plan.as_bytes(), 0o666)?;
    let mut env = variables::inherited(&config.env);
    let platform = (!module.info.clear_env).then_some(&config.platform);
    Overrides { platform, build_config: &config.build_config }.apply(root, &mut env)?;
    for (name, path) in [
        ("CNB_BP_PLAN_PATH", &plan_path),
        ("CNB_EXTENSION_DIR", &module.dir),
        ("CNB_OUTPUT_DIR", output),
        ("CNB_PLATFORM_DIR", &config.platform),
    ] {
        env.insert(name.into(), path.as_os_str().into());
    }
    if api.has_targets() {
        variables::set_target(&mut env, target);
    }
    if api.has_exec_env() && !config.exec_env.as_str().is_empty() {
        env.insert("CNB_EXEC_ENV".into(), config.exec_env.as_str().into());
    }
    let args = [output, &config.platform, &plan_path].map(|path| path.as_os_str().into()).to_vec();
    let invocation = Invocation { program: program.clone(), args, env, cwd: config.app.clone() };
    match run.run(&invocation, &mut |bytes| events(Event::Generating(bytes.to_vec()))) {
        Ok(exit) if exit.success() => Ok(()),
        Ok(exit) => Err(GenerateError::Failed(exit)),
        Err(source) => Err(GenerateError::Start { program, source }),
    }
}

fn copy_tree(root: &Root, from: &GuestPath, to: &GuestPath, depth: usize) -> Result<(), GenerateError> {
    if depth > DEPTH_LIMIT {
        return Err(GenerateError::TooDeep(from.clone()));
    }
    for entry in root.list(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        if entry.kind == Kind::Dir || (entry.kind == Kind::Link && root.is_dir(&source)?) {
            root.create_dir_all(&target)?;
            copy_tree(root, &source, &target, depth + 1)?;
        } else {
            let mode = root.metadata(&source)?.map_or(0o644, |stat| stat.st_mode & 0o777);
            copy_file(root, &source, &target, mode)?;
        }
    }
    Ok(())
}

fn copy_file(root: &Root, from: &GuestPath, to: &GuestPath, mode: u32) -> Result<(), FsError> {
    // Read in parts: contexts may hold large files.
    let mut source = root.open_file(from)?;
    root.write(to, b"", mode)?;
    let mut target = std::fs::File::from(root.open(to, rustix::fs::OFlags::WRONLY)?);
    io::copy(&mut source, &mut target).map_err(FsError::on("write", to.as_guest()))?;
    Ok(())
}

/// Reads and checks what an extension left in its output folder.
fn dockerfiles(
    root: &Root,
    output: &GuestPath,
    extension: &ModuleId,
    events: &dyn Fn(Event),
) -> Result<Vec<Found>, GenerateError> {
    let config: Option<ExtendConfig> = toml_file::read_if_exists(root, &output.join("extend-config.toml"))
        .map_err(GenerateError::ExtendConfig)?;
    if let Some(name) = config.unwrap_or_default().reserved_arg() {
        return Err(GenerateError::ReservedArg(name.to_owned()));
    }
    let mut found = Vec::new();
    for (file, is_run) in [("run.Dockerfile", true), ("build.Dockerfile", false)] {
        let path = output.join(file);
        let Some(bytes) = root.read_if_exists(&path, LIMIT)? else { continue };
        let wrap = |source| GenerateError::Dockerfile { file, extension: extension.clone(), source };
        let dockerfile = Dockerfile::parse(&String::from_utf8_lossy(&bytes)).map_err(wrap)?;
        let kind = if is_run {
            let effect = dockerfile.check_run().map_err(wrap)?;
            FoundKind::Run { new_base: effect.new_base, extends: effect.extends, ignored: false }
        } else {
            dockerfile.check_build().map_err(wrap)?;
            FoundKind::Build
        };
        for (command, line) in dockerfile.not_recommended() {
            events(Event::NotRecommended { file, command: command.to_owned(), line });
        }
        found.push(Found { extension: extension.clone(), path, kind });
    }
    let has = |name: &str| root.is_dir(&output.join(name));
    if has("context")? && (has("context.build")? || has("context.run")?) {
        return Err(GenerateError::Contexts);
    }
    Ok(found)
}

/// Decides about the run image: the last run.Dockerfile that names another base wins (D13 to D15).
fn choose_run_image(
    config: &GenerateConfig,
    found: &mut [Found],
    events: &dyn Fn(Event),
) -> Option<AnalyzedRunImage> {
    let (mut switched, mut extend) = (None, false);
    for dockerfile in found.iter_mut().rev() {
        let FoundKind::Run { new_base, extends, ignored } = &mut dockerfile.kind else { continue };
        if switched.is_some() {
            *ignored = true;
            continue;
        }
        extend |= *extends;
        switched.clone_from(new_base);
    }
    let mut run_image = config.run_image.clone();
    let current = run_image.as_ref().map_or("", |r| r.image.as_str());
    if let Some(image) = switched.filter(|image| !config.platform_api.has_run_toml() || image != current) {
        if !is_listed(&config.run_images, &image) {
            events(Event::UnlistedRunImage(image.clone()));
        }
        // The target is unknown until somebody looks; the name stands in for the reference (Δ15).
        run_image = Some(AnalyzedRunImage { reference: image.clone(), image, extend, target: None });
    }
    if let Some(run_image) = &mut run_image {
        run_image.extend |= extend;
    }
    run_image
}

fn is_listed(images: &RunFile, image: &str) -> bool {
    let wanted = canonical(image);
    images
        .images
        .iter()
        .flat_map(|i| std::iter::once(&i.image).chain(&i.mirrors))
        .any(|name| canonical(name) == wanted)
}

/// Returns a name in full, without its digest, so that spellings of one name are equal.
fn canonical(name: &str) -> String {
    let bare = name.split("@sha256:").next().unwrap_or(name);
    match bare.parse::<ImageRef>() {
        Ok(reference) => format!("{}:{}", reference.repository(), reference.tag().unwrap_or_default()),
        Err(_) => name.to_owned(),
    }
}

/// Puts Dockerfiles where the extender looks, and those without effect out of its way (requirement D9).
fn place(config: &GenerateConfig, root: &Root, found: &[Found]) -> Result<(), FsError> {
    for Found { extension, path, kind } in found {
        let (kind, ignored) = match kind {
            FoundKind::Build => ("build", false),
            FoundKind::Run { ignored, .. } => ("run", *ignored),
        };
        if config.platform_api.has_extension_contexts() {
            if ignored {
                let mut aside = path.as_os_str().to_os_string();
                aside.push(".ignore");
                root.rename(path, &GuestPath::new(aside))?;
            }
            continue;
        }
        let to = config.generated.join(kind).join(extension.escaped());
        copy_file(root, path, &to.join(if ignored { "Dockerfile.ignore" } else { "Dockerfile" }), 0o644)?;
        let Some(own) = path.parent().map(|p| p.join("extend-config.toml")) else { continue };
        if root.exists(&own)? {
            copy_file(root, &own, &to.join("extend-config.toml"), 0o644)?;
        }
    }
    Ok(())
}
