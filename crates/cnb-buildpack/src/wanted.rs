//! Which version of a tool an app asks for, in the files that version managers share.
//!
//! Each buildpack has files of its own beside them (`.nvmrc`, `.python-version`, `go.mod`); it lists all of its
//! sources in the order in which they count, and [`choose`] tells the user when two of them contradict.

use std::path::Path;

use crate::log::Log;

/// A version that is asked for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The version or range as it is written.
    pub version: String,
    /// The file or variable that it is written in, as the user knows it.
    pub source: String,
}

impl Wanted {
    /// Makes a wish; `None` for an empty version.
    pub fn new(version: &str, source: impl Into<String>) -> Option<Self> {
        let version = version.trim();
        (!version.is_empty()).then(|| Self { version: version.to_owned(), source: source.into() })
    }

    /// Reads a file that holds a version alone, such as `.node-version`; comments and empty lines are skipped.
    pub fn in_file(app: &Path, name: &str) -> Option<Self> {
        let text = fs_err::read_to_string(app.join(name)).ok()?;
        let mut lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim());
        Self::new(lines.find(|l| !l.is_empty())?, name)
    }

    /// Reads what asdf's `.tool-versions` and mise's `mise.toml` or `.mise.toml` say of a tool, which has the
    /// names `tools` there (`nodejs` or `node`).
    pub fn in_version_managers(app: &Path, tools: &[&str]) -> Option<Self> {
        in_tool_versions(app, tools).or_else(|| {
            ["mise.toml", ".mise.toml", ".config/mise.toml"].into_iter().find_map(|f| in_mise(app, f, tools))
        })
    }
}

fn in_tool_versions(app: &Path, tools: &[&str]) -> Option<Wanted> {
    let text = fs_err::read_to_string(app.join(".tool-versions")).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let tool = words.next()?;
        if !tools.contains(&tool) {
            return None;
        }
        // More than one version are fall-backs for each other; `system`, `path:` and `ref:` name none.
        let version = words.find(|v| *v != "system" && !v.contains(':'))?;
        Wanted::new(version, ".tool-versions")
    })
}

fn in_mise(app: &Path, name: &str, tools: &[&str]) -> Option<Wanted> {
    let text = fs_err::read_to_string(app.join(name)).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let listed = table.get("tools")?.as_table()?;
    let value = listed.iter().find(|(tool, _)| tools.contains(&tool.trim_start_matches("core:")))?.1;
    Wanted::new(mise_version(value)?, name)
}

/// A version, a list of them, or a table with options: the first version counts.
fn mise_version(value: &toml::Value) -> Option<&str> {
    match value {
        toml::Value::String(version) => Some(version),
        toml::Value::Array(versions) => versions.first().and_then(mise_version),
        toml::Value::Table(options) => options.get("version")?.as_str(),
        _ => None,
    }
}

/// Returns the first of several wishes, and tells the user which others it overrules.
pub fn choose(log: &Log, what: &str, wishes: impl IntoIterator<Item = Option<Wanted>>) -> Option<Wanted> {
    let mut wishes = wishes.into_iter().flatten();
    let first = wishes.next()?;
    for other in wishes.filter(|other| !agree(&first.version, &other.version)) {
        log.warning(format!(
            "{} asks for {what} {}, but {} for {}; {0} counts",
            first.source, first.version, other.source, other.version
        ));
    }
    Some(first)
}

/// Whether two wishes can be read as the same: equal, or one a prefix of the other (`20` and `20.11.1`), or one of
/// them a range, which the buildpack itself has to judge.
fn agree(one: &str, other: &str) -> bool {
    let plain = |v: &str| v.trim_start_matches(['v', 'V']).to_owned();
    let (one, other) = (plain(one), plain(other));
    let is_exact = |v: &str| v.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if !is_exact(&one) || !is_exact(&other) {
        return true;
    }
    one.split('.').zip(other.split('.')).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Log, Wanted, choose};

    #[test]
    fn version_managers_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let read =
            |tools: &[&str]| Wanted::in_version_managers(dir.path(), tools).map(|w| (w.version, w.source));
        let write = |name: &str, text: &str| fs_err::write(dir.path().join(name), text).unwrap();
        assert_eq!(read(&["node"]), None);
        write(
            "mise.toml",
            "[tools]\nnode = \"22\"\npython = [\"3.12\", \"3.11\"]\ngo = { version = \"1.22\" }\n",
        );
        assert_eq!(read(&["nodejs", "node"]), Some(("22".into(), "mise.toml".into())));
        assert_eq!(read(&["python"]).unwrap().0, "3.12");
        assert_eq!(read(&["go", "golang"]).unwrap().0, "1.22");
        write(".tool-versions", "# ours\nnodejs 20.1.0 18.0.0 # old\nruby system\njava ref:x 17\n");
        assert_eq!(read(&["nodejs", "node"]), Some(("20.1.0".into(), ".tool-versions".into())));
        assert_eq!(read(&["ruby"]), None);
        assert_eq!(read(&["java"]).unwrap().0, "17");
        write("mise.toml", "this is no TOML");
        assert_eq!(read(&["python"]), None);
    }

    #[test]
    fn a_contradiction_is_told_and_the_first_counts() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let log = Log::new(move |l| sink.lock().unwrap().push(l.trim().to_owned()));
        let wish = |version, source: &str| Wanted::new(version, source);
        let wishes = [
            wish("20", ".nvmrc"),
            None,
            wish("v20.11.1", ".node-version"),
            wish(">=18", "engines"),
            wish("18", "mise.toml"),
        ];
        assert_eq!(choose(&log, "Node.js", wishes).unwrap().source, ".nvmrc");
        assert_eq!(
            *lines.lock().unwrap(),
            ["warning: .nvmrc asks for Node.js 20, but mise.toml for 18; .nvmrc counts"]
        );
    }

    #[test]
    fn a_file_with_a_version_may_have_comments() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join(".python-version"), "\n# pinned\n 3.12.1 # until 2028\n3.11\n")
            .unwrap();
        assert_eq!(Wanted::in_file(dir.path(), ".python-version").unwrap().version, "3.12.1");
        assert_eq!(Wanted::in_file(dir.path(), "missing"), None);
    }
}
