//! A `Procfile` with a process `web`: the user's own command, and what the build made that it names.

use std::path::{Path, PathBuf};

/// The command of the process `web`.
pub(crate) fn web(app: &Path) -> Option<String> {
    let text = fs_err::read_to_string(app.join("Procfile")).ok()?;
    text.lines().find_map(|line| line.trim_start().strip_prefix("web:")).map(|rest| rest.trim().to_owned())
}

/// Lists the files and folders of the app that a command names, by their paths within the app: words, and parts of
/// class paths, in which the last component may have stars.
pub(crate) fn named(app: &Path, command: &str) -> Vec<PathBuf> {
    let words = command.split([' ', '\t', ':', '=', '"', '\'', ';']).map(|w| w.trim_start_matches("./"));
    let words = words.filter(|w| w.contains('/') && !w.starts_with(['/', '-']) && !w.contains(".."));
    let mut found: Vec<PathBuf> = words.flat_map(|word| matching(app, Path::new(word))).collect();
    found.sort();
    found.dedup();
    // What is below a folder that is named comes with it.
    let all = found.clone();
    found.retain(|path| !all.iter().any(|other| other != path && path.starts_with(other)));
    found
}

fn matching(app: &Path, word: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (word.parent(), word.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    if !name.contains('*') {
        // A start script of Gradle or of Maven's appassembler needs the libraries beside its folder.
        let with_libraries =
            dir.parent().filter(|up| dir.ends_with("bin") && app.join(up).join("lib").is_dir());
        let path = with_libraries.unwrap_or(word);
        return if app.join(path).exists() { vec![path.to_owned()] } else { Vec::new() };
    }
    let entries = fs_err::read_dir(app.join(dir)).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    names.filter(|n| matches(name, n)).map(|n| dir.join(n)).collect()
}

/// Whether a name has all pieces between the stars of a pattern, in their order.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{matches, named};

    #[test]
    fn what_a_command_names_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "target/app-1.war",
            "target/app-1.jar",
            "target/dependency/runner.jar",
            "build/install/app/bin/app",
            "build/install/app/lib/app.jar",
        ] {
            fs_err::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs_err::write(dir.path().join(file), "").unwrap();
        }
        let found = |command: &str| -> Vec<String> {
            named(dir.path(), command).iter().map(|p| p.display().to_string()).collect()
        };
        let runner = "java $JAVA_OPTS -jar target/dependency/runner.jar --port $PORT target/*.war";
        assert_eq!(found(runner), ["target/app-1.war", "target/dependency/runner.jar"]);
        assert_eq!(
            found("java -cp target/classes:target/dependency/* Main"),
            ["target/dependency/runner.jar"]
        );
        assert_eq!(found("./build/install/app/bin/app"), ["build/install/app"]);
        assert!(found("java -jar /opt/x.jar ../y/z").is_empty());
    }

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("*.jar", "a.jar") && matches("a-*-b*.jar", "a-1-b2.jar") && matches("*", "x"));
        assert!(!matches("a*.jar", "b.jar") && !matches("*.jar", "a.war"));
    }
}
