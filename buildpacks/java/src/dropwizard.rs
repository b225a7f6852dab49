//! Dropwizard: apps that start with the words `server` and the name of a file of settings.

use std::path::Path;

use crate::archive;

/// Files of settings that count where there are several.
const USUAL: &[&str] = &["config.yml", "config.yaml", "configuration.yml", "server.yml", "application.yml"];

/// Returns what comes before and after the other arguments of `java`, for an app whose build uses Dropwizard.
pub(crate) fn arguments(app: &Path) -> Option<(&'static str, String)> {
    let uses = ["pom.xml", "build.gradle", "build.gradle.kts"].iter().any(|name| {
        fs_err::read_to_string(app.join(name)).is_ok_and(|text| text.contains("dropwizard-core"))
    });
    if !uses {
        return None;
    }
    let mut found: Vec<String> = fs_err::read_dir(app)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| archive::has_ending(Path::new(name), &["yml", "yaml"]))
        .filter(|name| {
            let text = fs_err::read_to_string(app.join(name)).unwrap_or_default();
            ["server:", "logging:", "database:"].iter().any(|key| text.lines().any(|l| l.starts_with(key)))
        })
        .collect();
    found.sort();
    let usual = USUAL.iter().find(|name| found.iter().any(|f| f == *name)).map(|&name| name.to_owned());
    let file = usual.or_else(|| found.into_iter().next());
    let text = file.as_ref().and_then(|file| fs_err::read_to_string(app.join(file)).ok()).unwrap_or_default();
    // A list that is not there has no first entry to set.
    let port = if text.contains("applicationConnectors:") {
        "\"-Ddw.server.applicationConnectors[0].port=$PORT\" "
    } else if text.contains("type: simple") && text.contains("connector:") {
        "-Ddw.server.connector.port=$PORT "
    } else {
        ""
    };
    Some((port, format!(" server {}", file.unwrap_or_default()).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::arguments;

    #[test]
    fn settings_are_found_and_get_the_port() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a.yml"), "server:\n  applicationConnectors:\n  - port: 1\n").unwrap();
        assert_eq!(arguments(dir.path()), None);
        fs_err::write(dir.path().join("pom.xml"), "<artifactId>dropwizard-core</artifactId>").unwrap();
        let (port, rest) = arguments(dir.path()).unwrap();
        assert!(port.contains("port=$PORT"));
        assert_eq!(rest, " server a.yml");
        fs_err::remove_file(dir.path().join("a.yml")).unwrap();
        assert_eq!(arguments(dir.path()), Some(("", " server".to_owned())));
    }
}
