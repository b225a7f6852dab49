//! Divides the app directory into layers (requirements C70, E15 to E17).

use std::os::unix::ffi::OsStrExt;

use cnb_fs::{FsError, GuestPath, Kind, Root};
use cnb_spec::fault;
use cnb_spec::process::Slice;

use crate::glob::{BadPattern, Glob};

/// The app directory and all below it, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppTree {
    /// The directory itself first, each directory before what is in it.
    entries: Vec<AppEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AppEntry {
    path: GuestPath,
    parent: usize,
    children: Vec<usize>,
}

/// A glob of a slice is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("creating app layers: failed to check if '{name}' matches '{pattern}'")]
pub struct SliceError {
    /// The path that was looked at.
    name: String,
    /// The glob.
    pattern: String,
    #[source]
    source: BadPattern,
}

impl AppTree {
    /// Lists the app directory. A link or a file in its place is one entry (J30).
    pub fn read(root: &Root, app: &GuestPath) -> Result<Self, FsError> {
        let mut tree =
            Self { entries: vec![AppEntry { path: app.clone(), parent: 0, children: Vec::new() }] };
        let stat = root.symlink_metadata(app)?;
        let is_dir = stat.is_some_and(|s| s.st_mode & 0o170_000 == 0o040_000);
        let mut pending = if is_dir { vec![0] } else { Vec::new() };
        while let Some(parent) = pending.pop() {
            for entry in root.list(&tree.entries[parent].path)? {
                let index = tree.entries.len();
                let path = tree.entries[parent].path.join(&entry.name);
                tree.entries.push(AppEntry { path, parent, children: Vec::new() });
                tree.entries[parent].children.push(index);
                if entry.kind == Kind::Dir {
                    pending.push(index);
                }
            }
        }
        Ok(tree)
    }

    /// Divides the tree: one list of paths for each slice, and one for what is left; each sorted by the bytes
    /// of the full path.
    ///
    /// # Errors
    /// When a glob is malformed and there is anything to compare it with (J31).
    pub fn divide(&self, slices: &[Slice]) -> Result<Vec<Vec<GuestPath>>, SliceError> {
        let mut taken = vec![false; self.entries.len()];
        let mut layers = Vec::with_capacity(slices.len() + 1);
        for slice in slices {
            let mut matched = vec![false; self.entries.len()];
            for pattern in slice.paths.iter().flatten() {
                for index in self.matches(pattern)? {
                    self.take(index, &mut taken, &mut matched);
                }
            }
            layers.push(self.with_parents(&matched, &mut taken));
        }
        let rest = (0..self.entries.len()).filter(|index| !taken[*index]).collect();
        layers.push(self.sorted(rest));
        Ok(layers)
    }

    fn matches(&self, pattern: &str) -> Result<Vec<usize>, SliceError> {
        let app = self.entries[0].path.as_os_str().as_bytes();
        let pattern = clean(pattern);
        // Absolute globs below the app directory are legal in the specification (Δ20).
        let relative = pattern.as_bytes().strip_prefix(app).and_then(|rest| rest.strip_prefix(b"/"));
        let relative = relative.filter(|_| !fault::is("absolute-slice"));
        let relative = relative.and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or(&pattern);
        let name = |index: usize| {
            let path = self.entries[index].path.as_os_str().as_bytes();
            path.get(app.len()..).map_or(path, |rest| rest.strip_prefix(b"/").unwrap_or(rest))
        };
        let all = 1..self.entries.len();
        let Some(first) = all.clone().min_by_key(|index| name(*index)) else { return Ok(Vec::new()) };
        let glob = Glob::parse(relative).map_err(|source| SliceError {
            name: String::from_utf8_lossy(name(first)).into_owned(),
            pattern: pattern.clone(),
            source,
        })?;
        Ok(all.filter(|index| glob.matches(name(*index))).collect())
    }

    fn take(&self, index: usize, taken: &mut [bool], matched: &mut [bool]) {
        let mut pending = vec![index];
        while let Some(index) = pending.pop() {
            if !taken[index] {
                taken[index] = true;
                matched[index] = true;
                pending.extend(&self.entries[index].children);
            }
        }
    }

    /// Adds the directories above what matched; one whose children are all taken is taken itself.
    fn with_parents(&self, matched: &[bool], taken: &mut [bool]) -> Vec<GuestPath> {
        let mut all = matched.to_vec();
        let mut parents = Vec::new();
        // A child always comes after its directory, so going backwards meets the deepest first.
        for index in (1..self.entries.len()).rev() {
            let parent = self.entries[index].parent;
            if all[index] && !all[parent] {
                all[parent] = true;
                parents.push(parent);
            }
        }
        parents.sort_unstable_by(|a, b| b.cmp(a));
        for parent in parents {
            taken[parent] = self.entries[parent].children.iter().all(|child| taken[*child]);
        }
        self.sorted((0..all.len()).filter(|index| all[*index]).collect())
    }

    fn sorted(&self, mut indexes: Vec<usize>) -> Vec<GuestPath> {
        indexes.sort_by_key(|index| self.entries[*index].path.as_os_str().as_bytes());
        indexes.into_iter().map(|index| self.entries[index].path.clone()).collect()
    }
}

/// Returns `pattern` without `.`, `..`, doubled and trailing slashes, by its text alone.
fn clean(pattern: &str) -> String {
    let is_absolute = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> AppTree {
        let mut tree = AppTree {
            entries: vec![AppEntry { path: GuestPath::new("/w"), parent: 0, children: Vec::new() }],
        };
        for path in paths {
            let path = GuestPath::new("/w").join(path);
            let above = path.parent().unwrap();
            let parent = tree.entries.iter().position(|e| e.path == above).unwrap();
            let index = tree.entries.len();
            tree.entries.push(AppEntry { path, parent, children: Vec::new() });
            tree.entries[parent].children.push(index);
        }
        tree
    }

    #[track_caller]
    fn check(slices: &[&[&str]], expected: &[&str]) {
        let tree = tree(&["a", "a/x", "a-b", "s", "s/c", "s/c/1", "s/c/2", "s/j"]);
        let slices: Vec<Slice> = slices
            .iter()
            .map(|paths| Slice { paths: Some(paths.iter().map(|p| (*p).to_owned()).collect()) })
            .collect();
        let layers = tree.divide(&slices).unwrap();
        let found: Vec<String> = layers
            .iter()
            .map(|l| l.iter().map(|p| p.as_guest().display().to_string()).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn without_slices_all_is_one_layer_sorted_by_the_bytes_of_the_path() {
        check(&[], &["/w /w/a /w/a-b /w/a/x /w/s /w/s/c /w/s/c/1 /w/s/c/2 /w/s/j"]);
    }

    #[test]
    fn a_directory_stays_until_all_in_it_is_taken() {
        check(
            &[&["s/c/1"], &["s/c/2"]],
            &["/w /w/s /w/s/c /w/s/c/1", "/w /w/s /w/s/c /w/s/c/2", "/w /w/a /w/a-b /w/a/x /w/s /w/s/j"],
        );
        check(
            &[&["s/c"], &["s"]],
            &["/w /w/s /w/s/c /w/s/c/1 /w/s/c/2", "/w /w/s /w/s/j", "/w /w/a /w/a-b /w/a/x"],
        );
        check(&[&["*"]], &["/w /w/a /w/a-b /w/a/x /w/s /w/s/c /w/s/c/1 /w/s/c/2 /w/s/j", ""]);
    }

    #[test]
    fn patterns_are_cleaned_and_absolute_ones_are_below_the_app() {
        check(
            &[&["./a-b", "s//j/"]],
            &["/w /w/a-b /w/s /w/s/j", "/w /w/a /w/a/x /w/s /w/s/c /w/s/c/1 /w/s/c/2"],
        );
        check(
            &[&["."], &["../w/a-b"], &["/etc/*"]],
            &["", "", "", "/w /w/a /w/a-b /w/a/x /w/s /w/s/c /w/s/c/1 /w/s/c/2 /w/s/j"],
        );
        check(&[&["/w//s/../a-b"]], &["/w /w/a-b", "/w /w/a /w/a/x /w/s /w/s/c /w/s/c/1 /w/s/c/2 /w/s/j"]);
    }

    #[test]
    fn a_malformed_glob_is_noticed_once_there_is_a_file() {
        let slices = [Slice { paths: Some(vec!["[a-".to_owned()]) }];
        assert_eq!(tree(&[]).divide(&slices).map(|l| l.len()), Ok(2));
        let error = tree(&["x", ".c"]).divide(&slices).unwrap_err();
        assert_eq!(error.to_string(), "creating app layers: failed to check if '.c' matches '[a-'");
        assert_eq!(error.source.to_string(), "syntax error in pattern");
    }
}
