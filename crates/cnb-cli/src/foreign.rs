//! Options and commands that users of `pack` and of engines know, and that `cnb` has not, or has under another name.

/// An option or command of another program, and what to do here.
struct Foreign {
    /// As it is typed.
    typed: &'static str,
    /// Why there is none.
    reason: &'static str,
    /// What to do instead.
    instead: &'static str,
}

const fn not_yet(typed: &'static str, instead: &'static str) -> Foreign {
    Foreign { typed, reason: "is not available in this version", instead }
}

const fn not_needed(typed: &'static str, instead: &'static str) -> Foreign {
    Foreign { typed, reason: "is not needed", instead }
}

const fn other_name(typed: &'static str, instead: &'static str) -> Foreign {
    Foreign { typed, reason: "is spelled differently here", instead }
}

const NO_PULL: &str =
    "leave it out: `--run-image` says where the image is, as in `registry:NAME` or `store:NAME`";
const NO_CONTAINER: &str = "leave it out: no containers are involved";
const HOST: &str = "leave it out: `DOCKER_HOST` says where the engine is";
const COPY_OUT: &str = "use `cnb copy NAME registry:NAME`";
const TRUST: &str = "leave it out: no buildpack ever sees credentials";
const EXTENSION: &str = "use a base with the packages that you need: `--run-image oci:DIR`";

/// Known to `cnb build`.
const BUILD_OPTIONS: &[Foreign] = &[
    other_name("--cache-image", "use `--cache registry:NAME`"),
    not_yet("--extension", EXTENSION),
    not_yet("--pre-buildpack", "name all buildpacks in their order with `--buildpack`"),
    not_yet("--post-buildpack", "name all buildpacks in their order with `--buildpack`"),
    not_yet("--platform", "leave it out: images are made for the system and architecture of this machine"),
    not_yet("--buildpack-registry", "give the buildpack as a folder or a file: `--buildpack PATH`"),
    not_yet("-r", "give the buildpack as a folder or a file: `--buildpack PATH`"),
    not_yet("--sparse", "write the whole image with `--output oci:DIR`"),
    not_yet("--interactive", "use `--verbose` to see more"),
    not_needed("--pull-policy", NO_PULL),
    not_needed("--no-pull", NO_PULL),
    not_needed("--trust-builder", TRUST),
    not_needed("--trust-extra-buildpacks", TRUST),
    not_needed("--docker-host", HOST),
    not_needed("--lifecycle-image", NO_CONTAINER),
    not_needed("--gid", NO_CONTAINER),
    not_needed("--uid", NO_CONTAINER),
    not_needed("--rm", NO_CONTAINER),
    other_name("-p", "name the folder: `cnb build DIR` or `--path DIR`"),
    other_name("--report-output-dir", "name the file: `--report FILE`"),
    other_name("--no-cache", "use `--clear-cache`"),
    other_name("--file", "there is no Dockerfile to name: name the application's folder"),
    other_name("-f", "there is no Dockerfile to name: name the application's folder"),
    other_name("--build-arg", "use `--env K=V`"),
    other_name("--name", "use `--image NAME`"),
];

/// Known to `cnb run`.
const RUN_OPTIONS: &[Foreign] = &[
    not_yet("-d", "start it in the background with the shell: `cnb run IMAGE &`"),
    not_yet("--detach", "start it in the background with the shell: `cnb run IMAGE &`"),
    not_yet("--name", "leave it out: a run has no name"),
    not_needed("--network", "leave it out: the application has the network of this machine"),
    not_needed("--net", "leave it out: the application has the network of this machine"),
    other_name("--publish", "use `--port PORT`"),
    other_name("--expose", "use `--port PORT`"),
];

const PASSWORD: &str =
    "use `--password-stdin`, or leave it out to be asked: every user of this machine can see command lines";

/// Known to `cnb login`.
const LOGIN_OPTIONS: &[Foreign] = &[
    other_name("-p", PASSWORD),
    other_name("--password", PASSWORD),
    other_name("--tls-verify", "use `--insecure-registry`"),
    other_name("--compat-auth-file", "use `--authfile FILE`"),
    not_yet("--cert-dir", "put the certificates into `/etc/docker/certs.d` or `/etc/containers/certs.d`"),
    not_yet("--get-login", "see the file that `cnb logout REGISTRY` names"),
];

/// Known to `cnb logout`.
const LOGOUT_OPTIONS: &[Foreign] =
    &[other_name("-a", "use `--all`"), other_name("--compat-auth-file", "use `--authfile FILE`")];

/// The commands that have a table.
pub(crate) const COMMANDS_WITH_OPTIONS: [&str; 4] = ["build", "run", "login", "logout"];

/// Commands.
const COMMANDS: &[Foreign] = &[
    other_name("push", COPY_OUT),
    other_name("publish", COPY_OUT),
    other_name("pull", "use `cnb copy registry:NAME store:NAME`"),
    other_name("load", "use `cnb copy docker-archive:FILE store:NAME`"),
    other_name("save", "use `cnb copy NAME docker-archive:FILE`"),
    not_yet("builder", "leave `--builder` out: the host is the builder"),
    not_yet("buildpack", "give a buildpack to a build as a folder or a file: `--buildpack PATH`"),
    not_yet("extension", EXTENSION),
    not_yet("sbom", "use `cnb build --sbom-output-dir DIR`"),
    other_name("ls", "use `cnb images`"),
    other_name("list", "use `cnb images`"),
    other_name("rmi", "use `cnb rm`"),
    other_name("prune", "use `cnb gc`"),
    not_needed("config", "all settings are options: `cnb build --help`"),
];

/// Returns what is wrong with an option that clap does not know, and what to do instead.
pub(crate) fn option(command: &str, typed: &str) -> Option<(String, &'static str)> {
    let table = match command {
        "build" => BUILD_OPTIONS,
        "run" => RUN_OPTIONS,
        "login" => LOGIN_OPTIONS,
        "logout" => LOGOUT_OPTIONS,
        _ => return None,
    };
    find(table, typed.split_once('=').map_or(typed, |(name, _)| name), "the option")
}

/// Returns what is wrong with a command that clap does not know, and what to do instead.
pub(crate) fn command(typed: &str) -> Option<(String, &'static str)> {
    find(COMMANDS, typed, "the command")
}

fn find(table: &'static [Foreign], typed: &str, what: &str) -> Option<(String, &'static str)> {
    let found = table.iter().find(|f| f.typed == typed)?;
    Some((format!("{what} `{typed}` {}", found.reason), found.instead))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::CommandLine;

    #[test]
    fn what_is_refused_does_not_exist() {
        let cnb = CommandLine::command();
        assert!(COMMANDS.iter().all(|f| cnb.find_subcommand(f.typed).is_none()));
        let tables = [BUILD_OPTIONS, RUN_OPTIONS, LOGIN_OPTIONS, LOGOUT_OPTIONS];
        for (name, table) in COMMANDS_WITH_OPTIONS.into_iter().zip(tables) {
            let command = cnb.find_subcommand(name).unwrap();
            for foreign in table {
                let known = command.get_arguments().any(|a| {
                    let long = a.get_long_and_visible_aliases().unwrap_or_default();
                    let short = a.get_short().map(|s| format!("-{s}"));
                    long.iter().any(|l| format!("--{l}") == foreign.typed)
                        || short.as_deref() == Some(foreign.typed)
                });
                assert!(!known, "{name} {}", foreign.typed);
            }
        }
    }

    #[test]
    fn an_option_is_known_with_its_value_too() {
        let (message, instead) = option("build", "--pull-policy=never").unwrap();
        assert_eq!(message, "the option `--pull-policy` is not needed");
        assert_eq!(instead, NO_PULL);
        assert_eq!(option("images", "--publish"), None);
    }
}
