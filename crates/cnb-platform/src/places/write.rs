//! Writing to a place. What was there stays until all of the new is there.

use cnb_image::{Destination, Image, ImageError, Layout, Tree, archive};
use cnb_registry::Event as Transfer;
use cnb_spec::image_ref::ImageRef;
use serde::Serialize;

use super::{Place, Places, explain};
use crate::{Failure, FailureKind};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Where it is.
    pub place: String,
    /// The digest of its manifest or index there; of an engine, which has none, that of the manifest sent.
    pub digest: String,
    /// The image ID; empty for an index.
    pub image_id: String,
}

/// Hears what a transfer does.
pub type Transfers<'a> = &'a (dyn Fn(Transfer) + Sync);

impl Places<'_> {
    /// Writes `image` to `place`; `names` are what it is called in a file that says no name itself.
    ///
    /// # Errors
    /// Whatever fails leaves what was at `place` as it was.
    pub fn write(
        &self,
        image: &Image,
        place: &Place,
        names: &[ImageRef],
        transfers: Transfers<'_>,
    ) -> Result<Written, Failure> {
        self.stop_if_asked()?;
        let failed = |e: ImageError| explain::image(format!("failed to write `{place}`"), e);
        let mut digest = image.digest();
        match place {
            Place::Name(name) | Place::Store(name) => {
                refuse_digest(name)?;
                let store = self.platform.store()?;
                let session = store.session(|| {}).map_err(failed)?;
                digest = store.put(&session, image, std::slice::from_ref(name)).map_err(failed)?.digest();
            }
            Place::Registry(name) => {
                refuse_digest(name)?;
                let pushed = self.registry()?.push(image, name, transfers);
                digest = pushed.map_err(|e| explain::registry(name, &e))?.digest;
            }
            Place::Engine(kind, name) => {
                refuse_digest(name)?;
                let loaded = self.engine(*kind)?.load(image, std::slice::from_ref(name));
                loaded.map_err(|e| explain::engine(*kind, &format!("load `{}`", name.typed()), e))?;
            }
            Place::Files(files) => {
                let image = &in_layout_family(files, image).map_err(failed)?;
                files.write(image, names).map_err(failed)?;
                digest = image.digest();
            }
        }
        Ok(Written { place: place.to_string(), digest: digest.to_string(), image_id: image.id().to_string() })
    }

    /// Writes `tree`, an index or an image, as it is.
    ///
    /// # Errors
    /// Also for a place that keeps no documents: the store, an engine, a Docker archive.
    pub fn write_tree(
        &self,
        tree: &Tree,
        place: &Place,
        names: &[ImageRef],
        transfers: Transfers<'_>,
    ) -> Result<Written, Failure> {
        self.stop_if_asked()?;
        let failed = |e: ImageError| explain::image(format!("failed to write `{place}`"), e);
        match place {
            Place::Registry(name) => {
                refuse_digest(name)?;
                let pushed = self.registry()?.push_tree(tree, name, transfers);
                pushed.map_err(|e| explain::registry(name, &e))?;
            }
            Place::Files(Destination::Layout { dir, tag }) => {
                let tag = tag.as_deref().or_else(|| names.first()?.tag()).unwrap_or("latest");
                Layout::create(dir).and_then(|layout| layout.write_tree(tree, tag)).map_err(failed)?;
            }
            Place::Files(Destination::OciArchive { file, name }) => {
                let own = name.as_deref().and_then(|name| name.parse().ok());
                archive::write_oci_tree(file, tree, own.as_ref().or_else(|| names.first()))
                    .map_err(failed)?;
            }
            _ => {
                let message = format!("`{place}` cannot hold an index of images for several platforms");
                return Err(Failure::new(FailureKind::Request, message)
                    .hint("leave `--all` out, or write to `registry:`, `oci:` or `oci-archive:`"));
            }
        }
        let digest = tree.descriptor.digest.to_string();
        Ok(Written { place: place.to_string(), digest, image_id: String::new() })
    }
}

/// OCI layouts hold OCI manifests only: other tools do not see Docker's in them.
fn in_layout_family(files: &Destination, image: &Image) -> Result<Image, ImageError> {
    match files {
        Destination::DockerArchive { .. } => Ok(image.clone()),
        _ => image.in_family(cnb_image::media::Family::Oci),
    }
}

fn refuse_digest(name: &ImageRef) -> Result<(), Failure> {
    if name.tag().is_some() {
        return Ok(());
    }
    let message = format!("an image cannot be given the name `{}`: it has a digest", name.typed());
    Err(Failure::new(FailureKind::Request, message).hint("write a name, and a tag if there is to be one"))
}
