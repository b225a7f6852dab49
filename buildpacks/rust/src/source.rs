//! What of the app is source: it is compiled into the binary, and has no part in the image.

use std::path::Path;

use cnb_buildpack::{Failure, tree};

/// Files that only Cargo and its tools read.
const FILES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "clippy.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    "rustfmt.toml",
    ".rustfmt.toml",
];
/// Folders of the app that hold nothing that a program reads.
const FOLDERS: &[&str] = &["target", ".cargo"];

/// Removes the source, and folders that held nothing else.
pub(crate) fn remove(app: &Path) -> Result<(), Failure> {
    for folder in FOLDERS {
        tree::remove(&app.join(folder))?;
    }
    below(app)
}

fn below(dir: &Path) -> Result<(), Failure> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() == ".git" {
                continue;
            }
            let was_empty = fs_err::read_dir(&path)?.next().is_none();
            below(&path)?;
            if !was_empty && fs_err::read_dir(&path)?.next().is_none() {
                fs_err::remove_dir(&path)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") || FILES.iter().any(|f| entry.file_name() == *f)
        {
            tree::remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{remove, tree};

    #[test]
    fn source_goes_and_what_a_program_may_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "Cargo.toml",
            "src/main.rs",
            "src/index.html",
            "crates/a/src/lib.rs",
            "target/debug/x",
            "static/a.css",
            "Rocket.toml",
            "migrations/1.sql",
        ] {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        fs_err::create_dir(dir.path().join("uploads")).unwrap();
        remove(dir.path()).unwrap();
        let left: Vec<_> = tree::snapshot(dir.path(), &|_| false)
            .unwrap()
            .into_keys()
            .map(|p| p.display().to_string())
            .collect();
        assert_eq!(
            left,
            [
                "Rocket.toml",
                "migrations",
                "migrations/1.sql",
                "src",
                "src/index.html",
                "static",
                "static/a.css",
                "uploads"
            ]
        );
    }
}
