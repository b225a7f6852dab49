//! Which folder of an app is served.

use std::path::{Component, Path};

use cnb_buildpack::Failure;

/// Folders that build tools leave their result in, and that web servers are used to.
const BUILT: &[&str] = &["public", "dist", "build", "out", "_site", "htdocs", "www"];

/// Finds the folder to serve, as a path within the app; `asked` is what the user named, and where.
pub fn find(app: &Path, asked: Option<&(String, String)>) -> Result<Option<String>, Failure> {
    if let Some((asked, source)) = asked {
        return named(app, asked, source).map(Some);
    }
    let has_index = |dir: &str| app.join(dir).join("index.html").is_file();
    let built = BUILT.iter().copied().find(|dir| has_index(dir));
    // Beside a package.json an index.html may be the source of a front-end whose result lies in another folder.
    let is_source = app.join("package.json").is_file();
    let found = if has_index(".") && !(is_source && built.is_some()) { Some(".") } else { built };
    Ok(found.map(str::to_owned))
}

fn named(app: &Path, asked: &str, source: &str) -> Result<String, Failure> {
    let inside = Path::new(asked).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(Failure::new(format!("{source} names `{asked}`, which is not a folder of the app"))
            .next("name a path within the app, such as `site/public`"));
    }
    if !app.join(asked).is_dir() {
        return Err(Failure::new(format!("{source} names `{asked}`, and the app has no such folder"))
            .next("create it, or name the folder that has the files to serve"));
    }
    Ok(asked.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[track_caller]
    fn check(files: &[&str], expected: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        assert_eq!(find(dir.path(), None).unwrap().as_deref(), expected, "{files:?}");
    }

    #[test]
    fn the_folder_with_an_index_is_served() {
        check(&["index.html"], Some("."));
        check(&["public/index.html"], Some("public"));
        check(&["index.html", "dist/index.html"], Some("."));
        check(&["index.html", "package.json", "dist/index.html"], Some("dist"));
        check(&["index.html", "package.json"], Some("."));
        check(&["htdocs/index.html", "httpd.conf"], Some("htdocs"));
        check(&["_site/index.html", "_config.yml"], Some("_site"));
        check(&["readme.html", "src/index.html"], None);
    }

    #[test]
    fn a_named_folder_must_be_inside_the_app() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("site")).unwrap();
        let asked = |root: &str| (root.to_owned(), "here".to_owned());
        assert_eq!(find(dir.path(), Some(&asked("site/"))).unwrap().as_deref(), Some("site"));
        for bad in ["../x", "/etc", "nothing"] {
            assert!(find(dir.path(), Some(&asked(bad))).is_err(), "{bad}");
        }
    }
}
