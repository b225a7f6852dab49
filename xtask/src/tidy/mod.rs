//! `cargo xtask tidy`: the promises of `ARCHITECTURE.md` that neither compiler nor clippy can keep.
//!
//! Each check is a function from texts to [`Finding`]s. Only [`check`] reads files and starts cargo.

pub mod clauses;
pub mod dependencies;
pub mod faults;
pub mod hosts;
pub mod licences;
pub mod map;
pub mod source;
pub mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the workspace.
    pub path: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong, and what to do instead.
    pub what: String,
}

impl Finding {
    /// Makes a finding.
    pub fn new(path: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line.max(1), self.what)
    }
}

/// Why the workspace could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Cargo did not tell what depends on what.
    #[error("`cargo metadata` failed: {0}")]
    Metadata(String),
    /// The specification cases cannot be read.
    #[error("the specification cases are unusable: {0}")]
    Spec(String),
}

/// A text file of the workspace.
#[derive(Debug)]
pub struct TextFile {
    /// The path, relative to the workspace, with `/`.
    pub path: String,
    /// The contents.
    pub text: String,
}

/// Checks the workspace in `root` and returns what is wrong, sorted.
pub fn check(root: &Path) -> Result<Vec<Finding>, TidyError> {
    let files = text_files(root)?;
    let metadata = cargo_metadata(root)?;
    let text = |path: &str| files.iter().find(|f| f.path == path).map_or("", |f| f.text.as_str());
    let paths: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
    let mut findings = Vec::new();
    for file in &files {
        if source::is_ours(&file.path) {
            findings.extend(source::check(&file.path, &file.text));
        }
        findings.extend(hosts::check(&file.path, &file.text));
    }
    let graph = dependencies::Graph::new(&metadata);
    findings.extend(dependencies::check(&graph));
    findings.extend(licences::check(&metadata));
    findings.extend(faults::check_features(&metadata));
    findings.extend(map::check(
        "ARCHITECTURE.md",
        text("ARCHITECTURE.md"),
        &graph.workspace_crates(),
        &paths,
    ));
    findings.extend(clauses::check(root, &files)?);
    findings.sort();
    Ok(findings)
}

/// Reads every UTF-8 file below `root` that belongs to the project.
fn text_files(root: &Path) -> Result<Vec<TextFile>, TidyError> {
    let mut files = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs_err::read_dir(root.join(&dir))? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let path = dir.join(&name);
            if kind.is_dir() && !matches!(name.to_str(), Some(".git" | "target" | "node_modules")) {
                dirs.push(path);
            } else if kind.is_file() {
                // What is no text has no rules.
                if let Ok(text) = String::from_utf8(read(&root.join(&path))?) {
                    files.push(TextFile { path: path.to_string_lossy().into_owned(), text });
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut fs_err::File::open(path)?, &mut bytes)?;
    Ok(bytes)
}

/// Asks cargo, offline, for the packages that a build on this kind of machine uses.
fn cargo_metadata(root: &Path) -> Result<serde_json::Value, TidyError> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new("cargo")
        .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", &platform])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(TidyError::Metadata(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| TidyError::Metadata(e.to_string()))
}
