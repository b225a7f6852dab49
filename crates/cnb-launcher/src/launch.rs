//! What to start: decided from the metadata and the arguments, without touching the disk.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cnb_spec::api::{BuildpackApi, PlatformApi};
use cnb_spec::fault;
use cnb_spec::process::Process;

use crate::metadata::Provider;

/// How the launcher was called.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) platform_api: PlatformApi,
    /// The execution environment of the container.
    pub(crate) exec_env: &'a OsStr,
    /// The name that the launcher was started by, such as `/cnb/process/web`.
    pub(crate) argv0: &'a OsStr,
    /// What the user gave beyond it.
    pub(crate) args: &'a [OsString],
}

/// The process to start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    /// The process type; empty when the user gave the command.
    pub(crate) process_type: String,
    pub(crate) command: Vec<OsString>,
    pub(crate) args: Vec<OsString>,
    /// Whether it is executed as it is; otherwise through bash.
    pub(crate) direct: bool,
    /// Where to start it; the app directory when empty.
    pub(crate) working_dir: String,
    /// Who gave it; empty when the user did.
    buildpack_id: String,
    /// The API of who gave it, when that buildpack is known.
    buildpack_api: Option<BuildpackApi>,
}

/// Why there is nothing to start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectError {
    #[error("process type {0} was not found")]
    NotInExecEnv(String),
    #[error("when there is no default process a command is required")]
    NoCommand,
    #[error("failed to find buildpack for process {process_type} with buildpack ID {buildpack_id}")]
    UnknownProvider { process_type: String, buildpack_id: String },
}

/// A shell process names a buildpack that the metadata does not list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("process type '{process_type}' provided by unknown buildpack '{buildpack_id}'")]
pub(crate) struct UnknownProvider {
    process_type: String,
    buildpack_id: String,
}

/// Decides what to start: the process whose type is the last name of `argv0`, otherwise the user's command
/// (requirements B100 to B103).
pub(crate) fn select(
    processes: Vec<Process>,
    providers: &[Provider],
    request: &Request,
) -> Result<Selected, SelectError> {
    let name = request.argv0.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default();
    let of_this_type = |p: &Process| !name.is_empty() && p.process_type.as_bytes() == name;
    if !processes.iter().any(of_this_type) {
        return user_command(request.args);
    }
    let eligible = |p: &Process| {
        let names = &p.exec_env.names;
        !request.platform_api.honours_exec_env()
            || fault::is("launch-exec-env-ignored")
            || names.is_empty()
            || names.iter().any(|n| n == "*" || request.exec_env == OsStr::new(n))
    };
    let process = processes.into_iter().find(|p| of_this_type(p) && eligible(p));
    let process =
        process.ok_or_else(|| SelectError::NotInExecEnv(String::from_utf8_lossy(name).into_owned()))?;
    with_user_args(process, providers, request)
}

/// Takes the user's arguments as the command; `--` in front makes it a direct one (requirement B103).
fn user_command(args: &[OsString]) -> Result<Selected, SelectError> {
    let (direct, command) = match args {
        [] => return Err(SelectError::NoCommand),
        [dashes, command @ ..] if dashes == "--" && !command.is_empty() => (true, command),
        command => (false, command),
    };
    let (command, args) = command.split_at(1);
    Ok(Selected { command: command.to_vec(), args: args.to_vec(), direct, ..Selected::default() })
}

/// Combines the arguments of the process with those of the user (requirement B102).
fn with_user_args(
    process: Process,
    providers: &[Provider],
    request: &Request,
) -> Result<Selected, SelectError> {
    let buildpack_api = providers.iter().find(|p| p.id == process.buildpack_id).map(|p| p.api);
    let own = |args: Vec<String>| args.into_iter().map(OsString::from).collect::<Vec<_>>();
    let mut command = own(process.command);
    let mut args = own(process.args.unwrap_or_default());
    let user = request.args;
    if !request.platform_api.replaces_default_args() {
        args.extend_from_slice(user);
    } else if command.len() > 1 {
        // A list command says which of its arguments users cannot replace.
        let fixed = command.split_off(1);
        let rest = if user.is_empty() { args } else { user.to_vec() };
        args = fixed.into_iter().chain(rest).collect();
    } else if !user.is_empty() {
        match buildpack_api {
            Some(_) if fault::is("default-args-kept") => args.extend_from_slice(user),
            Some(api) if api.replaces_default_args() => args = user.to_vec(),
            Some(_) => args.extend_from_slice(user),
            None => {
                let (process_type, buildpack_id) = (process.process_type, process.buildpack_id);
                return Err(SelectError::UnknownProvider { process_type, buildpack_id });
            }
        }
    }
    Ok(Selected {
        process_type: process.process_type,
        command,
        args,
        direct: process.direct,
        working_dir: process.working_dir,
        buildpack_id: process.buildpack_id,
        buildpack_api,
    })
}

/// Returns the arguments of bash for a shell process: its script, then what the script works on
/// (requirements B109, B110).
pub(crate) fn shell_argv(
    selected: &Selected,
    profiles: &[PathBuf],
    working_dir: &Path,
    argv0: &OsStr,
) -> Result<Vec<OsString>, UnknownProvider> {
    if !selected.args.is_empty() && !selected.buildpack_id.is_empty() && selected.buildpack_api.is_none() {
        let (process_type, buildpack_id) = (selected.process_type.clone(), selected.buildpack_id.clone());
        return Err(UnknownProvider { process_type, buildpack_id });
    }
    let mut script = OsString::new();
    for profile in profiles {
        push_all(&mut script, &["source \"".as_ref(), profile.as_os_str(), "\"\n".as_ref()]);
    }
    push_all(&mut script, &["cd \"".as_ref(), working_dir.as_os_str(), "\"\n".as_ref()]);
    script.push(run_command(selected.args.len()));
    let command = selected.command.join(OsStr::new(" "));
    let mut argv = vec!["bash".into(), "-c".into(), script, argv0.to_os_string(), command];
    argv.extend_from_slice(&selected.args);
    Ok(argv)
}

/// Returns the last line of the script: it runs a command without arguments as a script of its own, and one
/// with arguments word by word, each expanded once.
fn run_command(args: usize) -> String {
    if args == 0 {
        return r#"exec bash -c "$@""#.to_owned();
    }
    let mut words = r#""$(eval echo \"$0\")""#.to_owned();
    for n in 1..=args {
        // Writing to a string does not fail.
        let _ = write!(words, r#" "$(eval echo \"${{{n}}}\")""#);
    }
    format!(r#"exec bash -c '{words}' "${{@:1}}""#)
}

fn push_all(text: &mut OsString, parts: &[&OsStr]) {
    for part in parts {
        text.push(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;

    const PROCESSES: &str = r#"
        [[buildpacks]]
        id = "old"
        api = "0.8"
        [[buildpacks]]
        id = "new"
        api = "0.9"

        [[processes]]
        type = "list"
        command = ["c", "fixed"]
        args = ["d"]
        direct = true
        buildpack-id = "new"
        [[processes]]
        type = "new.one"
        command = ["c"]
        args = ["d"]
        direct = true
        buildpack-id = "new"
        [[processes]]
        type = "old"
        command = "c"
        args = ["d"]
        buildpack-id = "old"
        [[processes]]
        type = "gone"
        command = "c"
        args = ["d"]
        buildpack-id = "gone"
        [[processes]]
        type = "env"
        command = ["test"]
        exec-env = ["test"]
        [[processes]]
        type = "env"
        command = ["any"]
        exec-env = ["*"]
        [[processes]]
        type = "only"
        command = ["test"]
        exec-env = ["test"]
    "#;

    fn selected(api: &str, argv0: &str, args: &[&str]) -> Result<Selected, SelectError> {
        let metadata: Metadata = PROCESSES.parse().unwrap();
        let providers = metadata.providers().unwrap();
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let request = Request {
            platform_api: api.parse().unwrap(),
            exec_env: OsStr::new("production"),
            argv0: OsStr::new(argv0),
            args: &args,
        };
        select(metadata.processes, &providers, &request)
    }

    /// `expected` is `direct` or `shell`, the command, `|`, the arguments; or the error.
    #[track_caller]
    fn check(api: &str, argv0: &str, args: &[&str], expected: &str) {
        let text = |words: &[OsString]| words.join(OsStr::new(" ")).into_string().unwrap();
        let found = selected(api, argv0, args).map_or_else(
            |e| e.to_string(),
            |s| {
                let how = if s.direct { "direct" } else { "shell" };
                format!("{how} {} | {}", text(&s.command), text(&s.args))
            },
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn the_last_name_of_argv0_selects_a_process() {
        check("0.14", "/cnb/process/new.one", &[], "direct c | d");
        check("0.14", "new.one", &[], "direct c | d");
        check("0.14", "/cnb/process/new", &["x"], "shell x | ");
        check("0.14", "/cnb/process/", &["x"], "shell x | ");
        check("0.14", "", &[], "when there is no default process a command is required");
    }

    #[test]
    fn user_arguments_replace_or_follow_those_of_the_process() {
        check("0.14", "list", &[], "direct c | fixed d");
        check("0.14", "list", &["u"], "direct c | fixed u");
        check("0.14", "list", &[""], "direct c | fixed ");
        check("0.14", "new.one", &["u", "v"], "direct c | u v");
        check("0.14", "old", &["u"], "shell c | d u");
        check("0.9", "list", &["u"], "direct c fixed | d u");
        check("0.9", "new.one", &["u"], "direct c | d u");
    }

    #[test]
    fn user_arguments_need_to_know_the_buildpack() {
        check("0.14", "gone", &[], "shell c | d");
        check("0.14", "gone", &["u"], "failed to find buildpack for process gone with buildpack ID gone");
        check("0.9", "gone", &["u"], "shell c | d u");
    }

    #[test]
    fn two_dashes_make_the_command_of_a_user_direct() {
        check("0.14", "launcher", &["--", "c", "a"], "direct c | a");
        check("0.14", "launcher", &["--"], "shell -- | ");
        check("0.14", "launcher", &["c", "--", "a"], "shell c | -- a");
    }

    #[test]
    fn from_0_15_the_first_process_that_fits_the_execution_environment_is_taken() {
        check("0.15", "env", &[], "shell any | ");
        check("0.15", "only", &[], "process type only was not found");
        check("0.14", "env", &[], "shell test | ");
        check("0.14", "only", &[], "shell test | ");
    }

    #[track_caller]
    fn check_script(selected: &Selected, profiles: &[&str], expected: &[&str]) {
        let profiles: Vec<_> = profiles.iter().map(PathBuf::from).collect();
        let argv = shell_argv(selected, &profiles, Path::new("/workspace"), OsStr::new("web")).unwrap();
        assert_eq!(argv, expected);
    }

    #[test]
    fn a_shell_process_without_arguments_is_a_script() {
        let process = Selected { command: vec!["a".into(), "b".into()], ..Selected::default() };
        let script = "source \"/l/p\"\nsource \".profile\"\ncd \"/workspace\"\nexec bash -c \"$@\"";
        check_script(&process, &["/l/p", ".profile"], &["bash", "-c", script, "web", "a b"]);
    }

    #[test]
    fn each_word_of_a_shell_process_with_arguments_is_expanded_once() {
        let process =
            Selected { command: vec!["c".into()], args: vec!["x".into(), "y".into()], ..Selected::default() };
        let script = concat!(
            "cd \"/workspace\"\n",
            r#"exec bash -c '"$(eval echo \"$0\")" "$(eval echo \"${1}\")" "$(eval echo \"${2}\")"' "${@:1}""#
        );
        check_script(&process, &[], &["bash", "-c", script, "web", "c", "x", "y"]);
    }

    #[test]
    fn a_shell_process_with_arguments_needs_its_buildpack() {
        let process = selected("0.14", "gone", &[]).unwrap();
        let error = shell_argv(&process, &[], Path::new("/"), OsStr::new("")).unwrap_err();
        assert_eq!(error.to_string(), "process type 'gone' provided by unknown buildpack 'gone'");
    }
}
