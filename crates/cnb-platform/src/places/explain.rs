//! Failures of registries and engines, with what to do about them.

use cnb_daemon::EngineError;
use cnb_image::ImageError;
use cnb_registry::{RegistryError, RegistryErrorKind};
use cnb_spec::image_ref::{DEFAULT_REGISTRY, ImageRef};

use super::EngineKind;
use crate::{Failure, FailureKind};

/// Says what failed about the image `name` of a registry.
pub(crate) fn registry(name: &ImageRef, error: &RegistryError) -> Failure {
    use RegistryErrorKind as Kind;
    let host = if name.registry() == DEFAULT_REGISTRY { "docker.io" } else { name.registry() };
    let hint = match error.kind {
        Kind::Unauthorized => {
            Some(format!("`cnb login {host}` keeps the credentials that the registry wants"))
        }
        Kind::Denied => {
            Some(format!("check that you may do this there; `cnb login {host}` logs in as somebody else"))
        }
        Kind::NotFound => {
            Some("check the name and the tag; a private image may need `cnb login` first".to_owned())
        }
        Kind::NoPlatform => Some("`--platform OS/ARCH` chooses another image of the index".to_owned()),
        Kind::Unreachable => Some(unreachable_hint(error, host)),
        _ => None,
    };
    let kind = if error.kind == Kind::Cancelled { FailureKind::Interrupted } else { FailureKind::Other };
    let message = error.to_string();
    let failure = match std::error::Error::source(error).map(cause) {
        Some(why) => Failure::new(kind, message).because(why),
        None => Failure::new(kind, message),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn unreachable_hint(error: &RegistryError, host: &str) -> String {
    let said = std::error::Error::source(error).map(cause).unwrap_or_default();
    if said.contains("HTTP response to HTTPS") {
        format!("if the registry has no TLS: `--insecure-registry {host}`")
    } else if said.contains("certificate") {
        "`--cert-dir DIR` names a folder with the certificate of the authority (`*.crt`)".to_owned()
    } else {
        format!("check the name and the port; a registry without TLS needs `--insecure-registry {host}`")
    }
}

/// Returns a cause with its own causes, as one text: what is borrowed cannot be handed on.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let message = inner.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = inner.source();
    }
    text
}

/// Says what failed with an engine.
pub(crate) fn engine(kind: EngineKind, what: &str, error: EngineError) -> Failure {
    if error.is_stopped() {
        return Failure::new(FailureKind::Interrupted, "interrupted");
    }
    let hint = error.remedy();
    let who = match kind {
        EngineKind::Docker => "Docker",
        EngineKind::Podman => "Podman",
    };
    let failure = Failure::new(FailureKind::Other, format!("failed to {what} with {who}")).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Says what failed about files, or what a registry said while an image was written elsewhere.
pub(crate) fn image(what: String, error: ImageError) -> Failure {
    if let ImageError::Remote { source, .. } = &error
        && (source.downcast_ref().is_some_and(|e: &RegistryError| e.kind == RegistryErrorKind::Cancelled)
            || source.downcast_ref().is_some_and(EngineError::is_stopped))
    {
        return Failure::new(FailureKind::Interrupted, "interrupted");
    }
    let hint = match &error {
        ImageError::NoPlatform { .. } => Some("`--platform OS/ARCH` chooses one of them"),
        _ => None,
    };
    let failure = Failure::new(FailureKind::Other, what).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
