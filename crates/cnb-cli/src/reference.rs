//! The reference of the command line, `docs/cli.md`, made from the help texts.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::args::CommandLine;

/// What stands before the commands.
const HEAD: &str = "\
# The `cnb` command

<!-- Made from the program's own help texts by `cnb __reference`; a test compares the two. -->

Data goes to standard output, everything else to standard error.
Exit codes and common errors are in [errors.md](errors.md).

";

/// What stands after them.
const TAIL: &str = "\
## Environment

| variable | meaning |
| --- | --- |
| `CNB_HOME` | the folder for images and caches [default: `$XDG_DATA_HOME/cnb`, which is `~/.local/share/cnb`] |
| `REGISTRY_AUTH_FILE`, `DOCKER_CONFIG` | the file with the credentials for registries, and the folder of docker's `config.json` |
| `CNB_REGISTRY_AUTH` | credentials for registries: a JSON object with the `Authorization` header for each |
| `NO_COLOR` | set to anything: no colours |
| `CNB_NO_COLOR` | set to `true`: no colours |
| `SOURCE_DATE_EPOCH` | the time of creation of images in seconds since 1970, where `--creation-time` is not given |
";

/// Returns the reference in Markdown.
pub(crate) fn markdown() -> String {
    let mut cnb = CommandLine::command();
    cnb.build();
    let mut text = HEAD.to_owned();
    let globals: Vec<&Arg> = cnb.get_arguments().filter(|a| a.is_global_set() && !a.is_hide_set()).collect();
    text.push_str("| command | |\n| --- | --- |\n");
    for command in visible(&cnb) {
        let name = command.get_name();
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "| [`cnb {name}`](#cnb-{name}) | {} |", plain(command.get_about()));
    }
    text.push_str("\nEvery command has these options:\n\n");
    for arg in &globals {
        option(&mut text, arg);
    }
    text.push('\n');
    for command in visible(&cnb) {
        describe(&mut text, command);
    }
    text.push_str(TAIL);
    text
}

fn visible(cnb: &Command) -> impl Iterator<Item = &Command> {
    cnb.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help")
}

fn describe(text: &mut String, command: &Command) {
    let _ = writeln!(text, "## `cnb {}`\n\n{}.\n", command.get_name(), plain(command.get_about()));
    let mut usage = format!("cnb {}", command.get_name());
    let arguments = || command.get_arguments().filter(|a| !a.is_hide_set() && !a.is_global_set());
    if arguments().any(|a| !a.is_positional()) {
        usage.push_str(" [OPTIONS]");
    }
    for arg in command.get_positionals() {
        let name = value(arg);
        let more = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
        let _ = match (arg.is_last_set(), arg.is_required_set()) {
            (true, _) => write!(usage, " [-- {name}{more}]"),
            (false, true) => write!(usage, " {name}{more}"),
            (false, false) => write!(usage, " [{name}]{more}"),
        };
    }
    let _ = writeln!(text, "```\n{usage}\n```\n");
    // The options for help are on every command and say nothing that is not here.
    let told: Vec<&Arg> = arguments().filter(|a| a.get_id() != "help" && a.get_id() != "version").collect();
    for group in told.chunk_by(|a, b| a.get_help_heading() == b.get_help_heading()) {
        if let Some(heading) = group.first().and_then(|arg| arg.get_help_heading()) {
            let _ = writeln!(text, "{heading}:\n");
        }
        for arg in group {
            option(text, arg);
        }
        text.push('\n');
    }
}

fn option(text: &mut String, arg: &Arg) {
    let mut forms = Vec::new();
    if let Some(short) = arg.get_short() {
        forms.push(format!("-{short}"));
    }
    for long in arg.get_long_and_visible_aliases().unwrap_or_default() {
        forms.push(format!("--{long}"));
    }
    let mut form = forms.join(", ");
    if arg.get_action().takes_values() {
        form.push_str(if form.is_empty() { "" } else { " " });
        form.push_str(&value(arg));
    }
    let _ = write!(text, "- `{form}`: {}", plain(arg.get_help()));
    let choices: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|v| !v.is_hide_set())
        .map(|v| match v.get_help() {
            Some(help) => format!("`{}` ({help})", v.get_name()),
            None => format!("`{}`", v.get_name()),
        })
        .collect();
    if arg.get_action().takes_values() && !choices.is_empty() {
        let _ = write!(text, "; one of {}", choices.join(", "));
    }
    if arg.get_action().takes_values() && !arg.get_default_values().is_empty() {
        let defaults: Vec<_> = arg.get_default_values().iter().map(|d| d.to_string_lossy()).collect();
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    text.push('\n');
}

fn value(arg: &Arg) -> String {
    arg.get_value_names()
        .unwrap_or_default()
        .iter()
        .map(clap::builder::Str::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

fn plain(text: Option<&StyledStr>) -> String {
    text.map(|t| t.to_string().replace('\n', " ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_current() {
        let written = include_str!("../../../docs/cli.md");
        assert!(
            written == markdown(),
            "docs/cli.md is not what the help texts say; update it with `cargo run -p cnb-cli -- __reference > docs/cli.md`"
        );
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        CommandLine::command().debug_assert();
    }
}
