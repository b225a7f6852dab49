//! `cargo xtask bench apps`: how long the example applications take to build: the first time, again with nothing
//! changed, and again with one line of source changed.
//!
//! The first time is with empty caches of `cnb`; what the tools themselves keep on this machine is not used, since
//! builds do not see it. A change must cost less than a tenth of the first build, or less than a second.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why no figures could be taken.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or a program could not be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A build failed.
    #[error("`{app}` failed to build {when}:\n{said}")]
    Build {
        /// The application.
        app: String,
        /// Which of its builds.
        when: &'static str,
        /// What it printed.
        said: String,
    },
    /// An application has none of the files that could be changed.
    #[error("`{0}` has no source file that is known here; add its name to the list in xtask/src/apps.rs")]
    NoSource(String),
}

/// The files of which one line is changed: the first that an application has.
const SOURCES: &[&str] = &[
    "main.py",
    "config/urls.py",
    "server.js",
    "main.go",
    "src/main.rs",
    "src/main/java/hello/Main.java",
    "greet.sh",
    "index.html",
];

/// What the manifest of a program says that is part of our own workspace.
const OF_OURS: &str = "edition.workspace = true";

/// The figures of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub app: String,
    /// The first build.
    pub first: Duration,
    /// A build with nothing changed.
    pub unchanged: Duration,
    /// A build with one line changed.
    pub changed: Duration,
}

impl Row {
    /// Whether the change cost as little as it should.
    pub fn is_quick(&self) -> bool {
        self.changed < Duration::from_secs(1) || self.changed < self.first / 10
    }
}

/// Takes the figures of the applications in `dirs`, or of all examples, with the program `cnb`.
///
/// # Errors
/// The first build that failed.
pub fn run(root: &Path, cnb: &Path, dirs: &[PathBuf]) -> Result<Vec<Row>, BenchError> {
    let cnb = std::path::absolute(cnb)?;
    let dirs = if dirs.is_empty() { examples(root)? } else { dirs.to_vec() };
    dirs.iter().map(|dir| measure(&cnb, &root.join(dir))).collect()
}

/// The table for people.
pub fn table(rows: &[Row]) -> String {
    let head = format!("{:<24}{:>10}{:>12}{:>12}\n", "application", "first", "unchanged", "one line");
    let seconds = |d: Duration| format!("{:.2} s", d.as_secs_f64());
    let line = |row: &Row| {
        let note = if row.is_quick() { "" } else { "  more than a tenth and a second" };
        let [first, unchanged, changed] = [row.first, row.unchanged, row.changed].map(seconds);
        format!("{:<24}{first:>10}{unchanged:>12}{changed:>12}{note}\n", row.app)
    };
    head + &rows.iter().map(line).collect::<Vec<_>>().concat()
}

/// The folders of examples that have something to build: not those of programs that embed the library.
fn examples(root: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(root.join("examples"))? {
        let path = entry?.path();
        let manifest = fs_err::read_to_string(path.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains(OF_OURS) {
            continue;
        }
        if SOURCES.iter().any(|name| path.join(name).is_file()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn measure(cnb: &Path, app: &Path) -> Result<Row, BenchError> {
    let name = app.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("app");
    let copied = Command::new("cp").args(["-a", "--"]).arg(app).arg(&copy).status()?;
    let source = SOURCES.iter().map(|file| copy.join(file)).find(|file| file.is_file());
    let source = source.filter(|_| copied.success()).ok_or_else(|| BenchError::NoSource(name.clone()))?;
    let build = |when: &'static str| {
        let start = Instant::now();
        let mut command = Command::new(cnb);
        command.args(["build", "--image", "bench", "--no-load"]).arg(&copy).stdin(Stdio::null());
        let output = command.env("CNB_HOME", dir.path().join("home")).output()?;
        if output.status.success() {
            return Ok(start.elapsed());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(BenchError::Build { app: name.clone(), when, said })
    };
    let first = build("the first time")?;
    let unchanged = build("with nothing changed")?;
    // One more line at the end, which means nothing in any of the languages.
    let mut text = fs_err::read(&source)?;
    text.push(b'\n');
    fs_err::write(&source, text)?;
    let changed = build("with one line changed")?;
    Ok(Row { app: name.clone(), first, unchanged, changed })
}

#[cfg(test)]
mod tests {
    use super::{Duration, Row, table};

    #[test]
    fn a_change_is_quick_below_a_second_or_a_tenth_of_the_first_build() {
        let row = |first: u64, changed: u64| Row {
            app: "app".to_owned(),
            first: Duration::from_millis(first),
            unchanged: Duration::from_millis(50),
            changed: Duration::from_millis(changed),
        };
        assert!(row(2_000, 900).is_quick() && row(40_000, 3_500).is_quick());
        assert!(!row(2_000, 1_100).is_quick());
        let text = table(&[row(40_000, 8_000)]);
        assert!(text.contains("40.00 s") && text.contains("more than a tenth"), "{text}");
    }
}
