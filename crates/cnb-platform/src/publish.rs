//! Publishing: from a finished image to everywhere it goes, and its names in the local store.
//!
//! Outputs come first and the local names last, so that a failed output leaves the old image under its name. What a
//! failed build has written to earlier outputs stays there, and the failure says so.

use cnb_image::Image;
use cnb_spec::image_ref::ImageRef;

use crate::build::{Known, Session};
use crate::mountable::mountable;
use crate::places::{EngineKind, Place, Written};
use crate::{Failure, FailureKind, Output, Phase, Transfer, copy, images};

/// Writes `image` to all outputs and stores it under `names`.
pub(crate) fn publish(
    session: &Session<'_>,
    known: &Known,
    image: &Image,
    names: &[ImageRef],
) -> Result<Vec<Written>, Failure> {
    let request = session.request;
    let mut written: Vec<Written> = Vec::new();
    for place in places(&request.outputs, names) {
        match write(session, known, image, &place, names) {
            Ok(new) => written.push(new),
            Err(failure) => return Err(with_written(session, failure, &written)),
        }
    }
    if let Err(e) = known.store.put(&known.making, image, names) {
        let message = format!("failed to store `{}`", request.image.typed());
        let failure = Failure::new(FailureKind::Phase(Phase::Export), message).because(e);
        return Err(with_written(session, failure, &written));
    }
    if request.load && request.outputs.is_empty() {
        written.extend(load(session, image, names));
    }
    Ok(written)
}

/// Returns where all outputs put an image that is called `names`, each place once.
fn places(outputs: &[Output], names: &[ImageRef]) -> Vec<Place> {
    let mut places = Vec::new();
    for place in outputs.iter().flat_map(|output| places_of(output, names)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Returns where an output puts an image that is called `names`.
pub(crate) fn places_of(output: &Output, names: &[ImageRef]) -> Vec<Place> {
    match output {
        Output::Place(place) => vec![place.clone()],
        Output::Registries => names.iter().cloned().map(Place::Registry).collect(),
        Output::Engine(kind) => names.iter().cloned().map(|name| Place::Engine(*kind, name)).collect(),
    }
}

fn write(
    session: &Session<'_>,
    known: &Known,
    image: &Image,
    place: &Place,
    names: &[ImageRef],
) -> Result<Written, Failure> {
    let transfers = |transfer: Transfer| copy::tell(session.events, &transfer);
    let result = match place {
        Place::Registry(name) => mountable(image, &known.base.origins, name.registry())
            .map_err(|e| Failure::new(FailureKind::Other, format!("failed to write `{place}`")).because(e))
            .and_then(|image| session.places.write(&image, place, names, &transfers)),
        _ => session.places.write(image, place, names, &transfers),
    };
    result.map_err(|failure| {
        let kind = match failure.kind {
            FailureKind::Other => FailureKind::Phase(Phase::Export),
            kind => kind,
        };
        let failure = Failure { kind, ..failure };
        let damage = failure.source.as_ref().and_then(|source| source.downcast_ref());
        if damage.is_some_and(|e| images::discard_damaged(&known.store, e)) {
            return failure.hint("the damaged blob is deleted: build again, and it is made again");
        }
        failure
    })
}

/// Says what had been written when an output failed.
fn with_written(session: &Session<'_>, failure: Failure, written: &[Written]) -> Failure {
    let Some(already) = already(written) else { return failure };
    // A failure after a stop gives way to the reason for the stop, and its message is lost.
    if session.stop_if_asked().is_err() {
        session.warn(&already);
        return failure;
    }
    let message = format!("{} ({already})", failure.message);
    Failure { message, ..failure }
}

fn already(written: &[Written]) -> Option<String> {
    let places: Vec<String> = written.iter().map(|w| format!("`{}`", w.place)).collect();
    (!places.is_empty()).then(|| format!("the image is at {} already", places.join(", ")))
}

/// Loads the image into the first engine that can be reached; none that can is no failure.
fn load(session: &Session<'_>, image: &Image, names: &[ImageRef]) -> Vec<Written> {
    for kind in [EngineKind::Docker, EngineKind::Podman] {
        match load_into(session, image, kind, names) {
            Ok(None) => {}
            Ok(Some(written)) => return written,
            // Whoever has had enough is not asked to wait for the next engine; the image is stored already.
            Err(_) if session.stop_if_asked().is_err() => break,
            Err(failure) => {
                let why = failure.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
                session.warn(&format!(
                    "the image could not be loaded into {kind} as well: {}{why} (`--no-load` or `load-into-engine = \
                     false` leaves that out)",
                    failure.message
                ));
            }
        }
    }
    Vec::new()
}

/// Loads the image under all its names; returns `None` where there is no such engine.
fn load_into(
    session: &Session<'_>,
    image: &Image,
    kind: EngineKind,
    names: &[ImageRef],
) -> Result<Option<Vec<Written>>, Failure> {
    session.stop_if_asked()?;
    if !session.places.try_engine(kind)? {
        return Ok(None);
    }
    names.iter().map(|name| load_as(session, image, kind, name)).collect::<Result<_, _>>().map(Some)
}

/// Loads the image under one name, unless it is there already.
fn load_as(
    session: &Session<'_>,
    image: &Image,
    kind: EngineKind,
    name: &ImageRef,
) -> Result<Written, Failure> {
    session.stop_if_asked()?;
    let place = Place::Engine(kind, name.clone());
    let (digest, image_id) = (image.digest().to_string(), image.id().to_string());
    if session.places.engine_id(kind, name).is_ok_and(|there| there == image_id) {
        return Ok(Written { place: place.to_string(), digest, image_id });
    }
    session.places.write(image, &place, std::slice::from_ref(name), &|_| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_by_kind_takes_every_name() {
        let names: Vec<ImageRef> = ["r.io/app:1", "r.io/app:2"].map(|n| n.parse().unwrap()).to_vec();
        let shown = |output: &Output| -> Vec<String> {
            places_of(output, &names).iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown(&Output::Registries), ["registry:r.io/app:1", "registry:r.io/app:2"]);
        assert_eq!(shown(&Output::Engine(EngineKind::Podman)), ["podman:r.io/app:1", "podman:r.io/app:2"]);
        let one = Place::Registry("r.io/other".parse().unwrap());
        assert_eq!(shown(&Output::Place(one)), ["registry:r.io/other"]);
    }

    #[test]
    fn a_place_that_is_named_twice_is_written_once() {
        let names = ["r.io/app".parse().unwrap()];
        let place = |text: &str| Output::Place(Place::Registry(text.parse().unwrap()));
        let outputs = [Output::Registries, place("r.io/app:latest"), place("r.io/app:1")];
        let shown: Vec<String> = places(&outputs, &names).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["registry:r.io/app", "registry:r.io/app:1"]);
    }

    #[test]
    fn a_failure_names_what_was_written_before() {
        let written = Written { place: "oci:/x".into(), digest: "sha256:0".into(), image_id: String::new() };
        assert_eq!(already(&[]), None);
        let text = "the image is at `oci:/x`, `oci:/x` already";
        assert_eq!(already(&[written.clone(), written]).as_deref(), Some(text));
    }
}
