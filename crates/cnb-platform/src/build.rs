//! The whole flow of a build, phase by phase.
//!
//! `Session::run` is the map: each phase is a method that takes what the ones before it gave.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cnb_detector::{DetectError, Detected};
use cnb_fs::lock::Lock;
use cnb_fs::{FsError, GuestPath};
use cnb_image::image::Image;
use cnb_image::image_store::{self, ImageStore};
use cnb_lifecycle::restore::{self, RestoreConfig};
use cnb_spec::api::PlatformApi;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::platform::analyzed_toml::Analyzed;
use cnb_spec::platform::labels::BuildpackLayers;
use cnb_spec::platform::system_toml::System;

use crate::base::Base;
use crate::caches::{Caches, FromImage};
use crate::enter::World;
use crate::modules::Modules;
use crate::{
    BuildRequest, Cancel, Event, Events, Failure, FailureKind, Level, Phase, Places, Platform, Report,
    Stopped, binding, cancel, check, disk, explain, export, parts, project,
};

/// The API that the phases speak with each other.
pub(crate) const API: PlatformApi = PlatformApi::LATEST;

/// Where layers lie in every image.
pub(crate) const LAYERS: &str = "/layers";

impl Platform {
    /// Builds an image.
    ///
    /// The image is stored under its names at the very end and by one step: a build that fails or is stopped
    /// changes no name and no cache.
    pub fn build(
        &self,
        request: &BuildRequest,
        events: Events<'_>,
        cancel: &Cancel,
    ) -> Result<Report, Failure> {
        binding::masked(&request.bindings, events, |events| {
            self.session(request, events, cancel, Session::run)
        })
    }

    /// Does something in a session that ends when the time is over or somebody cancels.
    pub(crate) fn session<'a, T>(
        &'a self,
        request: &'a BuildRequest,
        events: Events<'a>,
        cancel: &'a Cancel,
        work: impl FnOnce(&Session<'a>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (done, watched) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            if let Some(timeout) = request.timeout {
                scope.spawn(move || {
                    if watched.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout) {
                        cancel.stop(Stopped::TimedOut(timeout.as_secs()));
                    }
                });
            }
            let result = work(&Session::new(self, request, events, cancel));
            drop(done);
            cancel.detach();
            // Whatever failed after the build was stopped failed because it was stopped.
            result.map_err(|failure| cancel.stopped().map_or(failure, |why| cancel::failure(&why)))
        })
    }
}

/// Returns a closure for `map_err` that says in which phase something failed, and what.
pub(crate) fn in_phase<E>(phase: Phase, message: &str) -> impl FnOnce(E) -> Failure
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let message = message.to_owned();
    move |source| Failure::new(FailureKind::Phase(phase), message).because(source)
}

/// One build under way.
pub(crate) struct Session<'a> {
    pub platform: &'a Platform,
    pub request: &'a BuildRequest,
    pub cancel: &'a Cancel,
    /// Registries, engines and files that this build reads and writes.
    pub places: Places<'a>,
    pub events: Events<'a>,
    /// What the user was warned of so far; said once each.
    pub warnings: Mutex<Vec<String>>,
    pub phases: Mutex<Vec<(Phase, Duration)>>,
}

/// What analysis found.
pub(crate) struct Known {
    pub store: ImageStore,
    /// Held so that what this build makes is not collected.
    pub making: image_store::Session,
    pub previous: Option<Image>,
    pub base: Base,
    pub analyzed: Analyzed,
}

impl<'a> Session<'a> {
    fn new(
        platform: &'a Platform,
        request: &'a BuildRequest,
        events: Events<'a>,
        cancel: &'a Cancel,
    ) -> Self {
        let places = platform.places(cancel);
        let (warnings, phases) = (Mutex::default(), Mutex::default());
        Self { platform, request, cancel, places, events, warnings, phases }
    }

    fn run(&self) -> Result<Report, Failure> {
        check::check(self.request)?;
        let project = project::read(self.request)?;
        for warning in &project.warnings {
            self.warn(warning);
        }
        let prepare = |e: FsError| Failure::new(FailureKind::Other, "failed to prepare the build").because(e);
        let folder = self.platform.home.build(&self.request.image.repository());
        std::fs::create_dir_all(folder.as_path())
            .map_err(|e| prepare(FsError::on("create the directory", folder.as_path())(e)))?;
        let waiting = || self.info(&format!("waiting for another build of `{}`", self.request.image.typed()));
        let _lock = Lock::exclusive(folder.join("lock").as_path(), waiting).map_err(prepare)?;
        let parts = parts::unpack(&self.platform.home.parts()).map_err(prepare)?;

        let known = self.phase(Phase::Analyze, || self.analyze())?;
        let mut caches = self.open_caches(&folder, &[])?;
        let (mut world, modules) = self.enter(&folder, &parts, &project, &caches.kept.levels())?;
        let detected = self.phase(Phase::Detect, || {
            self.detect(&world, &modules, &known, &|event| self.detect_event(&event))
        })?;
        let mut unread = Vec::new();
        // A cache image that turns out to be broken is left for the next cache, and its world for a new one.
        while let Some(name) =
            self.phase(Phase::Restore, || self.restore(&world, &detected, &known, &caches))?
        {
            unread.push(name);
            self.leave(world);
            // Its locks go before the same ones are taken.
            drop(caches);
            caches = self.open_caches(&folder, &unread)?;
            world = self.enter(&folder, &parts, &project, &caches.kept.levels())?.0;
        }
        let metadata = self.phase(Phase::Build, || self.build(&world, &detected, &known))?;
        let exported = self.phase(Phase::Export, || {
            self.stop_if_asked()?;
            export::export(self, &world, &detected, &metadata, &known, &caches.kept, &parts, &project)
        })?;
        self.check_leaks(&known, &exported)?;
        self.stop_if_asked()?;
        if let Some(dir) = &self.request.sbom_output_dir {
            export::copy_sboms(&world, dir)?;
        }
        let report = export::publish(self, &known, &exported, &metadata)?;
        let pushed = self.push_cache(&world, &exported.exported, &known, &caches);
        self.keep(world, &mut caches, exported.cached, pushed.as_ref());
        Ok(report)
    }

    pub(crate) fn detect(
        &self,
        world: &World,
        modules: &Modules,
        known: &Known,
        events: &dyn Fn(cnb_detector::Event),
    ) -> Result<Detected, Failure> {
        let target = known.analyzed.run_image.as_ref().and_then(|r| r.target.clone()).unwrap_or_default();
        let config = cnb_detector::Config {
            platform_api: API,
            app: self.request.workspace.clone(),
            buildpacks: world.buildpacks.clone(),
            extensions: GuestPath::new("/cnb/extensions"),
            platform: world.platform_dir.clone(),
            build_config: GuestPath::new("/cnb/build-config"),
            scratch: world.scratch.clone(),
            order: modules.order.clone(),
            system: System::default(),
            target,
            exec_env: self.request.exec_env.clone(),
            env: world.env.clone(),
            threads: threads(),
        };
        cnb_detector::detect(&config, &world.root, &world.sandbox, events).map_err(|error| {
            let tried = explain::explain(&error);
            let kind = match error {
                DetectError::NothingPassed { .. } => FailureKind::NoGroupDetected,
                DetectError::BuildpackBroke { .. } => FailureKind::DetectErrored,
                _ => FailureKind::Phase(Phase::Detect),
            };
            if tried.is_empty() {
                return Failure::new(kind, "failed to detect").because(error);
            }
            let message =
                format!("no buildpack can build `{}`; these were tried:\n{tried}", self.request.app);
            Failure::new(kind, message)
                .hint("a Procfile names the command to start when nothing has to be built")
        })
    }

    pub(crate) fn detect_event(&self, event: &cnb_detector::Event) {
        use cnb_detector::Event as E;
        match event {
            E::Participating { .. } | E::Participant { .. } => self.info(&event.to_string()),
            E::NotRecommended { .. } | E::UnlistedRunImage(_) => self.warn(&event.to_string()),
            E::Generating(bytes) => (self.events)(Event::Output(bytes)),
            E::Output { text, .. } => {
                self.debug(&event.to_string());
                self.debug(String::from_utf8_lossy(text).trim_end());
            }
            _ => self.debug(&event.to_string()),
        }
    }

    /// Leaves a world in which nothing more is to happen.
    fn leave(&self, world: World) {
        self.cancel.detach();
        drop(world);
    }

    /// Restores layers; returns the cache image that could not be read, if it was one.
    fn restore(
        &self,
        world: &World,
        detected: &Detected,
        known: &Known,
        caches: &Caches,
    ) -> Result<Option<ImageRef>, Failure> {
        match self.restore_image(world, detected, known, caches)? {
            FromImage::Restored => return Ok(None),
            FromImage::Unread(name) => return Ok(Some(name)),
            FromImage::None => {}
        }
        let config = RestoreConfig {
            api: API,
            group: &detected.group,
            previous: &known.analyzed.metadata,
            cached: caches.kept.buildpacks(),
            skip_layers: false,
        };
        let failed = || in_phase(Phase::Restore, "failed to restore");
        let plan = restore::plan(&config).map_err(failed())?;
        let layers = GuestPath::new(LAYERS);
        restore::restore(&plan, &world.root, &layers, &|event| self.info(&event.to_string()))
            .map_err(failed())?;
        Ok(None)
    }

    fn build(
        &self,
        world: &World,
        detected: &Detected,
        known: &Known,
    ) -> Result<cnb_spec::platform::metadata_toml::BuildMetadata, Failure> {
        let (done, watched) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            if let Some(most) = self.request.disk {
                let folders = world.work.written();
                scope.spawn(move || disk::watch(&folders, most, self.cancel, &watched));
            }
            let result = crate::run_build::run(self, world, detected, known);
            drop(done);
            result
        })
    }

    /// Keeps the cache layers of a build whose image is stored.
    fn keep(&self, world: World, caches: &mut Caches, layers: Vec<BuildpackLayers>, pushed: Option<&Image>) {
        let World { sandbox, root, work, places, .. } = world;
        // Before its upper directory is moved, nothing may be mounted any more.
        self.cancel.detach();
        drop(root);
        drop(sandbox);
        let result = if places.is_none() {
            caches.kept.commit(work.upper().as_path(), layers)
        } else {
            caches.kept.replace(std::path::Path::new(LAYERS), layers)
        };
        let result = result.and_then(|()| Ok(pushed.map_or(Ok(()), |image| caches.remember(image))?));
        // The image is there; without a cache the next build only takes longer.
        if let Err(e) = result {
            self.warn(&format!("the cache of this build could not be kept: {e}"));
        }
    }

    pub(crate) fn stop_if_asked(&self) -> Result<(), Failure> {
        self.cancel.stopped().map_or(Ok(()), |why| Err(cancel::failure(&why)))
    }

    pub(crate) fn phase<T>(
        &self,
        phase: Phase,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.stop_if_asked()?;
        (self.events)(Event::PhaseStarted(phase));
        let start = Instant::now();
        let result = work()?;
        let taken = start.elapsed();
        (self.events)(Event::PhaseFinished(phase, taken));
        self.phases.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((phase, taken));
        Ok(result)
    }

    /// Returns what the user was warned of.
    pub(crate) fn warned(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(crate) fn event(&self, event: Event<'_>) {
        (self.events)(event);
    }

    pub(crate) fn info(&self, text: &str) {
        (self.events)(Event::Message(Level::Info, text));
    }

    pub(crate) fn debug(&self, text: &str) {
        (self.events)(Event::Message(Level::Debug, text));
    }

    pub(crate) fn warn(&self, text: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !warnings.iter().any(|w| w == text) {
            warnings.push(text.to_owned());
            (self.events)(Event::Message(Level::Warning, text));
        }
    }
}

/// How many threads work beside each other: as many as there are cores.
pub(crate) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
