//! What of an app's files is Go source: whether there is a program, and what is not part of the image.

use std::path::{Path, PathBuf};

use cnb_buildpack::{Failure, tree};

/// Files of the Go command itself.
const FILES: &[&str] = &["go.mod", "go.sum", "go.work", "go.work.sum"];
/// Folders that only a build or a test reads.
const FOLDERS: &[&str] = &["vendor", "testdata"];

/// Returns whether a folder holds a Go program of its own: a file of `package main` that is no test, and that no
/// build constraint sets aside.
pub fn has_program(dir: &Path) -> Result<bool, Failure> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        let is_go = path.extension().is_some_and(|e| e == "go") && path.is_file();
        let is_test = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("_test"));
        if is_go && !is_test && is_main(&String::from_utf8_lossy(&fs_err::read(&path)?)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lists the folders of an app that hold a program, by their paths within it; the app's own folder is empty.
pub fn programs(app: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        if has_program(&app.join(&dir))? {
            found.push(dir.to_string_lossy().into_owned());
        }
        for entry in fs_err::read_dir(app.join(&dir))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // What the Go command does not look at either, and packages of front-ends.
            let is_skipped =
                name.starts_with(['.', '_']) || FOLDERS.contains(&&*name) || name == "node_modules";
            if entry.file_type()?.is_dir() && !is_skipped {
                todo.push(dir.join(name));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_main(text: &str) -> bool {
    let ignored = |line: &str| {
        line.strip_prefix("//go:build ").or_else(|| line.strip_prefix("// +build ")).map(str::trim)
            == Some("ignore")
    };
    let clause = text.lines().map(str::trim).find(|line| line.starts_with("package ") || ignored(line));
    clause.is_some_and(|line| {
        line.split("//").next().unwrap_or_default().split_whitespace().eq(["package", "main"])
    })
}

/// Removes Go source: `*.go`, `go.mod` and its kin, `vendor/`, `testdata/`, and folders that are empty then.
///
/// Everything else stays, since a program may read it: templates, static files, configuration, migrations.
pub fn remove(app: &Path) -> Result<(), Failure> {
    for entry in fs_err::read_dir(app)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_vendor = name == "vendor" && !entry.path().join("modules.txt").is_file();
        if entry.file_type()?.is_dir() {
            // Front-ends have folders of that name, too.
            if FOLDERS.iter().any(|f| name == *f) && !is_vendor {
                tree::remove(&entry.path())?;
            } else {
                remove_below(&entry.path())?;
            }
        } else if is_source(&entry.path()) {
            tree::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Returns whether nothing is left of the folder, but only if something was removed from it.
fn remove_below(dir: &Path) -> Result<(), Failure> {
    let was_empty = fs_err::read_dir(dir)?.next().is_none();
    remove(dir)?;
    if !was_empty && fs_err::read_dir(dir)?.next().is_none() {
        fs_err::remove_dir(dir)?;
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "go")
        || FILES.iter().any(|f| path.file_name().is_some_and(|n| n == *f))
}

#[cfg(test)]
mod tests {
    use super::{is_main, programs, remove};
    use cnb_buildpack::tree;

    #[test]
    fn folders_with_a_program_are_found_where_the_go_command_looks() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("main.go", "package main"),
            ("cmd/web/main.go", "package main"),
            ("pkg/a.go", "package pkg"),
            ("vendor/x/main.go", "package main"),
            (".hidden/main.go", "package main"),
            ("tools/gen.go", "//go:build ignore\n\npackage main"),
        ] {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        assert_eq!(programs(dir.path()).unwrap(), ["", "cmd/web"]);
    }

    #[test]
    fn source_goes_and_what_a_program_may_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "main.go",
            "go.mod",
            "go.sum",
            "internal/a/a.go",
            "templates/index.html",
            "web/embed.go",
            "web/app.js",
            "vendor/modules.txt",
            "vendor/x/x.go",
            "static/vendor/lib.js",
            "a/testdata/x.json",
            "config.yaml",
        ];
        for file in files {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        fs_err::create_dir(dir.path().join("uploads")).unwrap();
        remove(dir.path()).unwrap();
        let left: Vec<String> = tree::snapshot(dir.path(), &|_| false)
            .unwrap()
            .into_keys()
            .map(|p| p.display().to_string())
            .collect();
        let expected = [
            "config.yaml",
            "static",
            "static/vendor",
            "static/vendor/lib.js",
            "templates",
            "templates/index.html",
            "uploads",
            "web",
            "web/app.js",
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn a_program_is_a_package_main_that_is_built() {
        assert!(is_main("// Command a.\npackage main // here\n"));
        assert!(is_main("//go:build linux\n\npackage main"));
        assert!(!is_main("//go:build ignore\n\npackage main"));
        assert!(!is_main("package mainly"));
        assert!(!is_main(""));
    }
}
