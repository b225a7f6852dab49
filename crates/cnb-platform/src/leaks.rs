//! Looks for the secrets of bindings in what a build made, before anybody gets it.

use std::io;

use cnb_image::Image;

use crate::binding::secrets::{Leak, Secrets};
use crate::build::{Known, Session};
use crate::export::ExportedImage;
use crate::{Failure, FailureKind, Phase, images};

impl Session<'_> {
    /// Fails if a secret is in a layer that the build made or took over, or in the image's config.
    ///
    /// The SBOMs of the image are a layer of it. Those of the run image are not looked at: no build wrote them.
    pub(crate) fn check_leaks(&self, known: &Known, made: &ExportedImage) -> Result<(), Failure> {
        let Some(secrets) = Secrets::of(&self.request.bindings) else { return Ok(()) };
        let image = &made.exported.image;
        if let Some((leak, place)) = in_config(&secrets, image) {
            return Err(leaked(&leak, &place));
        }
        for layer in image.layers().iter().filter(|l| known.base.image.layer(&l.diff_id).is_none()) {
            let name = images::layer_name(&made.exported.metadata, &layer.diff_id.to_string());
            let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
                let message = format!("failed to look for secrets in the layer `{name}`");
                Failure::new(FailureKind::Phase(Phase::Export), message).because(e)
            };
            let tar = layer.open_tar().map_err(|e| failed(e.into()))?;
            if let Some((leak, file)) = in_tar(&secrets, tar).map_err(|e| failed(e.into()))? {
                return Err(leaked(&leak, &format!("`/{file}` of the layer `{name}`")));
            }
        }
        Ok(())
    }
}

fn leaked(leak: &Leak, place: &str) -> Failure {
    let message =
        format!("`{}` of the binding `{}` would be in the image, in {place}", leak.key, leak.binding);
    Failure::new(FailureKind::Phase(Phase::Export), message)
        .hint("a binding is for the time of the build only: what needs the value later reads it from the binding of a run")
}

fn in_config(secrets: &Secrets, image: &Image) -> Option<(Leak, String)> {
    let config = &image.config().config;
    let label = config.labels.iter().find_map(|(name, value)| {
        secrets.find(value.as_bytes()).map(|leak| (leak, format!("the label `{name}`")))
    });
    label.or_else(|| {
        let leak = config.env.iter().find_map(|pair| secrets.find(pair.as_bytes()))?;
        Some((leak, "its environment".to_owned()))
    })
}

/// Names the first file with a secret in its contents, its name or what it links to.
fn in_tar(secrets: &Secrets, tar: impl io::Read) -> io::Result<Option<(Leak, String)>> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path_bytes().into_owned();
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let found = match secrets.find(&name).or_else(|| secrets.find(&link)) {
            Some(leak) => Some(leak),
            None => secrets.find_in(&mut entry)?,
        };
        if let Some(leak) = found {
            return Ok(Some((leak, secrets.mask(String::from_utf8_lossy(&name).trim_start_matches('/')))));
        }
    }
    Ok(None)
}
