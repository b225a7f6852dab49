//! `cnb rebase`: an image on a newer run image.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cnb_platform::{Cancel, Event, HostPath, Place, RebaseRequest};

use crate::args::RebaseArgs;
use crate::error::{CliError, Usage};
use crate::printer::Printer;
use crate::progress::{Progress, Style};
use crate::request::Surroundings;
use crate::world::World;
use crate::{place, quantity, remote, signals};

/// Rebases an image, and prints its digest.
pub(crate) fn run(args: &RebaseArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let request = request(args, Surroundings::of(world)?.cwd)?;
    let (platform, _) = remote::platform(&args.remote, world, printer)?;

    let style = Style { printer, live: world.live(), clock: None };
    let progress = Arc::new(Progress::new(style, io::stderr()));
    let cancel = Cancel::new();
    signals::stop(cancel.clone(), Arc::clone(&progress)).map_err(CliError::Signals)?;
    let outcome = platform.rebase(&request, &|event: Event<'_>| progress.hear(&event), &cancel);
    let rebased = match outcome {
        Ok(rebased) => rebased,
        Err(failure) => {
            progress.fail();
            return Err(failure.into());
        }
    };
    let digest = &rebased.image.digest;
    progress.note(&format!("Rebased {} ({})", rebased.image.place, quantity::short_digest(digest)));
    progress.finish();
    if args.json { printer.json(&rebased) } else { printer.data(&format!("{digest}\n")) }
}

fn request(args: &RebaseArgs, cwd: &Path) -> Result<RebaseRequest, Usage> {
    let typed = place::place(&args.image, cwd)?;
    let image = match (typed, args.publish) {
        (Place::Name(name), false) => Place::Store(name),
        (Place::Name(name), true) | (Place::Registry(name), _) => Place::Registry(name),
        (other, true) => {
            return Err(Usage::new(format!("`--publish` is about registries, and `{other}` is not at one"))
                .hint("leave `--publish` out, or write the name alone"));
        }
        (other, false) => other,
    };
    let place = |typed: &std::ffi::OsString| place::place(typed, cwd);
    let tag = |typed: &std::ffi::OsString| beside(&image, typed, cwd);
    let report = match &args.report {
        Some(path) if path.as_os_str().is_empty() => {
            return Err(Usage::new("the path after `--report` is empty"));
        }
        Some(path) => Some(HostPath::new(cwd, path)),
        None => None,
    };
    // The image to rebase is where the new one goes, unless it says otherwise.
    let previous = args.previous_image.as_ref().map(|previous| beside(&image, previous, cwd)).transpose()?;
    Ok(RebaseRequest {
        tags: args.tag.iter().map(tag).collect::<Result<_, _>>()?,
        previous_image: previous,
        run_image: args.run_image.as_ref().map(place).transpose()?,
        force: args.force,
        report,
        image,
    })
}

/// Takes a name alone as one where `image` is.
fn beside(image: &Place, typed: &OsStr, cwd: &Path) -> Result<Place, Usage> {
    Ok(match (place::place(typed, cwd)?, image) {
        (Place::Name(name), Place::Registry(_)) => Place::Registry(name),
        (Place::Name(name), Place::Engine(kind, _)) => Place::Engine(*kind, name),
        (Place::Name(name), _) => Place::Store(name),
        (other, _) => other,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Command, CommandLine};

    #[track_caller]
    fn check(typed: &str, image: &str, tags: &[&str], previous: Option<&str>) {
        let words = std::iter::once("cnb").chain(typed.split_whitespace());
        let Command::Rebase(args) = CommandLine::try_parse_from(words).unwrap().command else { panic!() };
        let found = request(&args, Path::new("/cwd")).unwrap();
        assert_eq!(found.image.to_string(), image);
        assert_eq!(found.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), tags);
        assert_eq!(found.previous_image.map(|p| p.to_string()).as_deref(), previous);
    }

    #[test]
    fn names_alone_are_where_the_image_is() {
        check("rebase app", "store:app", &[], None);
        check("rebase app --publish -t app:2", "registry:app", &["registry:app:2"], None);
        check("rebase docker:app --previous-image old", "docker:app", &[], Some("docker:old"));
        check("rebase oci:x -t app -t docker:y1", "oci:/cwd/x", &["store:app", "docker:y1"], None);
    }

    #[test]
    fn only_names_are_published() {
        let Command::Rebase(args) =
            CommandLine::try_parse_from(["cnb", "rebase", "oci:x", "--publish"]).unwrap().command
        else {
            panic!()
        };
        let error = request(&args, Path::new("/cwd")).unwrap_err();
        assert_eq!(error.to_string(), "`--publish` is about registries, and `oci:/cwd/x` is not at one");
    }
}
