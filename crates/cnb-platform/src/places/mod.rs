//! Where images are and go: the local store, registries, engines, folders and files, behind one way to read and
//! to write.
//!
//! [`Place`] is what users type; [`Places`] reaches them, connecting to each only when it is needed.

mod explain;
mod packed;
mod place;
mod read;
mod remote;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cnb_daemon::{Address, Engine, EngineError, Interrupt};
use cnb_image::Image;
use cnb_registry::Registry;
use cnb_spec::image_ref::ImageRef;

pub(crate) use place::names_registry;
pub use place::{EngineKind, Place, PlaceError};
pub use read::Found;
pub use remote::Remote;
pub use write::{Transfers, Written};

use crate::{Cancel, Failure, FailureKind, Platform};

/// How long connecting may take to an engine that is not needed.
const CONNECTING: Duration = Duration::from_millis(200);

/// How long such an engine may take to say that it is there: one that a socket starts takes a second.
const ANSWERING: Duration = Duration::from_secs(2);

/// The places that one command reaches: one client for all registries, one connection to each engine.
#[derive(Debug)]
pub struct Places<'a> {
    platform: &'a Platform,
    cancel: Cancel,
    registry: Mutex<Option<Registry>>,
    docker: Mutex<Option<Engine>>,
    podman: Mutex<Option<Engine>>,
    /// Exports of engines and layers that were packed; as long as images are read from it, it must stay.
    spool: Mutex<Option<Arc<tempfile::TempDir>>>,
}

impl Platform {
    /// Returns the means to reach images; nothing is connected yet. `cancel` stops every transfer.
    pub fn places(&self, cancel: &Cancel) -> Places<'_> {
        Places {
            platform: self,
            cancel: cancel.clone(),
            registry: Mutex::default(),
            docker: Mutex::default(),
            podman: Mutex::default(),
            spool: Mutex::default(),
        }
    }
}

impl Places<'_> {
    /// Returns the client for registries.
    ///
    /// # Errors
    /// When the settings or `CNB_REGISTRY_AUTH` cannot be used.
    pub fn registry(&self) -> Result<Registry, Failure> {
        let mut made = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = &*made {
            return Ok(registry.clone());
        }
        let registry = self.platform.remote.client(&self.platform.env, self.cancel.transfers())?;
        Ok(made.insert(registry).clone())
    }

    /// Checks that an image may be written to a registry; one that cannot be reached is a failure.
    pub(crate) fn check_write(&self, name: &ImageRef) -> Result<(), Failure> {
        self.registry()?.check_write(name).map_err(|e| explain::registry(name, &e))
    }

    /// Connects to an engine, or returns the connection that there is.
    pub fn engine(&self, kind: EngineKind) -> Result<Engine, Failure> {
        let mut made = self.connection(kind);
        if let Some(engine) = &*made {
            return Ok(engine.clone());
        }
        let engine = self.address(kind).and_then(|address| Engine::connect(&address));
        let engine = engine.map_err(|e| explain::engine(kind, "connect", e))?;
        Ok(made.insert(self.prepared(engine)?).clone())
    }

    /// Connects to an engine that is welcome but not needed, if it may be there: its socket is, or somebody named a
    /// host. Returns whether there is a connection now.
    ///
    /// # Errors
    /// When it is there and does not answer soon.
    pub(crate) fn try_engine(&self, kind: EngineKind) -> Result<bool, Failure> {
        let mut made = self.connection(kind);
        if made.is_some() {
            return Ok(true);
        }
        let Some(address) = self.address(kind).ok().filter(Address::exists) else { return Ok(false) };
        let engine = Engine::connect_within(&address, CONNECTING, ANSWERING);
        let engine = engine.map_err(|e| explain::engine(kind, "connect", e))?;
        *made = Some(self.prepared(engine)?);
        Ok(true)
    }

    /// Returns an engine that keeps its files where ours are, and that is given up when transfers are.
    fn prepared(&self, engine: Engine) -> Result<Engine, Failure> {
        let (spool, stop) = (self.spool()?, self.cancel.transfers());
        let interrupt = Interrupt::new(move || {
            let stop = stop.clone();
            async move { stop.stopped().await }
        });
        Ok(engine.spooling_in(spool.path()).given_up_by(interrupt))
    }

    fn connection(&self, kind: EngineKind) -> MutexGuard<'_, Option<Engine>> {
        let made = match kind {
            EngineKind::Docker => &self.docker,
            EngineKind::Podman => &self.podman,
        };
        made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, kind: EngineKind) -> Result<Address, EngineError> {
        let env = &self.platform.env;
        match kind {
            EngineKind::Docker => Address::docker(env),
            EngineKind::Podman => Address::podman(env),
        }
    }

    /// Returns a folder of this command's own, which goes with it.
    pub(crate) fn spool(&self) -> Result<Arc<tempfile::TempDir>, Failure> {
        let mut made = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = &*made {
            return Ok(Arc::clone(dir));
        }
        // Named after this process, so that a clean-up can tell what was left behind.
        let runs = self.platform.home.runs();
        let dir = make_spool(runs.as_path()).map_err(|e| {
            Failure::new(FailureKind::Other, format!("failed to make a temporary folder in `{runs}`"))
                .because(e)
        })?;
        Ok(Arc::clone(made.insert(Arc::new(dir))))
    }

    /// Fails if the user has had enough.
    pub(crate) fn stop_if_asked(&self) -> Result<(), Failure> {
        self.cancel.stopped().map_or(Ok(()), |why| Err(crate::cancel::failure(&why)))
    }
}

/// Returns the reference by which exactly this image can be read again (A16).
pub(crate) fn reference(place: &Place, image: &Image) -> String {
    match (place, place.name()) {
        (Place::Engine(..), _) => image.id().to_string(),
        (_, Some(name)) => format!("{}@{}", name.repository(), image.digest()),
        (_, None) => format!("{place}@{}", image.digest()),
    }
}

fn make_spool(runs: &Path) -> std::io::Result<tempfile::TempDir> {
    std::fs::create_dir_all(runs)?;
    tempfile::Builder::new().prefix(&format!("{}-spool-", std::process::id())).tempdir_in(runs)
}
