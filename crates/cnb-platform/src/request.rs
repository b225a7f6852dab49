//! What to build: everything that a caller can ask for, as data.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use cnb_fs::{GuestPath, HostPath};
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::image_ref::ImageRef;

pub use cnb_sandbox::{Limits, Network};

use crate::{Binding, EngineKind, Place};

/// One build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The folder with the application's source; never written.
    pub app: HostPath,
    /// The name under which the image is stored.
    pub image: ImageRef,
    /// More names for the same image.
    pub tags: Vec<ImageRef>,
    /// The image whose layers are reused. When absent, the one named `image` in the local store; where there is none
    /// and the image goes to its registry, the one that is there.
    pub previous_image: Option<Place>,
    /// Environment variables for the buildpacks; they win over those in `project.toml`.
    pub env: BTreeMap<String, OsString>,
    /// Buildpacks as typed: a directory, a tarball, a `.cnb` file, or `id[@version]` of a bundled one.
    ///
    /// When there are any, they are the only group, in this order.
    pub buildpacks: Vec<String>,
    /// The folder that relative paths in `buildpacks` start from.
    pub base: HostPath,
    /// The process type that the image starts by default.
    pub default_process: Option<String>,
    /// Whether what earlier builds cached is forgotten first.
    pub clear_cache: bool,
    /// Where cache layers are kept: the first is written, all are read. Empty: with the image's other data.
    pub caches: Vec<Cache>,
    /// Where the application lies in the image.
    pub workspace: GuestPath,
    /// Folders of the host that the buildpacks see.
    pub volumes: Vec<Volume>,
    /// Service bindings for the buildpacks; what is in them reaches no image, cache or output.
    pub bindings: Vec<Binding>,
    /// Which network the buildpacks have.
    pub network: Network,
    /// How the buildpacks are kept from the host.
    pub isolation: Isolation,
    /// What the buildpacks may use up.
    pub limits: Limits,
    /// The most bytes that the buildpacks may write, all together.
    pub disk: Option<u64>,
    /// How long the whole build may take.
    pub timeout: Option<Duration>,
    /// The image that the app runs on; a minimal one of the host's own libraries when absent.
    pub run_image: Option<Place>,
    /// Where the image goes beside the local store.
    pub outputs: Vec<Output>,
    /// Whether the image is loaded into a Docker or Podman engine as well, where one can be reached and there are no
    /// outputs.
    pub load: bool,
    /// The time of creation in seconds since 1970; fixed at 1980-01-01 when absent, so that builds are reproducible.
    pub created: Option<i64>,
    /// Where `report.toml` is written.
    pub report: Option<HostPath>,
    /// The folder to which the SBOM files of the image are copied.
    pub sbom_output_dir: Option<HostPath>,
    /// The project descriptor; `project.toml` in the app's folder when absent.
    pub descriptor: Option<HostPath>,
    /// The execution environment.
    pub exec_env: ExecEnv,
}

impl BuildRequest {
    /// Returns all names of the image, the first one first.
    pub fn names(&self) -> Vec<ImageRef> {
        std::iter::once(&self.image).chain(&self.tags).cloned().collect()
    }

    /// Makes the request that `cnb build APP --image IMAGE` makes.
    pub fn new(app: HostPath, image: ImageRef) -> Self {
        Self {
            base: app.clone(),
            app,
            image,
            tags: Vec::new(),
            previous_image: None,
            env: BTreeMap::new(),
            buildpacks: Vec::new(),
            default_process: None,
            clear_cache: false,
            caches: Vec::new(),
            workspace: GuestPath::new("/workspace"),
            volumes: Vec::new(),
            bindings: Vec::new(),
            network: Network::Host,
            isolation: Isolation::Auto,
            limits: Limits { processes: Some(4096), open_files: Some(65_536), memory: None },
            disk: None,
            timeout: None,
            run_image: None,
            outputs: Vec::new(),
            load: false,
            created: None,
            report: None,
            sbom_output_dir: None,
            descriptor: None,
            exec_env: ExecEnv::default(),
        }
    }
}

/// How the buildpacks are kept from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In a sandbox where the kernel allows one, else without and with a warning.
    Auto,
    /// In a sandbox, or not at all.
    Sandbox,
    /// Without a sandbox.
    None,
}

/// A folder of the host that the buildpacks, or a running image, see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The folder on the host.
    pub host: HostPath,
    /// Where it appears.
    pub guest: GuestPath,
    /// Whether it may be written.
    pub writable: bool,
}

/// Where cached layers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache {
    /// In this folder.
    Dir(HostPath),
    /// In an image of a registry, in the form of the lifecycle's `-cache-image`.
    Registry(ImageRef),
}

/// Where an image goes beside the local store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To this place.
    Place(Place),
    /// To the registries that its names begin with: `--publish`.
    Registries,
    /// Into this engine, under all its names: `docker`, `podman`.
    Engine(EngineKind),
}
