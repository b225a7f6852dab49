//! How registries are reached, as options of every command that reaches one; and the user's `config.toml`.

use std::path::PathBuf;

use clap::Args;
use cnb_platform::{HostPath, Platform, UserConfig};

use crate::error::{CliError, Usage};
use crate::printer::Printer;
use crate::world::World;

const REGISTRIES: &str = "Registries";

/// Options about registries.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RemoteArgs {
    /// The file with credentials for registries, asked before all others
    #[arg(long, value_name = "FILE", help_heading = REGISTRIES)]
    pub(crate) authfile: Option<PathBuf>,
    /// A registry, or a prefix of image names, for which http is allowed, and https without verification of the
    /// certificate (repeatable)
    #[arg(long, value_name = "REGISTRY", help_heading = REGISTRIES)]
    pub(crate) insecure_registry: Vec<String>,
    /// A folder with certificates of authorities (`*.crt`, `*.pem`), and with a folder `HOST[:PORT]` for what is meant
    /// for one registry (repeatable)
    #[arg(long, value_name = "DIR", help_heading = REGISTRIES)]
    pub(crate) cert_dir: Vec<PathBuf>,
}

/// Returns the platform, set up as the options and `config.toml` say, and that file's other settings.
pub(crate) fn platform(
    args: &RemoteArgs,
    world: &World,
    printer: Printer,
) -> Result<(Platform, UserConfig), CliError> {
    let home = world.home()?;
    let config = UserConfig::read(&home)?;
    for key in &config.unknown {
        printer.warn(&format!("`{}` means nothing in `{}`", key, home.config.join("config.toml")));
    }
    let mut remote = config.remote();
    remote.insecure.extend(args.insecure_registry.iter().cloned());
    let path = |option: &str, path: &PathBuf| match &world.cwd {
        _ if path.as_os_str().is_empty() => {
            Err(Usage::new(format!("the path after `{option}` is empty")).into())
        }
        Ok(cwd) => Ok(HostPath::new(cwd, path)),
        Err(e) => Err(CliError::CurrentFolder(e.kind().into())),
    };
    remote.authfile = args.authfile.as_ref().map(|file| path("--authfile", file)).transpose()?;
    remote.certificates =
        args.cert_dir.iter().map(|dir| path("--cert-dir", dir)).collect::<Result<_, _>>()?;
    Ok((Platform::new(home, world.env.clone()).with_remote(remote), config))
}
