//! What `installDist` of Gradle's `application` leaves: a start script beside a folder of archives.

use std::path::{Path, PathBuf};

/// Whether a Gradle build in a folder has the plugin, by the words of its build file.
pub(crate) fn has_plugin(dir: &Path) -> bool {
    ["build.gradle", "build.gradle.kts"].iter().any(|name| {
        let text = fs_err::read_to_string(dir.join(name)).unwrap_or_default();
        text.lines().map(str::trim).any(|line| {
            let words: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            [
                "id'application'",
                "id\"application\"",
                "id(\"application\")",
                "applyplugin:'application'",
                "plugin(\"application\")",
            ]
            .iter()
            .any(|mark| words.starts_with(mark))
                || line == "application"
        })
    })
}

/// Finds the start script below `build/install` of a module.
pub(crate) fn script(build: &Path) -> Option<PathBuf> {
    let inside = |dir: &Path| {
        let mut found: Vec<PathBuf> =
            fs_err::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
        found.sort();
        found
    };
    let apps = inside(&build.join("install"));
    let scripts = apps.iter().flat_map(|app| inside(&app.join("bin")));
    scripts.into_iter().find(|file| file.is_file() && file.extension().is_none())
}

#[cfg(test)]
mod tests {
    use super::{has_plugin, script};

    #[test]
    fn the_plugin_and_its_script_are_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_plugin(dir.path()) && script(dir.path()).is_none());
        fs_err::write(dir.path().join("build.gradle.kts"), "plugins {\n    application\n}\n").unwrap();
        assert!(has_plugin(dir.path()));
        fs_err::create_dir_all(dir.path().join("install/app/bin")).unwrap();
        fs_err::write(dir.path().join("install/app/bin/app.bat"), "").unwrap();
        fs_err::write(dir.path().join("install/app/bin/app"), "").unwrap();
        assert_eq!(script(dir.path()), Some(dir.path().join("install/app/bin/app")));
    }
}
