//! Reading from a place.

use std::path::PathBuf;

use cnb_daemon::EngineError;
use cnb_fs::HostPath;
use cnb_image::{BlobStore, Destination, Image, Tree, archive};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::Platform as ImagePlatform;
use cnb_spec::target::host_arch;

use super::{EngineKind, Place, Places, explain, names_registry, packed};
use crate::{Failure, FailureKind};

/// What there is at a place.
#[derive(Clone, Debug)]
pub enum Found {
    /// An image or index as it is stored: from a registry, a layout or an OCI archive.
    Tree(Box<Tree>),
    /// An image whose manifest is the place's own affair: from the store, an engine or a Docker archive.
    Image(Box<Image>),
}

impl Places<'_> {
    /// Reads the image at `place`, of an index the one for `platform`: without one for Linux on this architecture.
    ///
    /// Layers of a registry stay there until they are opened. An image of an engine is exported to a file first, and
    /// its layers are packed when they are written where that matters.
    ///
    /// # Errors
    /// [`FailureKind::Request`] when there is no such image.
    pub fn read(&self, place: &Place, platform: Option<&ImagePlatform>) -> Result<Image, Failure> {
        self.find(place, platform)?.ok_or_else(|| self.missing(place))
    }

    /// The same, `None` when there is no such image.
    pub fn find(&self, place: &Place, platform: Option<&ImagePlatform>) -> Result<Option<Image>, Failure> {
        self.stop_if_asked()?;
        match self.resolved(place)? {
            Place::Name(name) | Place::Store(name) => self.platform.stored_if_any(&name),
            Place::Registry(name) => match self.registry()?.image(&name, platform) {
                Ok(image) => Ok(Some(image)),
                Err(e) if e.kind == cnb_registry::RegistryErrorKind::NotFound => Ok(None),
                Err(e) => Err(explain::registry(&name, &e)),
            },
            Place::Engine(kind, name) => self.export(kind, &name, platform),
            Place::Files(files) => {
                let host = host_platform();
                let image = files.read(Some(platform.unwrap_or(&host)));
                image.map(Some).map_err(|e| explain::image(format!("failed to read `{files}`"), e))
            }
        }
    }

    /// Reads what is at `place` with all platforms, as it is.
    pub fn read_all(&self, place: &Place) -> Result<Found, Failure> {
        self.stop_if_asked()?;
        match self.resolved(place)? {
            Place::Registry(name) => match self.registry()?.tree(&name) {
                Ok(tree) => Ok(Found::Tree(Box::new(tree))),
                Err(e) => Err(explain::registry(&name, &e)),
            },
            Place::Files(files) => {
                let tree = files.tree();
                match tree.map_err(|e| explain::image(format!("failed to read `{files}`"), e))? {
                    Some(tree) => Ok(Found::Tree(Box::new(tree))),
                    None => self.read(place, None).map(|image| Found::Image(Box::new(image))),
                }
            }
            other => self.read(&other, None).map(|image| Found::Image(Box::new(image))),
        }
    }

    /// Says where a name alone is: in the store, else at the registry that it begins with.
    pub fn resolved(&self, place: &Place) -> Result<Place, Failure> {
        let Place::Name(name) = place else { return Ok(place.clone()) };
        let is_elsewhere = names_registry(name) && self.platform.stored_if_any(name)?.is_none();
        Ok(if is_elsewhere { Place::Registry(name.clone()) } else { Place::Store(name.clone()) })
    }

    /// Chooses the image for `platform` in what [`read_all`](Self::read_all) gave.
    pub fn choose(
        &self,
        place: &Place,
        found: Found,
        platform: Option<&ImagePlatform>,
    ) -> Result<Image, Failure> {
        match found {
            Found::Image(image) => Ok(*image),
            Found::Tree(tree) => {
                let host = host_platform();
                // A single image is what it is, unless something else is asked for.
                let wanted = if tree.is_index() { Some(platform.unwrap_or(&host)) } else { platform };
                tree.image(&PathBuf::from(place.to_string()), wanted)
                    .map_err(|e| explain::image(format!("failed to read `{place}`"), e))
            }
        }
    }

    /// Returns the image with gzip layers where they are plain because an engine keeps them so.
    pub(crate) fn packed(&self, place: &Place, image: Image) -> Result<Image, Failure> {
        let is_plain = matches!(place, Place::Engine(..) | Place::Files(Destination::DockerArchive { .. }));
        if !is_plain {
            return Ok(image);
        }
        let dir = HostPath::absolute(self.spool()?.path()).join("packed");
        let store = self.platform.store()?;
        BlobStore::open(&dir)
            .and_then(|blobs| packed::packed(&image, &blobs, store.blobs()))
            .map_err(|e| explain::image(format!("failed to pack the layers of `{place}`"), e))
    }

    fn export(
        &self,
        kind: EngineKind,
        name: &ImageRef,
        platform: Option<&ImagePlatform>,
    ) -> Result<Option<Image>, Failure> {
        let engine = self.engine(kind)?;
        let shown = name.familiar();
        let what = format!("export the image `{}`", name.typed());
        let exists = engine.exists(&shown);
        if !exists.map_err(|e| explain::engine(kind, &what, e))? {
            return Ok(None);
        }
        // Describing it tells the engine's client which layers need not be sent back; nothing depends on that.
        let _ = engine.image(&shown);
        let spool = self.spool()?;
        let file = tempfile::Builder::new().suffix(".tar").tempfile_in(spool.path());
        // The file goes with the folder.
        let file = file.and_then(|file| file.into_temp_path().keep().map_err(|e| e.error));
        let file =
            file.map_err(|e| Failure::new(FailureKind::Other, format!("failed to {what}")).because(e))?;
        engine.save(&shown, &file).map_err(|e| explain::engine(kind, &what, e))?;
        archive::read(&HostPath::absolute(file), None, platform)
            .map(Some)
            .map_err(|e| explain::image(format!("failed to read what the engine exported of `{shown}`"), e))
    }

    /// Describes an image of an engine, without exporting it if that can be helped: neither sizes nor a manifest are
    /// known then.
    pub(crate) fn described(
        &self,
        kind: EngineKind,
        name: &ImageRef,
        platform: Option<&ImagePlatform>,
    ) -> Result<Image, Failure> {
        let engine = self.engine(kind)?;
        let shown = name.familiar();
        let found = match platform {
            Some(platform) => engine.image_for(&shown, platform),
            None => engine.image(&shown),
        };
        let what = format!("inspect the image `{}`", name.typed());
        let found = match found {
            // Podman fails to tell the history of an image whose history has no times.
            Err(EngineError::Api { .. }) => self.export(kind, name, platform)?,
            other => other.map_err(|e| explain::engine(kind, &what, e))?,
        };
        found.ok_or_else(|| self.missing(&Place::Engine(kind, name.clone())))
    }

    /// Returns an engine's own ID of an image, empty if there is none.
    pub(crate) fn engine_id(&self, kind: EngineKind, name: &ImageRef) -> Result<String, Failure> {
        let what = format!("inspect the image `{}`", name.typed());
        let id = self.engine(kind)?.id(&name.familiar()).map_err(|e| explain::engine(kind, &what, e))?;
        Ok(id.map(|id| id.to_string()).unwrap_or_default())
    }

    fn missing(&self, place: &Place) -> Failure {
        let failure = |place: String| Failure::new(FailureKind::Request, format!("no image {place}"));
        match self.resolved(place) {
            Ok(Place::Name(name) | Place::Store(name)) => match self.platform.stored(&name) {
                // The name of an image on Docker Hub is often typed without it.
                Err(failure) if !names_registry(&name) => {
                    let hint = failure.hint.clone().unwrap_or_default();
                    failure.hint(format!("{hint}; `registry:{}` means the image on Docker Hub", name.typed()))
                }
                Err(failure) => failure,
                Ok(_) => failure(format!("`{}` in the local store", name.typed())),
            },
            Ok(Place::Registry(name)) => {
                failure(format!("`{}` at the registry `{}`", name.typed(), name.registry()))
                    .hint("check the name and the tag; a private image may need `cnb login` first")
            }
            Ok(Place::Engine(kind, name)) => failure(format!("`{}` in the engine", name.typed()))
                .hint(format!("`{kind} images` lists them")),
            Ok(Place::Files(files)) => failure(format!("at `{files}`")),
            Err(failure) => failure,
        }
    }
}

/// Returns Linux on the architecture of this machine.
pub(crate) fn host_platform() -> ImagePlatform {
    ImagePlatform { architecture: host_arch().to_owned(), os: "linux".to_owned(), ..ImagePlatform::default() }
}
