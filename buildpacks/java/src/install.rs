//! What `installDist` of Gradle's `application` leaves: a start script beside a folder of archives.

use std::path::{Path, PathBuf};

/// Whether a Gradle build in a folder has the plugin, by the words of its build file.
pub(crate) fn has_plugin(dir: &Path) -> bool {
    ["build.gradle", "build.gradle.kts"].iter().any(|name| {
        let text = fs_err::read_to_string(dir.join(name)).unwrap_or_default();
        text.lines().any(applies)
    })
}

/// Whether a line of a build file applies the plugin, alone or in one line with its block.
fn applies(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let words: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let marks = [
        "id'application'",
        "id\"application\"",
        "id('application')",
        "id(\"application\")",
        "applyplugin:'application'",
        "applyplugin:\"application\"",
        "plugin(\"application\")",
        "{application}",
    ];
    (words == "application" || marks.iter().any(|mark| words.contains(mark))) && !words.contains("applyfalse")
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
    use super::{applies, has_plugin, script};

    #[test]
    fn a_line_that_applies_the_plugin_is_known_however_it_is_written() {
        let lines = [
            "plugins { id 'application' }",
            "  id(\"application\")",
            "plugins { application }",
            "application",
        ];
        assert!(lines.iter().all(|line| applies(line)));
        let others =
            ["// id 'application'", "application {", "id 'application' apply false", "id 'my.application'"];
        assert!(!others.iter().any(|line| applies(line)));
    }

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
