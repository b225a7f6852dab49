//! What an image says of itself, wherever it is.

use cnb_image::{Destination, Image};
use cnb_lifecycle::rebase;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::Platform as ImagePlatform;
use cnb_spec::platform::labels;

use crate::build::API;
use crate::copy::show_platform;
use crate::images::{BuildLabel, layer_name, metadata};
use crate::places::{Found, Place};
use crate::platform::{Inspection, StoredImage};
use crate::{Cancel, Failure, Platform, ReportLayer};

impl Platform {
    /// Tells about the image at `place`, of an index about the one for `platform`: without one for Linux on this
    /// architecture. A name alone is looked for in the local store, then at the registry that it begins with.
    ///
    /// Layers are not read, but for those of a Docker archive that are compressed.
    pub fn inspect(
        &self,
        place: &Place,
        platform: Option<&ImagePlatform>,
        cancel: &Cancel,
    ) -> Result<Inspection, Failure> {
        let places = self.places(cancel);
        let place = &places.resolved(place)?;
        let mut platforms = Vec::new();
        let image = match place {
            Place::Registry(_)
            | Place::Files(Destination::Layout { .. } | Destination::OciArchive { .. }) => {
                let found = places.read_all(place)?;
                if let Found::Tree(tree) = &found {
                    platforms = tree.platforms().iter().map(show_platform).collect();
                    platforms.dedup();
                }
                places.choose(place, found, platform)?
            }
            Place::Engine(kind, name) => places.described(*kind, name, platform)?,
            _ => places.read(place, platform)?,
        };
        // Engines and Docker archives have no manifests, and the former do not tell how layers are stored.
        let has_manifest =
            !matches!(place, Place::Engine(..) | Place::Files(Destination::DockerArchive { .. }));
        let mut inspection = describe(&image, place.name().as_ref(), platforms);
        inspection.place = place.to_string();
        if !has_manifest {
            inspection.image.digest.clear();
        }
        if let Place::Engine(kind, name) = place {
            inspection.image.image_id = places.engine_id(*kind, name)?;
        }
        Ok(inspection)
    }
}

fn describe(image: &Image, name: Option<&ImageRef>, platforms: Vec<String>) -> Inspection {
    let config = image.config();
    let metadata = metadata(image);
    let build = BuildLabel::of(image);
    let layers = image.layers().iter().map(|layer| ReportLayer {
        name: layer_name(&metadata, &layer.diff_id.to_string()),
        diff_id: layer.diff_id.to_string(),
        digest: layer.descriptor.digest.to_string(),
        size: layer.descriptor.size,
        reused: true,
    });
    let run = &metadata.run_image;
    let offered = rebase::metadata(config).ok().and_then(|m| rebase::run_image_of(&m, API));
    let is_app = config.config.labels.contains_key(labels::LIFECYCLE_METADATA);
    // Only what is said counts; an app whose run image says nothing may be rebased.
    let rebasable =
        is_app.then(|| config.config.labels.get(labels::REBASABLE).is_none_or(|value| value != "false"));
    let own = ImagePlatform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        ..ImagePlatform::default()
    };
    Inspection {
        image: StoredImage {
            name: name.map(|name| name.typed().to_owned()).unwrap_or_default(),
            reference: name.map(ToString::to_string).unwrap_or_default(),
            digest: image.digest().to_string(),
            image_id: image.id().to_string(),
            size: image.size(),
            created: config.created.clone(),
        },
        place: String::new(),
        platform: show_platform(&own),
        platforms,
        run_image: if run.image.is_empty() { run.reference.clone() } else { run.image.clone() },
        run_image_mirrors: offered.map(|run| run.mirrors).unwrap_or_default(),
        rebasable,
        buildpacks: build.buildpacks(),
        processes: build.processes(config.config.entrypoint.first().map_or("", String::as_str)),
        layers: layers.collect(),
        labels: config.config.labels.clone(),
        env: config.config.env.clone(),
    }
}
