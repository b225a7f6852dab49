//! A front-end inside an app of another language: who builds it, and in which folder.
//!
//! The language's buildpack requires [`NAME`] when there is one, and the Node.js buildpack, which stands before it in
//! the group, provides it: the front-end is built first, and neither Node.js nor its packages go into the image.

use std::path::Path;

use serde::Deserialize;

/// The name in the Build Plan.
pub const NAME: &str = "web-assets";

/// Where front-ends are kept beside a back-end, in the order in which they are looked for.
const FOLDERS: &[&str] =
    &[".", "frontend", "front-end", "client", "web", "webapp", "web/app", "ui", "webui", "www", "assets"];

/// Returns the folder of the app, `.` for the app itself, that has a `package.json` with a script `build`.
///
/// A manifest that cannot be read is none: an app of another language does not fail for it.
pub fn front_end(app: &Path) -> Option<&'static str> {
    FOLDERS.iter().copied().find(|folder| builds(&app.join(folder).join("package.json")))
}

fn builds(manifest: &Path) -> bool {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(default)]
        scripts: std::collections::BTreeMap<String, String>,
    }
    let text = fs_err::read_to_string(manifest).unwrap_or_default();
    serde_json::from_str(&text).is_ok_and(|m: Manifest| m.scripts.contains_key("build"))
}

#[cfg(test)]
mod tests {
    use super::front_end;

    #[test]
    fn a_front_end_is_a_folder_whose_package_has_a_script_build() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("package.json"), r#"{"devDependencies":{"prettier":"3"}}"#).unwrap();
        assert_eq!(front_end(dir.path()), None);
        fs_err::create_dir(dir.path().join("web")).unwrap();
        fs_err::write(dir.path().join("web/package.json"), r#"{"scripts":{"build":"vite build"}}"#).unwrap();
        assert_eq!(front_end(dir.path()), Some("web"));
        fs_err::write(dir.path().join("package.json"), "not JSON").unwrap();
        assert_eq!(front_end(dir.path()), Some("web"));
        fs_err::write(dir.path().join("package.json"), r#"{"scripts":{"build":"tsc"}}"#).unwrap();
        assert_eq!(front_end(dir.path()), Some("."));
    }
}
