//! The folder of the suite: which cases there are, and which of them are meant.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::case::{Case, CaseError};
use crate::observed::read as read_file;

/// A case and where it is.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `<area>/<name>`.
    pub name: String,
    /// The folder with `case.toml`, absolute.
    pub folder: PathBuf,
    /// What the case does.
    pub case: Case,
    /// Programs that it mentions and that not every machine has.
    pub needs: Vec<&'static str>,
}

/// Programs of set-ups, steps and buildpacks that a machine with bash may lack.
const OPTIONAL: &[&str] = &["python3", "skopeo"];

/// Reads all cases below `<suite>/cases`, sorted by name.
///
/// # Errors
/// If a folder cannot be read, or a case is none.
pub fn read(suite: &Path) -> Result<Vec<Entry>, CaseError> {
    let root = suite.join("cases");
    let mut entries = Vec::new();
    for area in folders(&root)? {
        for folder in folders(&area)?.into_iter().filter(|folder| folder.join("case.toml").is_file()) {
            let name = folder.strip_prefix(&root).unwrap_or(&folder).to_string_lossy().into_owned();
            let (case, needs) = (Case::read(&folder)?, needs(&folder)?);
            entries.push(Entry { name, folder, case, needs });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Returns which optional programs occur in `case.toml` or a file of the inputs.
fn needs(folder: &Path) -> std::io::Result<Vec<&'static str>> {
    let mut needs = Vec::new();
    let mut paths = vec![folder.join("case.toml"), folder.join("in")];
    while let Some(path) = paths.pop() {
        if path.is_symlink() || !path.exists() {
            continue;
        }
        if path.is_dir() {
            let entries = fs::read_dir(&path)?.map(|entry| entry.map(|e| e.path()));
            paths.extend(entries.collect::<Result<Vec<_>, _>>()?);
            continue;
        }
        let bytes = read_file(&path)?;
        let occurs = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        needs.extend(OPTIONAL.iter().filter(|name| occurs(name)));
    }
    needs.sort_unstable();
    needs.dedup();
    Ok(needs)
}

fn folders(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Returns whether `name` is meant by one of `only`: `area/` or `area/name/` from the start, or any part of it.
/// Without any, all are meant.
pub fn is_meant(name: &str, only: &[String]) -> bool {
    let meant = |part: &String| {
        if part.ends_with('/') { format!("{name}/").starts_with(part.as_str()) } else { name.contains(part) }
    };
    only.is_empty() || only.iter().any(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_tell_which_programs_they_mention() {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("cases/area/name");
        fs::create_dir_all(case.join("in/cnb")).unwrap();
        fs::create_dir_all(dir.path().join("cases/area/no-case")).unwrap();
        fs::write(case.join("case.toml"), "title = 'a'\n[[step]]\nsh = 'skopeo copy a b'\n").unwrap();
        fs::write(case.join("in/cnb/detect"), "#!/usr/bin/env python3\n").unwrap();
        let entries = read(dir.path()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].name, "area/name");
        assert_eq!(entries[0].needs, ["python3", "skopeo"]);
    }

    #[test]
    fn cases_are_named_from_the_start_or_by_any_part() {
        let meant = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|o| (*o).to_owned()).collect();
            is_meant("export/app-files", &only)
        };
        assert!(meant(&[]) && meant(&["export/"]) && meant(&["export/app-files/"]) && meant(&["x", "files"]));
        assert!(!meant(&["app-files/"]) && !meant(&["export/app/"]) && !meant(&["rebase"]));
    }
}
