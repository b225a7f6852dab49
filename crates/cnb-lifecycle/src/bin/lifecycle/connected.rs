//! What the phases that look at images share: credentials, a registry client, an engine, and who we are.

use std::sync::Arc;

use cnb_daemon::{Address, Engine, EngineError, Lookup};
use cnb_fs::{GuestPath, HostPath, Owner, Root};
use cnb_lifecycle::images::Images;
use cnb_registry::{Credentials, Registry, Settings};
use cnb_spec::env::Env;
use cnb_spec::image_ref::ImageRef;

use crate::console::{Console, Level};
use crate::exit::{Context, Failure};
use crate::inputs::Inputs;
use crate::names::Names;
use crate::{experimental, privileges};

/// A phase that has been given all that it needs, and has dropped its privileges.
pub(crate) struct Connected<'a> {
    /// The inputs.
    pub(crate) inputs: &'a Inputs,
    /// The environment.
    pub(crate) env: Env,
    /// Where to print.
    pub(crate) console: &'a Console,
    /// The images that the phase is about.
    pub(crate) names: Names,
    /// Where they are.
    pub(crate) images: Images,
    /// Registries, also for what is never elsewhere: cache images.
    pub(crate) registry: Registry,
    /// The file system.
    pub(crate) root: Root,
    /// The user that owns what is made.
    pub(crate) owner: Owner,
}

impl<'a> Connected<'a> {
    /// Resolves credentials, connects to the engine, hands `dirs` to the build user and becomes that user.
    ///
    /// `more` are images whose credentials are needed beside those that the inputs name.
    pub(crate) fn new(
        inputs: &'a Inputs,
        env: &Env,
        console: &'a Console,
        names: Names,
        more: &[String],
        dirs: &[GuestPath],
    ) -> Result<Self, Failure> {
        console.log(Level::Debug, "Ensuring privileges...");
        if inputs.switch("layout") {
            if inputs.text("layout-dir").is_empty() {
                return Err(Failure::Inputs("-layout needs -layout-dir".to_owned()));
            }
            experimental::guard(experimental::LAYOUT, env, console)?;
        }
        let remote: Vec<ImageRef> = names
            .remote(inputs)
            .into_iter()
            .chain(more.iter().filter(|_| !inputs.switch("daemon")).map(String::as_str))
            .filter_map(|name| name.parse().ok())
            .collect();
        let credentials =
            Credentials::from_env(env).map_err(Failure::file("resolve keychain: reading auth env var"))?;
        let credentials = credentials
            .resolved_for(&remote.iter().collect::<Vec<_>>())
            .map_err(Failure::file("resolve keychain"))?;
        let registry = client(inputs, env, credentials, Some(console))
            .map_err(Failure::file("initialize registry client"))?;
        let lookup = Lookup::new(|host| cnb_registry::lookup(&cnb_registry::Names::default(), host));
        let connect = || Address::docker(env).and_then(|address| Engine::connect_with(&address, lookup));
        let engine = match inputs.switch("daemon").then(connect) {
            // As in the Go lifecycle, a socket that may not be opened is noticed at once, one that is not there later.
            Some(Err(error @ EngineError::Denied { .. })) => {
                return Err(Failure::file("initialize docker client")(error));
            }
            engine => engine,
        };
        let owner = inputs.owner()?;
        privileges::ensure_owner(owner, dirs)?;
        privileges::run_as(owner)?;
        console.log(Level::Debug, "Executing command...");
        let images = match engine {
            _ if inputs.switch("layout") => {
                Images::Layouts(HostPath::absolute(inputs.path("layout-dir").as_guest()))
            }
            Some(Ok(engine)) => Images::Engine(engine),
            Some(Err(error)) => Images::NoEngine(error),
            None => Images::Registry(registry.clone()),
        };
        let root = Root::host().map_err(Failure::file("open the root directory"))?;
        Ok(Self { inputs, env: env.clone(), console, names, images, registry, root, owner })
    }
}

/// Makes a client that chooses between mirrors, before there are credentials for the phase.
pub(crate) fn client_for_mirrors(inputs: &Inputs, env: &Env) -> Result<Registry, Failure> {
    let failed = |e: &(dyn std::error::Error + 'static)| {
        Failure::Inputs(format!(
            "unable to create keychain: reading auth env var: {}",
            crate::exit::describe(e)
        ))
    };
    let credentials = Credentials::from_env(env).map_err(|e| failed(&e))?;
    client(inputs, env, credentials, None).map_err(|e| Failure::Inputs(crate::exit::describe(&e)))
}

/// Makes a client that looks at the image to be rebased, before there are credentials for the phase.
pub(crate) fn client_for_rebase(inputs: &Inputs, env: &Env) -> Result<Registry, Failure> {
    let credentials = Credentials::from_env(env)
        .map_err(|e| Failure::rebase("set app image")(Context::new("reading auth env var", e)))?;
    client(inputs, env, credentials, None).map_err(Failure::rebase("set app image"))
}

/// Makes a registry client; requests are told at the debug level.
fn client(
    inputs: &Inputs,
    env: &Env,
    credentials: Credentials,
    console: Option<&Console>,
) -> Result<Registry, cnb_registry::RegistryError> {
    let mut settings = Settings::from_env(env, credentials);
    settings.insecure = inputs.list("insecure-registry");
    if let Some(console) = console.cloned() {
        settings.trace = Some(Arc::new(move |line: &str| console.log(Level::Debug, line)));
    }
    Registry::new(settings)
}
