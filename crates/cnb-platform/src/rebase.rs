//! Puts an app image on another run image, wherever both are; the old one stays until the new one is whole.

use cnb_fs::{HostPath, atomic};
use cnb_image::layout::REF_NAME;
use cnb_image::{Destination, Image};
use cnb_lifecycle::rebase::{self, Mismatch, Rebase, RebaseError};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::Platform as ImagePlatform;
use cnb_spec::platform::report_toml;

use crate::build::API;
use crate::copy::tell;
use crate::places::{Found, Place, Places, Written};
use crate::{Cancel, Event, Events, Failure, FailureKind, Level, Platform, places};

/// One rebase.
#[derive(Clone, Debug)]
pub struct RebaseRequest {
    /// What the rebased image is called, and the app image unless `previous_image` names another.
    pub image: Place,
    /// More places for the rebased image.
    pub tags: Vec<Place>,
    /// The app image.
    pub previous_image: Option<Place>,
    /// The new run image; the one that the app's label names, or a mirror of it, when absent.
    pub run_image: Option<Place>,
    /// Whether what does not fit is only warned of.
    pub force: bool,
    /// Where `report.toml` is written.
    pub report: Option<HostPath>,
}

/// What a rebase made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rebased {
    /// The image, where it was asked for.
    #[serde(flatten)]
    pub image: Written,
    /// The places of `tags`.
    pub tags: Vec<String>,
    /// The run image, by the reference by which it was read.
    pub run_image: String,
}

/// A run image, and what the label is to say of it.
struct NewBase {
    image: Image,
    name: String,
    reference: String,
}

impl Platform {
    /// Rebases an image (B88 to B97). Its own layers are neither read nor sent where they are there already.
    ///
    /// # Errors
    /// What `image` named before is then as it was.
    pub fn rebase(
        &self,
        request: &RebaseRequest,
        events: Events<'_>,
        cancel: &Cancel,
    ) -> Result<Rebased, Failure> {
        let result = rebase_at(&self.places(cancel), request, events);
        result.map_err(|e| cancel.stopped().map_or(e, |why| crate::cancel::failure(&why)))
    }
}

fn rebase_at(places: &Places<'_>, request: &RebaseRequest, events: Events<'_>) -> Result<Rebased, Failure> {
    let source = places.resolved(request.previous_image.as_ref().unwrap_or(&request.image))?;
    let app = places.read(&source, None)?;
    let base = run_image(places, request, &source, &app)?;
    events(Event::Message(Level::Info, &format!("Rebasing on {}", base.reference)));
    let config = Rebase {
        api: API,
        app: &app,
        run_image: &base.image,
        run_image_name: &base.name,
        run_image_reference: &base.reference,
        force: request.force,
    };
    let warn = |mismatch: &Mismatch| events(Event::Message(Level::Warning, &mismatch.to_string()));
    let rebased = rebase::rebase(&config, &warn).map_err(|e| refused(&source, e))?;
    let family = app.family();
    let rebased = rebased
        .in_family(family)
        .map_err(|e| Failure::new(FailureKind::Other, format!("failed to rebase `{source}`")).because(e))?;
    // The name that is there already comes last: until then all of it is as it was.
    let mut tags = Vec::new();
    for tag in &request.tags {
        tags.push(put(places, &source, &rebased, tag, events)?.place);
    }
    let image = put(places, &source, &rebased, &request.image, events)?;
    if let Some(path) = &request.report {
        let mut names = vec![image.place.clone()];
        names.extend(tags.iter().cloned());
        let report = report_toml::Report {
            tags: names,
            digest: image.digest.clone(),
            image_id: image.image_id.clone(),
            manifest_size: rebased.manifest_bytes().len() as u64,
            ..report_toml::Report::default()
        };
        atomic::write(path.as_path(), report.to_toml().as_bytes()).map_err(|e| {
            Failure::new(FailureKind::Other, "the image is rebased, but its report could not be written")
                .because(e)
        })?;
    }
    Ok(Rebased { image, tags, run_image: base.reference })
}

fn put(
    places: &Places<'_>,
    source: &Place,
    image: &Image,
    to: &Place,
    events: Events<'_>,
) -> Result<Written, Failure> {
    let to = &named_as_before(places, &places.resolved(to)?)?;
    let keeps_plain = matches!(to, Place::Engine(..) | Place::Files(Destination::DockerArchive { .. }));
    let packed;
    let image = if keeps_plain {
        image
    } else {
        packed = places.packed(source, image.clone())?;
        &packed
    };
    places.write(image, to, &[], &|transfer| tell(events, &transfer))
}

/// Adds the name that the image in a folder or file has, so that the new one takes its place.
fn named_as_before(places: &Places<'_>, to: &Place) -> Result<Place, Failure> {
    let Place::Files(files) = to else { return Ok(to.clone()) };
    let mut files = files.clone();
    let entry = match places.read_all(to) {
        Ok(Found::Tree(tree)) => Some(tree.descriptor),
        _ => None,
    };
    let own = entry.as_ref().and_then(|entry| entry.annotations.get(REF_NAME).cloned());
    match &mut files {
        Destination::Layout { tag: None, .. } if entry.is_some() && own.is_none() => {
            let message = format!("the image in `{to}` has no tag that the new one could take");
            return Err(Failure::new(FailureKind::Request, message)
                .hint("write the new one under a tag: `cnb rebase oci:DIR:TAG --previous-image oci:DIR`"));
        }
        Destination::Layout { tag, .. } if tag.is_none() => *tag = own,
        Destination::OciArchive { name, .. } if name.is_none() => *name = own,
        Destination::DockerArchive { file, name } if name.is_none() => {
            *name = cnb_image::archive::docker_names(file).ok().and_then(|names| names.into_iter().next());
        }
        _ => {}
    }
    Ok(Place::Files(files))
}

/// Reads the run image: the given one, or that of the label, from the place that is nearest to the app.
fn run_image(
    places: &Places<'_>,
    request: &RebaseRequest,
    source: &Place,
    app: &Image,
) -> Result<NewBase, Failure> {
    let config = app.config();
    let platform = ImagePlatform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        ..ImagePlatform::default()
    };
    if let Some(place) = &request.run_image {
        let place = places.resolved(place)?;
        let image = places.read(&place, Some(&platform))?;
        return Ok(NewBase::new(&place, image));
    }
    let metadata = rebase::metadata(config).map_err(|e| refused(source, RebaseError::Label(e)))?;
    let Some(offered) = rebase::run_image_of(&metadata, API) else {
        let message = format!("the image `{source}` does not say which run image it stands on");
        return Err(Failure::new(FailureKind::Request, message).hint("name one with `--run-image`"));
    };
    if offered.image.starts_with("cnb.local/") {
        let message = format!("the image `{source}` stands on a base that was made from the build host");
        return Err(Failure::new(FailureKind::Request, message)
            .hint("build it again to renew that base, or name a run image with `--run-image`"));
    }
    let registry = source.name().map(|name| name.registry().to_owned()).unwrap_or_default();
    let registry_of = |name: &str| name.parse::<ImageRef>().ok().map(|name| name.registry().to_owned());
    // Where the app is, its run image may be as well, and is then the one that it was built on or its successor.
    for name in std::iter::once(&offered.image).chain(&offered.mirrors) {
        let Ok(name) = name.parse::<ImageRef>() else { continue };
        let near = match source {
            Place::Engine(kind, _) => Place::Engine(*kind, name),
            Place::Registry(_) => break,
            _ => Place::Store(name),
        };
        if let Some(image) = places.find(&near, Some(&platform))? {
            return Ok(NewBase::new(&near, image));
        }
    }
    let client = places.registry()?;
    let readable = |name: &str| name.parse().is_ok_and(|name| client.check_read(&name).is_ok());
    let chosen = offered.choose(&registry, registry_of, readable).unwrap_or(&offered.image);
    let name = chosen.parse::<ImageRef>().map_err(|e| {
        Failure::new(
            FailureKind::Request,
            format!("the image `{source}` names a run image that cannot be read"),
        )
        .because(e)
    })?;
    let place = Place::Registry(name);
    let image = places.read(&place, Some(&platform))?;
    Ok(NewBase::new(&place, image))
}

impl NewBase {
    fn new(place: &Place, image: Image) -> Self {
        let name = place.name().map_or_else(|| place.to_string(), |name| name.typed().to_owned());
        let reference = places::reference(place, &image);
        Self { image, name, reference }
    }
}

fn refused(source: &Place, error: RebaseError) -> Failure {
    let hint = match &error {
        RebaseError::Refused(_) => Some("`--force` rebases all the same"),
        RebaseError::NoBaseLayer => {
            Some("the image is not as it was built: its layers do not begin with those of its run image")
        }
        RebaseError::Stack(_) => Some("an image that no lifecycle built cannot be rebased"),
        _ => None,
    };
    let failure = Failure::new(FailureKind::Other, format!("failed to rebase `{source}`")).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
