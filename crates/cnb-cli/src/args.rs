//! The command line as typed: names, values and help texts; what they mean is decided in [`request`](crate::request).
//!
//! The help texts are also the reference, `docs/cli.md`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::remote::RemoteArgs;
use crate::source_args::{BUILDPACKS, SourceArgs};

const GLOBAL: &str = "Options of every command";
const CACHE: &str = "Reuse";
const OUTPUT: &str = "Results";
const PROGRESS: &str = "Progress";

/// Builds and runs container images from source code with Cloud Native Buildpacks, without an engine.
#[derive(Debug, Parser)]
#[command(name = "cnb", version, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    /// What is shown.
    #[command(flatten)]
    pub(crate) show: Show,
    /// What is done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Show {
    /// Show more: sizes, times, and what is only interesting when something is wrong
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
    /// Show errors only; `build` prints the digest of the image, `images` the names
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// Use no colours, as with `NO_COLOR` in the environment
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_color: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image from the source code of an application
    Build(Box<BuildArgs>),
    /// Show what `build` would do, without building: buildpacks, versions, commands, processes
    Plan(Box<PlanArgs>),
    /// Run an image here, without an engine; what it changes is thrown away
    Run(RunArgs),
    /// List the images of the local store
    Images(ImagesArgs),
    /// Show what an image consists of, wherever it is
    Inspect(InspectArgs),
    /// Copy an image between the local store, registries, engines, folders and files
    Copy(CopyArgs),
    /// Put an image on a newer run image, without building it again
    Rebase(RebaseArgs),
    /// Remove images from the local store
    Rm(RmArgs),
    /// Delete what no image needs any more, and what interrupted builds left
    Gc(GcArgs),
    /// Log in to a registry: the credentials are tried, and kept where docker and podman look for theirs
    Login(LoginArgs),
    /// Log out of a registry: its credentials are forgotten
    Logout(LogoutArgs),
    /// Print the completions for a shell
    Completion(CompletionArgs),
    /// Print the version
    Version,
}

/// `cnb build`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct BuildArgs {
    /// What the buildpacks work on, and with.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// The name of the image
    #[arg(long, short, value_name = "NAME")]
    pub(crate) image: Option<String>,
    /// One more name for the image (repeatable)
    #[arg(long, short, value_name = "NAME")]
    pub(crate) tag: Vec<String>,
    /// The process type to start by default
    #[arg(long = "default-process", short = 'D', visible_alias = "process", value_name = "TYPE", help_heading = BUILDPACKS)]
    pub(crate) default_process: Option<String>,

    /// Where cached layers are kept: `dir:PATH`, `registry:NAME`; the first is written, all are read (repeatable)
    /// [default: with the local store, one per image]
    #[arg(long, value_name = "CACHE", help_heading = CACHE)]
    pub(crate) cache: Vec<OsString>,
    /// Forget what earlier builds of this image cached
    #[arg(long, help_heading = CACHE)]
    pub(crate) clear_cache: bool,
    /// The image whose layers are reused, any PLACE that `cnb copy` reads [default: the one with the same name in the
    /// local store, or else, with `--publish`, in its registry]
    #[arg(long, value_name = "PLACE", help_heading = CACHE)]
    pub(crate) previous_image: Option<OsString>,

    /// Push the image to the registries that its names begin with
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) publish: bool,
    /// Where the image goes beside the local store: `docker`, `podman`, `registry:NAME`, `oci:DIR`, `oci-archive:FILE`
    /// or `docker-archive:FILE` (repeatable)
    #[arg(long, short, value_name = "OUTPUT", help_heading = OUTPUT)]
    pub(crate) output: Vec<OsString>,
    /// Do not load the image into a Docker or Podman engine, which is done where one can be reached and neither
    /// `--output` nor `--publish` is given
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) no_load: bool,
    /// The time of creation: seconds since 1970, RFC 3339, or `now` [default: `SOURCE_DATE_EPOCH`, or 1980-01-01, so
    /// that the same source gives the same image]
    #[arg(long, visible_alias = "date-time", value_name = "TIME", allow_negative_numbers = true, help_heading = OUTPUT)]
    pub(crate) creation_time: Option<String>,
    /// Where `report.toml` is written
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) report: Option<PathBuf>,
    /// The folder to which the SBOM files of the image are copied
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub(crate) sbom_output_dir: Option<PathBuf>,

    /// Print a report in JSON on standard output
    #[arg(long, help_heading = PROGRESS)]
    pub(crate) json: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// Start each line of the progress with the time
    #[arg(long, help_heading = PROGRESS)]
    pub(crate) timestamps: bool,
    /// The same as --verbose
    #[arg(short = 'v', help_heading = PROGRESS)]
    pub(crate) v: bool,
}

/// `cnb plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// What the buildpacks work on, and with.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cnb run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The image, of the local store
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The port to tell the application in `PORT`; the network is that of this machine. A warning says when the application does not listen there for others, too
    #[arg(long, short, value_name = "PORT")]
    pub(crate) port: Option<String>,
    /// An environment variable for the application; `K` alone takes the value that it has here (repeatable)
    #[arg(long, short, value_name = "K=V")]
    pub(crate) env: Vec<OsString>,
    /// A file with such variables, one a line, `#` starts a comment (repeatable); `--env` wins
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// A service binding for the application, at `SERVICE_BINDING_ROOT`: `NAME=TYPE,key=value,…`, where `key=@FILE` and `key=$VARIABLE` keep a value
    /// out of the command line, or `NAME=DIR` or `DIR` for a folder with a file `type` and one for each key (repeatable)
    #[arg(long, value_name = "BINDING")]
    pub(crate) binding: Vec<String>,
    /// The process type to start instead of the default
    #[arg(long, value_name = "TYPE", conflicts_with = "entrypoint")]
    pub(crate) process: Option<String>,
    /// The program to start instead of a process of the image
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// A folder of this machine that the application sees: writable, or read-only with `:ro` (repeatable)
    #[arg(long, short, value_name = "HOST:GUEST[:ro]")]
    pub(crate) volume: Vec<OsString>,
    /// Whether the application gets a terminal; `-t` alone means `always`
    #[arg(long, short, value_name = "WHEN", value_enum, default_value = "auto")]
    #[arg(num_args = 0..=1, default_missing_value = "always", require_equals = true)]
    pub(crate) tty: TtyArg,
    /// Accepted as engines have it: standard input is always connected.
    #[arg(long, short, hide = true)]
    pub(crate) interactive: bool,
    /// Accepted as engines have it: what a run changes is always thrown away.
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    /// Arguments for the process
    #[arg(value_name = "CMD", last = true)]
    pub(crate) args: Vec<String>,
}

/// When an application gets a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TtyArg {
    /// When there is one here.
    #[value(help = "when standard input and output are one")]
    Auto,
    /// In any case.
    #[value(help = "in any case")]
    Always,
    /// In no case.
    #[value(help = "in no case")]
    Never,
}

/// `cnb images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cnb inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The image: a name in the local store, or else, if it begins with a registry, at that registry; or any other
    /// PLACE that `cnb copy` reads
    #[arg(value_name = "IMAGE")]
    pub(crate) image: OsString,
    /// Which image of an index: OS/ARCH or OS/ARCH/VARIANT [default: Linux on the architecture of this machine]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cnb copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What is copied: `registry:NAME`, `docker:NAME`, `podman:NAME`, `oci:DIR[:TAG]`, `oci-archive:FILE[:NAME]`,
    /// `docker-archive:FILE[:NAME]`, `store:NAME`, or a name alone, which means the local store, and the registry that
    /// it begins with if the store does not have it
    #[arg(value_name = "SRC")]
    pub(crate) from: OsString,
    /// Where to, in the same forms; a name alone means the local store
    #[arg(value_name = "DST")]
    pub(crate) to: OsString,
    /// Copy an index with the images for all platforms, and everything as it is
    #[arg(long, conflicts_with = "platform")]
    pub(crate) all: bool,
    /// Which image of an index: OS/ARCH or OS/ARCH/VARIANT [default: Linux on the architecture of this machine]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cnb rebase`.
#[derive(Debug, Args)]
pub(crate) struct RebaseArgs {
    /// The image, in any of the forms of `cnb copy`; a name alone means the local store
    #[arg(value_name = "IMAGE")]
    pub(crate) image: OsString,
    /// The new run image, in any of the forms of `cnb copy` [default: the one that the image names, or a mirror of it]
    #[arg(long, value_name = "PLACE")]
    pub(crate) run_image: Option<OsString>,
    /// One more name for the rebased image; a name alone is where IMAGE is (repeatable)
    #[arg(long, short, value_name = "NAME")]
    pub(crate) tag: Vec<OsString>,
    /// IMAGE is a name at a registry, and is rebased there
    #[arg(long)]
    pub(crate) publish: bool,
    /// The image to rebase, if IMAGE is only the name for the new one
    #[arg(long, value_name = "PLACE")]
    pub(crate) previous_image: Option<OsString>,
    /// Rebase although the run image does not fit
    #[arg(long)]
    pub(crate) force: bool,
    /// Where `report.toml` is written
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cnb rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
}

/// `cnb gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cnb login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The registry, with its port if it has one [default: docker.io]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
    /// The user; asked for on a terminal if left out
    #[arg(long, short, value_name = "USER")]
    pub(crate) username: Option<String>,
    /// Read the password, or an access token, from standard input instead of asking for it on a terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The file with the credentials [default: `REGISTRY_AUTH_FILE`, else docker's `config.json`, else podman's
    /// `auth.json` if only that exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Allow http, and https without verification of the certificate
    #[arg(long)]
    pub(crate) insecure_registry: bool,
}

/// `cnb logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry, with its port if it has one [default: docker.io]
    #[arg(value_name = "REGISTRY", conflicts_with = "all")]
    pub(crate) registry: Option<String>,
    /// Log out of all registries
    #[arg(long)]
    pub(crate) all: bool,
    /// The file with the credentials [default: the one that `cnb login` would choose]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
}

/// `cnb completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}
