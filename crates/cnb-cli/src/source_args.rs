//! What `cnb build` and `cnb plan` have in common: the application, the buildpacks, and what these have.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(crate) const BUILDPACKS: &str = "Buildpacks and base";
const ENVIRONMENT: &str = "What the buildpacks have";

/// All that detection depends on.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The folder with the application's source code; never written [default: .]
    #[arg(value_name = "APP")]
    pub(crate) app: Option<PathBuf>,
    /// The same as APP
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,

    /// A buildpack to use instead of detecting which are wanted: a directory, a tar archive, a `.cnb` file, or
    /// `id` or `id@version` of a bundled one (repeatable, or separated by commas)
    #[arg(long, short, value_name = "BUILDPACK", value_delimiter = ',', help_heading = BUILDPACKS)]
    pub(crate) buildpack: Vec<String>,
    /// The builder: `host` makes images from the host's own system
    #[arg(long, short = 'B', value_name = "BUILDER", default_value = "host", help_heading = BUILDPACKS)]
    pub(crate) builder: String,
    /// The image to run on instead of a minimal one made from the host: any PLACE that `cnb copy` reads
    #[arg(long, value_name = "PLACE", help_heading = BUILDPACKS)]
    pub(crate) run_image: Option<OsString>,
    /// The project descriptor [default: `project.toml` in the application's folder]
    #[arg(long, short, value_name = "FILE", help_heading = BUILDPACKS)]
    pub(crate) descriptor: Option<PathBuf>,
    /// The execution environment [default: production]
    #[arg(long, value_name = "NAME", help_heading = BUILDPACKS)]
    pub(crate) exec_env: Option<String>,
    /// Where the application lies in the image
    #[arg(long, value_name = "PATH", default_value = "/workspace", help_heading = BUILDPACKS)]
    pub(crate) workspace: PathBuf,

    /// An environment variable for the buildpacks; `K` alone takes the value that it has here (repeatable)
    #[arg(long, short, value_name = "K=V", help_heading = ENVIRONMENT)]
    pub(crate) env: Vec<OsString>,
    /// A file with such variables, one a line, `#` starts a comment (repeatable); `--env` wins
    #[arg(long, value_name = "FILE", help_heading = ENVIRONMENT)]
    pub(crate) env_file: Vec<PathBuf>,
    /// A folder of this machine that the buildpacks see: read-only, or writable with `:rw` (repeatable)
    #[arg(long, value_name = "HOST:GUEST[:ro|rw]", help_heading = ENVIRONMENT)]
    pub(crate) volume: Vec<OsString>,
    /// A service binding for the buildpacks: `NAME=TYPE,key=value,…`, where `key=@FILE` and `key=$VARIABLE` keep a value
    /// out of the command line, or `NAME=DIR` or `DIR` for a folder with a file `type` and one for each key (repeatable)
    #[arg(long, value_name = "BINDING", help_heading = ENVIRONMENT)]
    pub(crate) binding: Vec<String>,
    /// The network that the buildpacks have
    #[arg(long, value_name = "NETWORK", value_enum, default_value = "host", help_heading = ENVIRONMENT)]
    pub(crate) network: NetworkArg,
    /// How the buildpacks are kept from this machine
    #[arg(long, value_name = "KIND", value_enum, default_value = "auto", help_heading = ENVIRONMENT)]
    pub(crate) isolation: IsolationArg,
    /// How long the build may take: `90s`, `10m`, `1h30m`
    #[arg(long, value_name = "DURATION", help_heading = ENVIRONMENT)]
    pub(crate) timeout: Option<String>,
    /// How much memory the buildpacks may use: `512M`, `2G`
    #[arg(long, value_name = "SIZE", help_heading = ENVIRONMENT)]
    pub(crate) memory: Option<String>,
    /// How many processes the buildpacks may have at a time
    #[arg(long, value_name = "N", default_value_t = 4096, help_heading = ENVIRONMENT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pids: u64,
    /// How much the buildpacks may write: `512M`, `2G`
    #[arg(long, value_name = "SIZE", help_heading = ENVIRONMENT)]
    pub(crate) disk: Option<String>,
}

/// The networks to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// That of this machine.
    #[value(help = "that of this machine")]
    Host,
    /// None but a loop-back interface.
    #[value(help = "none but a loop-back interface")]
    None,
}

/// The kinds of isolation to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArg {
    /// A sandbox where the kernel allows one.
    #[value(help = "a sandbox where the kernel allows one, else none, with a warning")]
    Auto,
    /// A sandbox, or nothing.
    #[value(help = "a sandbox, or an error")]
    Sandbox,
    /// No sandbox.
    #[value(help = "no sandbox")]
    None,
}
