//! The images that a phase is about, found and checked before anything else (requirements B24 to B26, B44).

use cnb_fs::{Root, toml_file};
use cnb_registry::Registry;
use cnb_spec::env::Env;
use cnb_spec::fault;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::platform::run_toml::{RunFile, RunImage, StackFile};

use crate::connected;
use crate::console::{Console, Level};
use crate::exit::Failure;
use crate::inputs::Inputs;
use crate::phase::Phase;

/// The images that a phase is about; empty where it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// What is written.
    pub(crate) image: String,
    /// What else it is called.
    pub(crate) tags: Vec<String>,
    /// What was written by the build before.
    pub(crate) previous: String,
    /// What the app stands on.
    pub(crate) run_image: String,
    /// What the build stands on.
    pub(crate) build_image: String,
    /// What keeps layers between builds.
    pub(crate) cache_image: String,
}

impl Names {
    /// Takes the images that the inputs name, and finds the run image where they do not.
    pub(crate) fn resolve(
        phase: Phase,
        inputs: &Inputs,
        env: &Env,
        console: &Console,
    ) -> Result<Self, Failure> {
        let mut arguments = inputs.arguments().iter().map(|a| a.to_string_lossy().into_owned());
        let mut names = Self {
            image: arguments.next().unwrap_or_default(),
            tags: match phase {
                Phase::Analyzer | Phase::Creator => inputs.list("tag"),
                _ => arguments.collect(),
            },
            previous: inputs.text("previous-image"),
            run_image: inputs.text("run-image"),
            build_image: inputs.text("build-image"),
            cache_image: inputs.text("cache-image"),
        };
        match phase {
            Phase::Analyzer | Phase::Creator => {
                if names.previous.is_empty() {
                    names.previous.clone_from(&names.image);
                }
                if names.run_image.is_empty() {
                    names.run_image = default_run_image(inputs, env, &names.image, console)?;
                }
            }
            Phase::Rebaser => {
                let deprecated = inputs.text("image");
                if !deprecated.is_empty() {
                    if inputs.is_given("run-image") {
                        let text = "supply only one of -run-image or (deprecated) -image";
                        return Err(Failure::Inputs(text.to_owned()));
                    }
                    names.run_image = deprecated;
                }
            }
            Phase::Exporter => {
                names.previous.clear();
                refuse_run_image(inputs)?;
            }
            Phase::Detector | Phase::Restorer | Phase::Extender | Phase::Builder => {}
        }
        Ok(names)
    }

    /// Warns of what has no effect, and checks that all names are names.
    pub(crate) fn check(&self, phase: Phase, inputs: &Inputs, console: &Console) -> Result<(), Failure> {
        let has_cache = !self.cache_image.is_empty() || !inputs.text("cache-dir").is_empty();
        if matches!(phase, Phase::Exporter | Phase::Creator | Phase::Restorer) && !has_cache {
            console.log(Level::Warn, "No cached data will be used, no cache specified.");
        }
        if phase == Phase::Restorer {
            return Ok(());
        }
        let is_idle = !inputs.text("launch-cache").is_empty() && !inputs.switch("daemon");
        if is_idle && phase != Phase::Rebaser {
            console.log(Level::Warn, "Ignoring -launch-cache, only intended for use with -daemon");
        }
        for name in self.all() {
            parse(name)?;
        }
        if !inputs.switch("daemon") {
            let registry = parse(&self.image)?.registry().to_owned();
            for tag in &self.tags {
                if parse(tag)?.registry() != registry {
                    return Err(Failure::Inputs("writing to multiple registries is unsupported".to_owned()));
                }
            }
        }
        if matches!(phase, Phase::Analyzer | Phase::Creator) && inputs.switch("parallel") && !has_cache {
            console.log(
                Level::Warn,
                "Parallel export has been enabled, but it has not taken effect because no cache has been specified.",
            );
        }
        Ok(())
    }

    /// Returns every name once: what is written first.
    pub(crate) fn all(&self) -> Vec<&str> {
        let rest = [&self.previous, &self.build_image, &self.run_image, &self.cache_image];
        let mut all: Vec<&str> = Vec::new();
        for name in [&self.image].into_iter().chain(&self.tags).chain(rest) {
            if !name.is_empty() && !all.contains(&name.as_str()) {
                all.push(name);
            }
        }
        all
    }

    /// Returns the names that are in registries: with an engine, that of the cache alone.
    pub(crate) fn remote(&self, inputs: &Inputs) -> Vec<&str> {
        if inputs.switch("daemon") {
            return Some(self.cache_image.as_str()).filter(|n| !n.is_empty()).into_iter().collect();
        }
        self.all()
    }

    /// Returns the names that are written.
    pub(crate) fn destinations(&self) -> Vec<String> {
        [&self.image].into_iter().chain(&self.tags).cloned().collect()
    }
}

/// Parses a name, with the Go program's words where it is none.
pub(crate) fn parse(name: &str) -> Result<ImageRef, Failure> {
    name.parse().map_err(|e: cnb_spec::image_ref::ImageRefError| Failure::Inputs(e.to_string()))
}

/// The exporter takes the run image from `analyzed.toml`; a variable that says the same is no harm (B65).
fn refuse_run_image(inputs: &Inputs) -> Result<(), Failure> {
    let refuse = |flag: &str| Err(Failure::Inputs(format!("{flag} is unsupported")));
    if inputs.is_given("run-image") {
        return refuse("-run-image");
    }
    if inputs.text("image").is_empty() { Ok(()) } else { refuse("-image") }
}

/// Chooses the run image among those that the platform offers (requirement B25).
fn default_run_image(inputs: &Inputs, env: &Env, image: &str, console: &Console) -> Result<String, Failure> {
    let registry = parse(image)?.registry().to_owned();
    let root = Root::host().map_err(Failure::file("resolve inputs"))?;
    let offered = if inputs.platform_api.has_run_toml() {
        let file =
            read_run(inputs, &root, console).map_err(|e| Failure::Inputs(crate::exit::describe(&e)))?;
        let none = "-run-image is required when there is no run metadata available";
        file.images.into_iter().next().ok_or_else(|| Failure::Inputs(none.to_owned()))?
    } else {
        read_stack(inputs, &root, console).map_err(|e| Failure::Inputs(crate::exit::describe(&e)))?
    };
    if offered.image.is_empty() {
        return Err(Failure::Inputs("missing run image metadata (-run-image)".to_owned()));
    }
    best_mirror(&offered, &registry, inputs, env)
}

/// Chooses between a run image and its mirrors: the first on `registry` that can be read, else the first.
pub(crate) fn best_mirror(
    offered: &RunImage,
    registry: &str,
    inputs: &Inputs,
    env: &Env,
) -> Result<String, Failure> {
    let is_local = inputs.switch("daemon") || inputs.switch("layout");
    // The client ends with this function: whatever it started must be gone before privileges are dropped.
    let client: Option<Registry> =
        if is_local { None } else { Some(connected::client_for_mirrors(inputs, env)?) };
    let readable = |name: &str| match (&client, name.parse::<ImageRef>()) {
        (None, _) => true,
        (Some(client), Ok(name)) => client.check_read(&name).is_ok(),
        (Some(_), Err(_)) => false,
    };
    let registry_of = |name: &str| Some(name.parse::<ImageRef>().ok()?.registry().to_owned());
    let registry = if fault::is("mirror-registry-ignored") { "" } else { registry };
    let chosen = offered.choose(registry, registry_of, readable);
    chosen.map(str::to_owned).ok_or_else(|| Failure::Inputs("failed to find accessible run image".to_owned()))
}

/// Reads `run.toml`; a missing one is as an empty one (requirement A26).
pub(crate) fn read_run(
    inputs: &Inputs,
    root: &Root,
    console: &Console,
) -> Result<RunFile, toml_file::TomlFileError> {
    let path = inputs.path("run");
    let file: Option<RunFile> = toml_file::read_if_exists(root, &path)?;
    if file.is_none() {
        console.log(Level::Info, &format!("No run metadata found at path \"{path}\""));
    }
    Ok(file.unwrap_or_default())
}

/// Reads `stack.toml`; a missing one is as an empty one (requirement A27).
pub(crate) fn read_stack(
    inputs: &Inputs,
    root: &Root,
    console: &Console,
) -> Result<RunImage, toml_file::TomlFileError> {
    let path = inputs.path("stack");
    let file: Option<StackFile> = toml_file::read_if_exists(root, &path)?;
    if file.is_none() {
        console.log(Level::Info, &format!("No stack metadata found at path \"{path}\""));
    }
    Ok(file.unwrap_or_default().run_image)
}
