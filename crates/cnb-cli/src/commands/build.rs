//! `cnb build`: source code in, an image out.

use std::io;
use std::sync::Arc;

use cnb_platform::{Cancel, Event, Level, Report};

use crate::args::BuildArgs;
use crate::error::CliError;
use crate::printer::Printer;
use crate::progress::{Progress, Style};
use crate::request::{self, Surroundings};
use crate::world::World;
use crate::{quantity, remote, signals};

/// Builds an image, and says how to run it.
pub(crate) fn run(args: &BuildArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let (mut request, warnings) = request::build(args, &Surroundings::of(world)?)?;
    let (platform, config) = remote::platform(&args.remote, world, printer)?;
    request.load = config.load_into_engine && !args.no_load;

    let clock = args.timestamps.then_some(world.clock);
    let style = Style { printer, live: world.live(), clock };
    let progress = Arc::new(Progress::new(style, io::stderr()));
    for warning in &warnings {
        progress.hear(&Event::Message(Level::Warning, warning));
    }
    let cancel = Cancel::new();
    signals::stop(cancel.clone(), Arc::clone(&progress)).map_err(CliError::Signals)?;

    let start = (world.clock)();
    let outcome = platform.build(&request, &|event: Event<'_>| progress.hear(&event), &cancel);
    let report = match outcome {
        Ok(report) => report,
        Err(failure) => {
            progress.fail();
            return Err(failure.into());
        }
    };
    let time = (world.clock)().duration_since(start).unwrap_or_default();
    progress.note(&format!("Built {} in {} ({})", report.image, quantity::duration(time), facts(&report)));
    for output in &report.outputs {
        progress.note(&wrote(&output.place));
    }
    if let Some(command) = next_step(&report) {
        progress.note(&format!("Run it: {command}"));
    }
    progress.finish();
    if args.json {
        printer.json(&report)
    } else if printer.quiet {
        printer.data(&format!("{}\n", report.digest))
    } else {
        Ok(())
    }
}

/// Returns what was done to bring the image to a place.
fn wrote(place: &str) -> String {
    match place.split_once(':') {
        Some(("docker", name)) => format!("Loaded into Docker as {name}"),
        Some(("podman", name)) => format!("Loaded into Podman as {name}"),
        Some(("registry", name)) => format!("Published {name}"),
        _ => format!("Wrote {place}"),
    }
}

/// Returns what is worth knowing of an image in a few words.
fn facts(report: &Report) -> String {
    let reused = report.layers.iter().filter(|layer| layer.reused).count();
    format!(
        "{}, {}, {reused} of {} layers reused",
        quantity::short_digest(&report.digest),
        quantity::size(report.size),
        report.layers.len()
    )
}

/// Returns the command that runs an image; there is none for an image without processes.
fn next_step(report: &Report) -> Option<String> {
    let image = &report.image;
    let process = report.processes.iter().find(|p| p.default).or_else(|| report.processes.first())?;
    let choice = if process.default { String::new() } else { format!(" --process {}", process.process_type) };
    let port = if process.process_type == "web" { " -p 8080" } else { "" };
    Some(format!("cnb run {image}{choice}{port}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cnb_platform::{ReportLayer, ReportProcess};

    use super::*;

    fn report(processes: &[(&str, bool)]) -> Report {
        let layer = |reused| ReportLayer {
            name: "l".to_owned(),
            diff_id: String::new(),
            digest: String::new(),
            size: 1,
            reused,
        };
        Report {
            image: "myapp".to_owned(),
            tags: Vec::new(),
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            image_id: String::new(),
            manifest_size: 0,
            size: 45 << 20,
            run_image: String::new(),
            buildpacks: Vec::new(),
            processes: processes
                .iter()
                .map(|(name, default)| ReportProcess {
                    process_type: (*name).to_owned(),
                    command: Vec::new(),
                    default: *default,
                })
                .collect(),
            layers: vec![layer(true), layer(false), layer(true)],
            outputs: Vec::new(),
            warnings: Vec::new(),
            milliseconds: BTreeMap::new(),
        }
    }

    #[test]
    fn what_was_done_is_said_in_the_words_of_the_place() {
        assert_eq!(wrote("docker:app:latest"), "Loaded into Docker as app:latest");
        assert_eq!(wrote("podman:app"), "Loaded into Podman as app");
        assert_eq!(wrote("registry:r.io/app:1"), "Published r.io/app:1");
        assert_eq!(wrote("oci:/x"), "Wrote oci:/x");
    }

    #[test]
    fn the_facts_fit_on_a_line() {
        assert_eq!(facts(&report(&[])), "sha256:0123456789ab, 45 MiB, 2 of 3 layers reused");
    }

    #[test]
    fn the_next_step_starts_something_that_the_image_has() {
        let step = |processes: &[(&str, bool)]| next_step(&report(processes));
        assert_eq!(step(&[("web", true), ("task", false)]).unwrap(), "cnb run myapp -p 8080");
        assert_eq!(step(&[("web", false), ("task", true)]).unwrap(), "cnb run myapp");
        assert_eq!(step(&[("task", false)]).unwrap(), "cnb run myapp --process task");
        assert_eq!(step(&[]), None);
    }
}
