//! `cnb logout`: forgets credentials.

use std::path::Path;

use cnb_registry::credentials::Credentials;
use cnb_registry::credentials::login::logged_in;

use crate::args::LogoutArgs;
use crate::error::CliError;
use crate::place;
use crate::printer::Printer;
use crate::world::World;

/// Forgets the credentials for a registry, or all.
pub(crate) fn run(args: &LogoutArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    if args.all {
        let file = place::login_file(args.authfile.as_deref(), world)?;
        let path = file.path().display();
        printer.note(&if file.erase_all()? {
            format!("Logged out of all registries in `{path}`")
        } else {
            format!("There are no logins in `{path}`")
        });
        return Ok(());
    }
    let registry = place::registry(args.registry.as_deref())?;
    let file = place::login_file(args.authfile.as_deref(), world)?;
    let shown = place::shown(&registry);
    printer.note(&if file.erase(&registry)? {
        format!("Logged out of {shown}")
    } else {
        format!("There is no login for {shown} in `{}`", file.path().display())
    });
    // Whoever names a file cares for that file only.
    if args.authfile.is_none()
        && let Some(left) = logged_in(&Credentials::from_env(&world.env)?, &registry)?
    {
        printer.warn(&still_there(&left.place, shown));
    }
    Ok(())
}

fn still_there(place: &str, registry: &str) -> String {
    let advice = if Path::new(place).is_absolute() {
        format!("; `cnb logout {registry} --authfile {place}` removes them")
    } else {
        String::new()
    };
    format!("`{place}` still has credentials for it{advice}")
}
