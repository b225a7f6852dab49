//! What of the app is source: it is compiled, and has no part in the image.

use std::path::Path;

use cnb_buildpack::{Failure, tree};

/// Files that make a folder one of a build.
const BUILD_FILES: &[&str] =
    &["pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];
/// What belongs to the build in such a folder.
const OF_A_BUILD: &[&str] = &[
    ".gradle",
    ".mvn",
    "build",
    "build.gradle",
    "build.gradle.kts",
    "gradle",
    "gradle.properties",
    "gradlew",
    "gradlew.bat",
    "mvnw",
    "mvnw.cmd",
    "pom.xml",
    "settings.gradle",
    "settings.gradle.kts",
    "src",
    "target",
];

/// Removes the source and what the build wrote, in the app's folder and those of its modules.
pub(crate) fn remove(app: &Path) -> Result<(), Failure> {
    if is_build(app) { below(app) } else { Ok(()) }
}

fn is_build(dir: &Path) -> bool {
    BUILD_FILES.iter().any(|name| dir.join(name).is_file())
}

fn below(dir: &Path) -> Result<(), Failure> {
    if is_build(dir) {
        OF_A_BUILD.iter().try_for_each(|name| tree::remove(&dir.join(name)))?;
    }
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || entry.file_name() == ".git" {
            continue;
        }
        let was_empty = fs_err::read_dir(entry.path())?.next().is_none();
        below(&entry.path())?;
        if !was_empty && fs_err::read_dir(entry.path())?.next().is_none() {
            fs_err::remove_dir(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{remove, tree};

    #[test]
    fn source_goes_in_all_modules_and_what_a_program_may_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "settings.gradle.kts",
            "gradlew",
            "data/a.csv",
            "services/web/build.gradle.kts",
            "services/web/src/main/java/Main.java",
            "services/web/build/libs/web.jar",
            "services/web/config.yaml",
            "services/api/build.gradle",
        ];
        for file in files {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        remove(dir.path()).unwrap();
        let left: Vec<_> = tree::snapshot(dir.path(), &|_| false)
            .unwrap()
            .into_keys()
            .map(|p| p.display().to_string())
            .collect();
        assert_eq!(left, ["data", "data/a.csv", "services", "services/web", "services/web/config.yaml"]);
    }

    #[test]
    fn an_app_that_is_no_build_keeps_everything() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("src")).unwrap();
        fs_err::write(dir.path().join("src/x"), "").unwrap();
        remove(dir.path()).unwrap();
        assert!(dir.path().join("src/x").is_file());
    }
}
