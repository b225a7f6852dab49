//! What of the app is source: it is compiled, and has no part in the image.

use std::path::Path;

use cnb_buildpack::{Failure, tree};

/// Files that make a folder one of a build.
const BUILD_FILES: &[&str] = &["pom.xml", "build.gradle", "build.gradle.kts"];
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
    if !BUILD_FILES.iter().any(|f| app.join(f).is_file()) && !app.join("settings.gradle").is_file() {
        return Ok(());
    }
    for name in OF_A_BUILD {
        tree::remove(&app.join(name))?;
    }
    for entry in fs_err::read_dir(app)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
            if fs_err::read_dir(entry.path())?.next().is_none() {
                fs_err::remove_dir(entry.path())?;
            }
        }
    }
    Ok(())
}
