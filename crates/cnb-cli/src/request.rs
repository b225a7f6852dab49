//! The command line as meant: what was typed becomes a request to the platform.
//!
//! Nothing here touches the system; what is needed of it comes in as [`Surroundings`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cnb_platform::{
    Binding, BindingError, BuildRequest, ExecEnv, HostPath, ImageRef, Isolation, Network, Output, RunRequest,
};

use crate::args::{BuildArgs, PlanArgs, RunArgs, TtyArg};
use crate::env_vars::{self, Environment};
use crate::error::{CliError, Usage};
use crate::source_args::{IsolationArg, NetworkArg, SourceArgs};
use crate::{binding, moment, place, quantity};

/// What the meaning of a command line depends on.
pub(crate) struct Surroundings<'a> {
    /// The current folder.
    pub(crate) cwd: &'a Path,
    /// The program's environment.
    pub(crate) env: &'a Environment,
    /// The time, in seconds since 1970.
    pub(crate) now: i64,
    /// Whether standard input and output are a terminal.
    pub(crate) terminal: bool,
    /// Reads a file with environment variables.
    pub(crate) read: &'a dyn Fn(&HostPath) -> io::Result<Vec<u8>>,
    /// Reads a folder with a service binding, under a name.
    pub(crate) read_binding: &'a dyn Fn(&str, &HostPath) -> Result<Binding, BindingError>,
}

/// Returns the build that `args` ask for, and what the user should be warned of.
pub(crate) fn build(
    args: &BuildArgs,
    around: &Surroundings<'_>,
) -> Result<(BuildRequest, Vec<String>), CliError> {
    let cwd = around.cwd;
    let app = app(&args.source, args.image.as_deref())?;
    let Some(name) = &args.image else { return Err(nameless(&app, &HostPath::new(cwd, &app)).into()) };
    let mut warnings = Vec::new();
    let mut request = source(&args.source, &app, name_to_give(name)?, around)?;
    request.tags = args.tag.iter().map(|tag| name_to_give(tag)).collect::<Result<_, _>>()?;
    request.previous_image = args.previous_image.as_deref().map(|i| place::place(i, cwd)).transpose()?;
    request.default_process.clone_from(&args.default_process);
    request.clear_cache = args.clear_cache;
    for cache in &args.cache {
        request.caches.extend(place::cache(cache, cwd)?);
    }
    request.outputs = args.output.iter().map(|o| place::output(o, cwd)).collect::<Result<_, _>>()?;
    if args.publish {
        request.outputs.insert(0, Output::Registries);
    }
    request.created = created(args.creation_time.as_deref(), around, &mut warnings)?;
    request.report = path("--report", args.report.as_ref(), cwd)?;
    request.sbom_output_dir = path("--sbom-output-dir", args.sbom_output_dir.as_ref(), cwd)?;
    Ok((request, warnings))
}

/// Returns the build whose detection `args` ask for; its image is never made, so any name will do.
pub(crate) fn plan(args: &PlanArgs, around: &Surroundings<'_>) -> Result<BuildRequest, CliError> {
    let app = app(&args.source, None)?;
    source(&args.source, &app, place::image("plan")?, around)
}

/// Returns a build of `app` with all that detection depends on.
fn source(
    args: &SourceArgs,
    app: &Path,
    name: ImageRef,
    around: &Surroundings<'_>,
) -> Result<BuildRequest, CliError> {
    let cwd = around.cwd;
    if args.builder != "host" {
        return Err(Usage::new(format!("the builder `{}` is not available in this version", args.builder))
            .hint("leave `--builder` out: the host is the builder; a base comes with `--run-image oci:DIR`")
            .into());
    }
    let mut request = BuildRequest::new(HostPath::new(cwd, app), name);
    request.base = HostPath::new(cwd, "");
    request.env = variables(&args.env, &args.env_file, around)?;
    request.buildpacks.clone_from(&args.buildpack);
    if args.buildpack.iter().any(String::is_empty) {
        return Err(Usage::new("the name of a buildpack is empty").into());
    }
    request.workspace = place::guest_path(&args.workspace).ok_or_else(|| {
        Usage::new(format!("invalid workspace `{}`", args.workspace.display()))
            .hint("write an absolute path below `/`, without `..`, such as `/workspace`")
    })?;
    request.volumes = args.volume.iter().map(|v| place::volume(v, cwd, false)).collect::<Result<_, _>>()?;
    request.bindings = args.binding.iter().map(|b| binding::binding(b, around)).collect::<Result<_, _>>()?;
    request.network = match args.network {
        NetworkArg::Host => Network::Host,
        NetworkArg::None => Network::None,
    };
    request.isolation = match args.isolation {
        IsolationArg::Auto => Isolation::Auto,
        IsolationArg::Sandbox => Isolation::Sandbox,
        IsolationArg::None => Isolation::None,
    };
    request.limits.processes = Some(args.pids);
    request.limits.memory = size("--memory", args.memory.as_deref())?;
    request.disk = size("--disk", args.disk.as_deref())?;
    request.timeout = match &args.timeout {
        None => None,
        Some(text) => Some(quantity::parse_duration(text).ok_or_else(|| {
            let usage = Usage::new(format!("invalid duration `{text}` for `--timeout`"));
            match text.parse::<u64>() {
                Ok(number) if number > 0 => usage.hint(format!("write `{number}s` for seconds")),
                _ => usage.hint("write a number and its unit: `90s`, `10m`, `1h30m`"),
            }
        })?),
    };
    request.run_image = args.run_image.as_deref().map(|i| place::place(i, cwd)).transpose()?;
    request.descriptor = path("--descriptor", args.descriptor.as_ref(), cwd)?;
    if let Some(name) = &args.exec_env {
        request.exec_env = name.parse::<ExecEnv>().map_err(|e| Usage::new(e.to_string()))?;
    }
    Ok(request)
}

fn path(option: &str, typed: Option<&PathBuf>, cwd: &Path) -> Result<Option<HostPath>, Usage> {
    match typed {
        Some(path) if path.as_os_str().is_empty() => {
            Err(Usage::new(format!("the path after `{option}` is empty")))
        }
        path => Ok(path.map(|path| HostPath::new(cwd, path))),
    }
}

/// Returns the run that `args` ask for.
pub(crate) fn run(args: &RunArgs, around: &Surroundings<'_>) -> Result<RunRequest, CliError> {
    let mut env = Vec::new();
    for (name, value) in variables(&args.env, &args.env_file, around)? {
        let value = value.into_string().map_err(|_| {
            Usage::new(format!("the value of the environment variable `{name}` is not UTF-8"))
        })?;
        env.push((name, value));
    }
    Ok(RunRequest {
        image: place::image(&args.image)?,
        env,
        port: args.port.as_deref().map(port).transpose()?,
        process: args.process.clone(),
        entrypoint: args.entrypoint.clone(),
        args: args.args.clone(),
        volumes: args.volume.iter().map(|v| place::volume(v, around.cwd, true)).collect::<Result<_, _>>()?,
        bindings: args.binding.iter().map(|b| binding::binding(b, around)).collect::<Result<_, _>>()?,
        tty: match args.tty {
            TtyArg::Auto => around.terminal,
            TtyArg::Always => true,
            TtyArg::Never => false,
        },
    })
}

/// Returns the folder with the application as typed.
fn app(args: &SourceArgs, image: Option<&str>) -> Result<PathBuf, Usage> {
    let app = match (&args.app, &args.path) {
        (Some(app), Some(path)) => {
            let usage = Usage::new(format!(
                "the application's folder is given twice: `{}` and `--path {}`",
                app.display(),
                path.display()
            ));
            return Err(match image {
                // So `pack` has it: the image first.
                None => usage.hint(format!(
                    "the name of the image comes after `--image`: `cnb build {} --image {}`",
                    path.display(),
                    app.display()
                )),
                Some(_) => usage.hint("leave one of them out"),
            });
        }
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => PathBuf::from("."),
    };
    if app.as_os_str().is_empty() {
        return Err(Usage::new("the path of the application's folder is empty")
            .hint("`cnb build .` builds the current folder"));
    }
    Ok(app)
}

fn nameless(app: &Path, absolute: &HostPath) -> Usage {
    let name = absolute.as_path().file_name().map_or_else(|| "myapp".to_owned(), suggest_name);
    Usage::new("the image has no name")
        .hint(format!("give it one with `--image`: `cnb build {} --image {name}`", app.display()))
}

/// Returns a name for an image that resembles that of a folder.
fn suggest_name(folder: &OsStr) -> String {
    let lower = folder.to_string_lossy().to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    if name.parse::<ImageRef>().is_ok() { name } else { "myapp".to_owned() }
}

/// Reads a name that an image is to get: a digest is not for us to choose.
fn name_to_give(typed: &str) -> Result<ImageRef, Usage> {
    let image = place::image(typed)?;
    if image.digest().is_some() {
        return Err(Usage::new(format!("an image cannot be given the name `{typed}`: it has a digest"))
            .hint("write a name, and a tag if there is to be one: `myapp:1.0`"));
    }
    Ok(image)
}

fn variables(
    typed: &[OsString],
    files: &[PathBuf],
    around: &Surroundings<'_>,
) -> Result<BTreeMap<String, OsString>, CliError> {
    let mut vars = BTreeMap::new();
    for file in files {
        let path = file.display().to_string();
        let text = (around.read)(&HostPath::new(around.cwd, file))
            .map_err(|source| CliError::EnvFile { path: path.clone(), source })?;
        env_vars::add_file(&mut vars, &path, &text, around.env)?;
    }
    for one in typed {
        env_vars::add_typed(&mut vars, one, around.env)?;
    }
    Ok(vars)
}

fn size(option: &str, text: Option<&str>) -> Result<Option<u64>, Usage> {
    let Some(text) = text else { return Ok(None) };
    quantity::parse_size(text).map(Some).ok_or_else(|| {
        Usage::new(format!("invalid size `{text}` for `{option}`"))
            .hint("write a number above zero and its unit: `512M`, `2G`")
    })
}

/// Returns the time of creation; a `SOURCE_DATE_EPOCH` that is no number is ignored with a warning (B69).
fn created(
    typed: Option<&str>,
    around: &Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<i64>, Usage> {
    match typed {
        Some("now") => return Ok(Some(around.now)),
        Some(text) => {
            return moment::parse(text).map(Some).ok_or_else(|| {
                Usage::new(format!("invalid time `{text}` for `--creation-time`"))
                    .hint("write seconds since 1970, a time such as `2026-01-31T12:00:00Z`, or `now`")
            });
        }
        None => {}
    }
    let Some(text) = around.env.get(OsStr::new("SOURCE_DATE_EPOCH")).filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let seconds = text.to_str().and_then(|t| t.parse().ok());
    if seconds.is_none() {
        warnings.push("Ignoring invalid SOURCE_DATE_EPOCH".to_owned());
    }
    Ok(seconds)
}

/// Reads a port, or engines' `HOST:GUEST` where both are the same.
fn port(typed: &str) -> Result<u16, Usage> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match typed.split_once(':') {
        None => number(typed).ok_or_else(|| {
            Usage::new(format!("invalid port `{typed}`")).hint("write a number from 1 to 65535")
        }),
        Some((host, guest)) => match (number(host), number(guest)) {
            (Some(host), Some(guest)) if host == guest => Ok(host),
            (Some(host), Some(_)) => Err(Usage::new(format!("ports cannot be mapped: `{typed}`")).hint(format!(
                "the application has the network of this machine; `--port {host}` tells it to listen there"
            ))),
            _ => Err(Usage::new(format!("invalid port `{typed}`")).hint("write a number from 1 to 65535")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;
    use cnb_platform::GuestPath;

    use super::*;
    use crate::args::{Command, CommandLine};

    /// Means `typed`, in `/home/a/My App`, with one variable, at time 1000, with one file.
    fn mean<T>(typed: &str, meaning: impl FnOnce(Command, &Surroundings<'_>) -> T) -> T {
        let env = BTreeMap::from([("TOKEN".into(), "t".into()), ("SOURCE_DATE_EPOCH".into(), "77".into())]);
        let read = |path: &HostPath| match path.as_path().to_str() {
            Some("/home/a/My App/vars") => Ok(b"A=file\nB=file\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let cwd = Path::new("/home/a/My App");
        let around = Surroundings {
            cwd,
            env: &env,
            now: 1000,
            terminal: true,
            read: &read,
            read_binding: &Binding::read,
        };
        let words = std::iter::once("cnb").chain(typed.split_whitespace());
        meaning(CommandLine::try_parse_from(words).unwrap().command, &around)
    }

    fn built(typed: &str) -> Result<BuildRequest, CliError> {
        mean(typed, |command, around| match command {
            Command::Build(args) => build(&args, around).map(|(request, _)| request),
            _ => Err(Usage::new("not a build").into()),
        })
    }

    fn ran(typed: &str) -> Result<RunRequest, CliError> {
        mean(typed, |command, around| match command {
            Command::Run(args) => run(&args, around),
            _ => Err(Usage::new("not a run").into()),
        })
    }

    #[track_caller]
    fn refuse(typed: &str, message: &str, advice: &str) {
        let error =
            if typed.starts_with("run") { ran(typed).unwrap_err() } else { built(typed).unwrap_err() };
        let CliError::Usage(usage) = &error else { panic!("{error:?}") };
        assert_eq!((usage.to_string().as_str(), usage.advice().unwrap_or_default()), (message, advice));
    }

    #[test]
    fn the_folder_may_come_either_way_and_is_the_current_one_otherwise() {
        for (typed, expected) in [
            ("build -i app", "/home/a/My App/."),
            ("build sub -i app", "/home/a/My App/sub"),
            ("build --path /srv -i app", "/srv"),
        ] {
            assert_eq!(built(typed).unwrap().app, HostPath::absolute(expected), "{typed}");
        }
    }

    #[test]
    fn an_image_without_a_name_gets_a_suggestion() {
        refuse("build", "the image has no name", "give it one with `--image`: `cnb build . --image my-app`");
        refuse("build /", "the image has no name", "give it one with `--image`: `cnb build / --image myapp`");
        refuse(
            "build /ß",
            "the image has no name",
            "give it one with `--image`: `cnb build /ß --image myapp`",
        );
    }

    #[test]
    fn the_order_that_pack_has_is_understood_and_corrected() {
        refuse(
            "build myapp --path src",
            "the application's folder is given twice: `myapp` and `--path src`",
            "the name of the image comes after `--image`: `cnb build src --image myapp`",
        );
    }

    #[test]
    fn names_are_names_and_no_digests() {
        let digest = format!("app@sha256:{}", "0".repeat(64));
        refuse(
            &format!("build -i {digest}"),
            &format!("an image cannot be given the name `{digest}`: it has a digest"),
            "write a name, and a tag if there is to be one: `myapp:1.0`",
        );
        let request = built("build -i app -t app:1 --tag other").unwrap();
        assert_eq!(request.tags.iter().map(ImageRef::typed).collect::<Vec<_>>(), ["app:1", "other"]);
    }

    #[test]
    fn variables_come_from_files_then_from_options() {
        let request = built("build -i app --env-file vars -e B=option -e TOKEN -e NONE").unwrap();
        let expected = [("A", "file"), ("B", "option"), ("TOKEN", "t")];
        assert_eq!(request.env, expected.map(|(k, v)| (k.to_owned(), v.into())).into());
        let error = built("build -i app --env-file nowhere").unwrap_err();
        assert_eq!(error.to_string(), "failed to read the environment file `nowhere`");
        assert_eq!(crate::exit::code(&error), 1);
    }

    #[test]
    fn buildpacks_keep_their_order() {
        let request = built("build -i app -b a,b@1 --buildpack ./c").unwrap();
        assert_eq!(request.buildpacks, ["a", "b@1", "./c"]);
    }

    #[test]
    fn quantities_have_units() {
        let request = built("build -i app --memory 1G --disk 512M --pids 10 --timeout 1m").unwrap();
        assert_eq!((request.limits.memory, request.disk), (Some(1 << 30), Some(512 << 20)));
        assert_eq!((request.limits.processes, request.timeout), (Some(10), Some(Duration::from_secs(60))));
        refuse(
            "build -i app --timeout 90",
            "invalid duration `90` for `--timeout`",
            "write `90s` for seconds",
        );
        let advice = "write a number above zero and its unit: `512M`, `2G`";
        refuse("build -i app --disk none", "invalid size `none` for `--disk`", advice);
        refuse("build -i app --memory 0", "invalid size `0` for `--memory`", advice);
    }

    #[test]
    fn the_time_of_creation_is_typed_or_from_the_environment() {
        for (typed, expected) in [
            ("build -i app", 77),
            ("build -i app --creation-time now", 1000),
            ("build -i app --creation-time -1", -1),
            ("build -i app --date-time 1970-01-01T00:01:00Z", 60),
        ] {
            assert_eq!(built(typed).unwrap().created, Some(expected), "{typed}");
        }
        let advice = "write seconds since 1970, a time such as `2026-01-31T12:00:00Z`, or `now`";
        refuse("build -i app --creation-time soon", "invalid time `soon` for `--creation-time`", advice);
    }

    #[test]
    fn a_source_date_epoch_that_is_no_number_is_ignored_with_a_warning() {
        let env = BTreeMap::from([("SOURCE_DATE_EPOCH".into(), "soon".into())]);
        let read = |_: &HostPath| Err(io::ErrorKind::NotFound.into());
        let around = Surroundings {
            cwd: Path::new("/"),
            env: &env,
            now: 0,
            terminal: false,
            read: &read,
            read_binding: &Binding::read,
        };
        let mut warnings = Vec::new();
        assert_eq!(created(None, &around, &mut warnings).unwrap(), None);
        assert_eq!(warnings, ["Ignoring invalid SOURCE_DATE_EPOCH"]);
    }

    #[test]
    fn the_workspace_is_an_absolute_path() {
        assert_eq!(built("build -i app --workspace /app").unwrap().workspace, GuestPath::new("/app"));
        let advice = "write an absolute path below `/`, without `..`, such as `/workspace`";
        refuse("build -i app --workspace app", "invalid workspace `app`", advice);
        refuse("build -i app --workspace /", "invalid workspace `/`", advice);
    }

    #[test]
    fn there_is_one_builder() {
        refuse(
            "build -i app --builder paketo",
            "the builder `paketo` is not available in this version",
            "leave `--builder` out: the host is the builder; a base comes with `--run-image oci:DIR`",
        );
    }

    #[test]
    fn volumes_are_read_only_in_builds_and_writable_in_runs() {
        assert!(!built("build -i app --volume h:/g").unwrap().volumes[0].writable);
        assert!(ran("run app -v h:/g").unwrap().volumes[0].writable);
        assert!(!ran("run app -v h:/g:ro").unwrap().volumes[0].writable);
    }

    #[test]
    fn a_run_takes_what_engines_take() {
        let request = ran("run -it --rm -p 8080:8080 -e TOKEN app -- server --flag").unwrap();
        assert_eq!((request.port, request.tty), (Some(8080), true));
        assert_eq!(request.env, [("TOKEN".to_owned(), "t".to_owned())]);
        assert_eq!(request.args, ["server", "--flag"]);
        assert!(!ran("run app --tty=never").unwrap().tty);
        refuse(
            "run app -p 80:8080",
            "ports cannot be mapped: `80:8080`",
            "the application has the network of this machine; `--port 80` tells it to listen there",
        );
        refuse("run app -p 0", "invalid port `0`", "write a number from 1 to 65535");
        refuse("run app -p http:80", "invalid port `http:80`", "write a number from 1 to 65535");
    }
}
