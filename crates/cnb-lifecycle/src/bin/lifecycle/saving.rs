//! Saves an image under its names and tells which of them worked (requirements B75, B76, H14).

use cnb_image::Image;
use cnb_lifecycle::images::{Identity, Saved};
use cnb_spec::fault;
use cnb_spec::platform::report_toml::Report;

use crate::connected::Connected;
use crate::console::Level;
use crate::exit::{Context, Failure, Plain, describe};
use crate::phase::Phase;
use crate::timer::Timer;

/// What saving gave.
pub(crate) struct Outcome {
    /// What `report.toml` says.
    pub(crate) report: Report,
    /// Whether the first name worked.
    pub(crate) is_primary_saved: bool,
    /// The names that did not work, as a failure of the phase.
    pub(crate) result: Result<(), Failure>,
}

/// Saves `image` under all names that are to be written.
pub(crate) fn save(connected: &Connected<'_>, image: &Image, phase: Phase) -> Result<Outcome, Failure> {
    let Connected { console, images, names, .. } = connected;
    let fail = |cause: Box<dyn std::error::Error>| match phase {
        Phase::Rebaser => Failure::rebase("rebase")(cause),
        _ => Failure::export("export")(cause),
    };
    let shown = images.shown(&names.image);
    let _timer = Timer::start(console, &format!("Saving {shown}..."));
    console.log(Level::Info, &format!("Saving {shown}..."));
    let saved = images
        .save(image, &names.destinations())
        .map_err(|e| fail(Context::new("saving image", e).into()))?;
    let Saved { identity, manifest_size, names } = saved;
    let short = match &identity {
        Identity::Digest(digest) => digest.to_string(),
        Identity::ImageId(id) => id.chars().take(12).collect(),
        Identity::Layout(layout) => layout.clone(),
    };
    console.log(Level::Info, &format!("*** Images ({short}):"));
    let mut report = Report { manifest_size: manifest_size.unwrap_or_default(), ..Report::default() };
    let mut failures = Vec::new();
    for (name, error) in &names {
        if let Some(error) = error {
            let why = describe(error);
            console.log(Level::Info, &format!("      {name} - {why}"));
            failures.push(format!("[{name}: {why}]"));
        } else {
            console.log(Level::Info, &format!("      {name}"));
            report.tags.push(name.clone());
        }
    }
    match identity {
        Identity::Digest(digest) => {
            if !fault::is("report-digest-lost") {
                report.digest = digest.to_string();
            }
            console.log(Level::Debug, &format!("\n*** Digest: {digest}"));
        }
        Identity::ImageId(id) => {
            console.log(Level::Debug, &format!("\n*** Image ID: {id}"));
            report.image_id = id;
        }
        Identity::Layout(_) => {}
    }
    if let Some(size) = manifest_size {
        console.log(Level::Debug, &format!("\n*** Manifest Size: {size}"));
    }
    let is_primary_saved = names.first().is_some_and(|(_, error)| error.is_none());
    let result = if failures.is_empty() {
        Ok(())
    } else {
        let text = format!("failed to write image to the following tags: {}", failures.join(","));
        Err(fail(Plain(text).into()))
    };
    Ok(Outcome { report, is_primary_saved, result })
}
