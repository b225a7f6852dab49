//! The files that `keep` names.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;

/// Returns the files that match `pattern`, an absolute path whose components may have `*`, `?` and `[…]`, and
/// may be `**` for folders of any depth; sorted. Links to files count, and links to folders are followed but for
/// `**`.
///
/// # Errors
/// If a component is no glob.
pub(super) fn files(pattern: &str) -> Result<Vec<PathBuf>, String> {
    below(Path::new("/"), pattern)
}

fn below(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = vec![root.to_owned()];
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        paths = if component == "**" {
            paths.into_iter().flat_map(folders).collect()
        } else if component.contains(['*', '?', '[']) {
            let glob = GlobBuilder::new(component).backslash_escape(false).build();
            let matcher = glob.map_err(|e| e.to_string())?.compile_matcher();
            let entries = paths.iter().flat_map(|path| entries(path));
            entries.filter(|entry| entry.file_name().is_some_and(|name| matcher.is_match(name))).collect()
        } else {
            paths.into_iter().map(|path| path.join(component)).filter(|path| path.exists()).collect()
        };
    }
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Returns a folder and all folders in it, at any depth.
fn folders(path: PathBuf) -> Vec<PathBuf> {
    let mut folders = vec![path];
    let mut at = 0;
    while at < folders.len() {
        let inner = entries(&folders[at]).into_iter().filter(|path| path.is_dir() && !path.is_symlink());
        folders.extend(inner.collect::<Vec<_>>());
        at += 1;
    }
    folders
}

/// Returns what is in a folder; nothing if it cannot be read.
fn entries(path: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(path).map(|dir| dir.flatten().map(|e| e.path()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_globs_and_sorted() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("a/b")).unwrap();
        for file in ["a/x.toml", "a/.y.toml", "a/b/z.toml", "a/b/z.json"] {
            fs_err::File::create(dir.path().join(file)).unwrap();
        }
        fs_err::os::unix::fs::symlink("b", dir.path().join("a/link")).unwrap();
        fs_err::os::unix::fs::symlink("nowhere", dir.path().join("a/dangling.toml")).unwrap();
        let check = |pattern: &str, expected: &[&str]| {
            let found = below(dir.path(), pattern).unwrap();
            let found: Vec<_> =
                found.iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("/a/x.toml", &["a/x.toml"]);
        check("/a/*.toml", &["a/.y.toml", "a/x.toml"]);
        check("/a/**/*", &["a/.y.toml", "a/b/z.json", "a/b/z.toml", "a/x.toml"]);
        check("/*/link/z.*", &["a/link/z.json", "a/link/z.toml"]);
        check("/none/*", &[]);
        assert!(below(dir.path(), "/a/[").is_err());
    }
}
