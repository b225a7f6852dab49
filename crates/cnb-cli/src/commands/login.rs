//! `cnb login`: tries credentials at a registry, and keeps them where docker and podman look for theirs.

use std::io;

use cnb_registry::credentials::login::{Kept, Login, LoginFile, logged_in};
use cnb_registry::credentials::{Credentials, Secret};
use cnb_registry::{Auth, Registry, RegistryError, Settings};

use crate::args::LoginArgs;
use crate::error::{CliError, Usage};
use crate::printer::{self, Printer};
use crate::world::World;
use crate::{ask, place};

/// Logs in to a registry.
pub(crate) fn run(args: &LoginArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let registry = place::registry(args.registry.as_deref())?;
    let Some(login) = login(args, world, &registry)? else { return Err(CliError::GivenUp) };
    let file = place::login_file(args.authfile.as_deref(), world)?;
    verify(args, world, &registry, &login.auth())?;
    let kept = file.store(&registry, &login)?;
    printer.note(&format!("Logged in to {}", place::shown(&registry)));
    if let Kept::File(path) = kept {
        printer.note(&format!(
            "The password is kept in plain text in `{}`; a credential helper, named there as `credsStore`, would \
             keep it safe",
            path.display()
        ));
    }
    if args.authfile.is_none() {
        tell_what_comes_first(&registry, &file, world, printer);
    }
    Ok(())
}

/// Asks the registry whether it takes the credentials.
fn verify(args: &LoginArgs, world: &World, registry: &str, auth: &Auth) -> Result<(), RegistryError> {
    let mut settings = Settings::from_env(&world.env, Credentials::default());
    if args.insecure_registry {
        settings.insecure.push(registry.to_owned());
    }
    Registry::new(settings)?.login_check(registry, auth)
}

/// Finds out who the user is; `None` when they would rather not say.
fn login(args: &LoginArgs, world: &World, registry: &str) -> Result<Option<Login>, CliError> {
    let named = args.username.clone();
    let (user, password) = if args.password_stdin {
        let user = named.ok_or_else(|| {
            Usage::new("`--password-stdin` needs a user")
                .hint("name the user: `cnb login REGISTRY --username USER --password-stdin`")
        })?;
        (user, ask::piped(io::stdin().lock()).map_err(CliError::Stdin)?)
    } else if world.stdin_terminal {
        let user = match named {
            Some(user) => user,
            None => match ask_for_user(world, registry)? {
                Some(user) => user,
                None => return Ok(None),
            },
        };
        printer::to_stderr("Password: ");
        let password = ask::secret(&mut io::stdin().lock()).map_err(CliError::Stdin)?;
        printer::to_stderr("\n");
        match password {
            Some(password) => (user, password),
            None => return Ok(None),
        }
    } else {
        return Err(Usage::new("there is no terminal to ask for the password")
            .hint("give it on standard input: `cnb login REGISTRY --username USER --password-stdin < FILE`")
            .into());
    };
    if user.is_empty() || user.contains(':') {
        return Err(Usage::new(format!("`{user}` is not a user: it is empty or has a `:`")).into());
    }
    if password.is_empty() {
        return Err(Usage::new("the password is empty").into());
    }
    Ok(Some(Login::Password { user, password: Secret::new(password) }))
}

/// Asks for the user; an empty answer means who they were before.
fn ask_for_user(world: &World, registry: &str) -> Result<Option<String>, CliError> {
    // What cannot be found out is just not offered.
    let before = Credentials::from_env(&world.env).and_then(|all| logged_in(&all, registry)).ok().flatten();
    let before = before.and_then(|found| found.user);
    let offer = before.as_ref().map(|user| format!(" ({user})")).unwrap_or_default();
    printer::to_stderr(&format!("User for {}{offer}: ", place::shown(registry)));
    let answer = ask::line(&mut io::stdin().lock()).map_err(CliError::Stdin)?;
    Ok(answer.map(|typed| match (typed.trim(), before) {
        ("", Some(user)) => user,
        (typed, _) => typed.to_owned(),
    }))
}

/// Tells the user if their new login is of no use since something else comes first.
fn tell_what_comes_first(registry: &str, file: &LoginFile, world: &World, printer: Printer) {
    // The login itself has worked: what goes wrong here will be said when it matters.
    let found = Credentials::from_env(&world.env).and_then(|all| logged_in(&all, registry));
    if let Ok(Some(found)) = found
        && found.place != file.path().display().to_string()
    {
        printer.warn(&format!("`{}` has other credentials for it, which come first", found.place));
    }
}
