//! What Next.js leaves when it is told to make a server that stands alone, or plain files.

use std::path::{Path, PathBuf};

use cnb_buildpack::{Failure, tree};

/// Where the server that stands alone is made.
const STANDALONE: &str = ".next/standalone";
/// Where plain files are written (`output: 'export'`).
const EXPORT: &str = "out";

/// Finds the server that stands alone, in `dir` of the app; within it the package has the place that it has in its
/// repository, `within`.
///
/// Files for browsers are brought beside it, which Next.js leaves to whoever deploys.
pub(crate) fn standalone(dir: &Path, within: &Path) -> Result<Option<PathBuf>, Failure> {
    let places = [Path::new(STANDALONE).join(within), PathBuf::from(STANDALONE)];
    let Some(place) = places.into_iter().find(|place| dir.join(place).join("server.js").is_file()) else {
        return Ok(None);
    };
    for name in ["public", ".next/static"] {
        let (from, to) = (dir.join(name), dir.join(&place).join(name));
        if from.is_dir() && !to.exists() {
            fs_err::create_dir_all(to.parent().unwrap_or(dir))?;
            tree::copy(&from, &to)?;
        }
    }
    Ok(Some(place.join("server.js")))
}

/// Returns the folder of plain files, which `next start` refuses to serve.
pub(crate) fn exported(dir: &Path, line: &str) -> Option<&'static str> {
    let is_start = line.split_whitespace().collect::<Vec<_>>().starts_with(&["next", "start"]);
    (is_start && dir.join(EXPORT).join("index.html").is_file()).then_some(EXPORT)
}

#[cfg(test)]
mod tests {
    use super::{Path, PathBuf, exported, standalone};

    #[test]
    fn a_server_that_stands_alone_gets_the_files_for_browsers() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(standalone(dir.path(), Path::new("")).unwrap(), None);
        for file in [".next/standalone/apps/web/server.js", ".next/static/a.js", "public/b.txt"] {
            fs_err::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs_err::write(dir.path().join(file), "").unwrap();
        }
        let found = standalone(dir.path(), Path::new("apps/web")).unwrap();
        assert_eq!(found, Some(PathBuf::from(".next/standalone/apps/web/server.js")));
        for file in [".next/static/a.js", "public/b.txt"] {
            assert!(dir.path().join(".next/standalone/apps/web").join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn plain_files_are_served_in_place_of_a_start_that_refuses_to() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(exported(dir.path(), "next start"), None);
        fs_err::create_dir(dir.path().join("out")).unwrap();
        fs_err::write(dir.path().join("out/index.html"), "").unwrap();
        assert_eq!(exported(dir.path(), "next start -p 1"), Some("out"));
        assert_eq!(exported(dir.path(), "node server.js"), None);
    }
}
