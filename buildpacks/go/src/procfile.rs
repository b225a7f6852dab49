//! What a `Procfile` expects of the binaries: names that other platforms gave them.
//!
//! Process types are the Procfile buildpack's business; this makes their commands find the binaries.

use std::path::{Component, Path};

use cnb_buildpack::{BuildContext, Failure};

/// What the command of a process type starts with.
#[derive(Debug, PartialEq, Eq)]
enum Start<'a> {
    /// A file in the app's folder `bin`, where some platforms put binaries.
    InBin(&'a str),
    /// `go run`, which needs Go.
    GoRun,
    /// Anything else.
    Other,
}

/// Puts links to the `binaries` in the directory `layer_bin` where commands of the `Procfile` look for them, and
/// warns of those that need Go itself.
pub(crate) fn satisfy(cx: &BuildContext, layer_bin: &Path, binaries: &[String]) -> Result<(), Failure> {
    let Ok(text) = fs_err::read_to_string(cx.app_dir.join("Procfile")) else { return Ok(()) };
    for command in text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(':')) {
        match start(command.1) {
            Start::InBin(name) => {
                let link = cx.app_dir.join("bin").join(name);
                let Some(binary) = meant(name, binaries).filter(|_| fs_err::symlink_metadata(&link).is_err())
                else {
                    continue;
                };
                fs_err::create_dir_all(cx.app_dir.join("bin"))?;
                fs_err::os::unix::fs::symlink(layer_bin.join(binary), &link)?;
                cx.log.step(format!("`bin/{name}` of the `Procfile` is the binary `{binary}`"));
            }
            Start::GoRun => cx.log.warning(format!(
                "`Procfile` starts `{}`, but there is no Go in the image; start a binary instead: {}",
                command.1.trim(),
                binaries.join(", ")
            )),
            Start::Other => {}
        }
    }
    Ok(())
}

fn start(command: &str) -> Start<'_> {
    // Variables may stand before the program.
    let mut words = command.split_whitespace().skip_while(|w| w.contains('=') || *w == "exec");
    let program = words.next().unwrap_or_default();
    if program == "go" && words.next() == Some("run") {
        return Start::GoRun;
    }
    let name = program.strip_prefix("./").unwrap_or(program).strip_prefix("bin/").unwrap_or_default();
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Start::InBin(name),
        _ => Start::Other,
    }
}

/// Returns the binary of that name, or the only one.
fn meant<'a>(name: &str, binaries: &'a [String]) -> Option<&'a String> {
    binaries.iter().find(|b| *b == name).or(match binaries {
        [only] => Some(only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Start, meant, start};

    #[test]
    fn a_command_starts_with_a_program_behind_its_variables() {
        assert_eq!(start(" bin/main -v"), Start::InBin("main"));
        assert_eq!(start("A=1 exec ./bin/main"), Start::InBin("main"));
        assert_eq!(start("go run main.go"), Start::GoRun);
        for other in ["shop", "/bin/sh", "bin/../x", "bin/a/b", "bin/", "go", "gorun", ""] {
            assert_eq!(start(other), Start::Other, "{other}");
        }
    }

    #[test]
    fn another_name_means_the_only_binary() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(meant("b", &names), Some(&names[1]));
        assert_eq!(meant("main", &names[..1]), Some(&names[0]));
        assert_eq!(meant("main", &names), None);
    }
}
