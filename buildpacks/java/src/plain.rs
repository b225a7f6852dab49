//! Apps of source files alone: compiled by `javac`, with the archives in `lib` beside them.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::jdk::Jdk;
use crate::product::Product;
use crate::{archive, causes, class_path, main_class};

/// Where source is, the first that has some: as Maven has it, as others do, or the app's own folder.
const ROOTS: &[&str] = &["src/main/java", "src", "."];
/// Files of other languages: with one of them, Java beside it is a part of another app.
const OTHERS: &[&str] = &[
    "package.json",
    "pyproject.toml",
    "requirements.txt",
    "go.mod",
    "Cargo.toml",
    "Gemfile",
    "composer.json",
    "build.sbt",
    "build.xml",
    "project.clj",
    "deps.edn",
    "WORKSPACE",
];

/// Finds the folder of the source of an app that has nothing but source: one of its files has a `main`.
pub(crate) fn root(app: &Path) -> Option<&'static str> {
    if OTHERS.iter().any(|name| app.join(name).is_file()) {
        return None;
    }
    let root = ROOTS.iter().copied().find(|root| !sources(&app.join(root)).is_empty())?;
    let starts = |file: &PathBuf| {
        let text = fs_err::read_to_string(file).unwrap_or_default();
        text.contains("static void main(")
    };
    sources(&app.join(root)).iter().any(starts).then_some(root)
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let hidden = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') || matches!(&*name, "test" | "tests" | "node_modules")
    };
    let files =
        if dir.is_dir() { tree::snapshot(dir, &hidden).unwrap_or_default() } else { tree::Snapshot::new() };
    files.into_keys().filter(|path| archive::has_ending(path, &["java"])).map(|path| dir.join(path)).collect()
}

/// Compiles the app in `root` of its folder.
pub(crate) fn build(cx: &BuildContext, jdk: &Jdk, root: &str) -> Result<Product, Failure> {
    let folder = cx.layers_dir.join(".classes");
    tree::remove(&folder)?;
    fs_err::create_dir_all(&folder)?;
    let dir = cx.app_dir.join(root);
    let files = sources(&dir);
    let libraries = class_path::jars(&cx.app_dir.join("lib"))?;
    let joined = std::env::join_paths(&libraries).map_err(Failure::on("failed to make a class path"))?;
    Command::new(jdk.home.join("bin/javac"), &cx.app_dir, &cx.env)
        .args(["-encoding", "UTF-8", "-d"])
        .args([folder.as_os_str(), "-cp".as_ref(), joined.as_os_str()])
        .args(&files)
        .title(format!("javac {root} ({} files)", files.len()))
        .run(&cx.log, causes::ALL)?;
    let resources = if root == "src/main/java" { cx.app_dir.join("src/main/resources") } else { dir.clone() };
    if root != "." && resources.is_dir() {
        for path in tree::snapshot(&resources, &|path| archive::has_ending(path, &["java"]))?.into_keys() {
            if resources.join(&path).is_file() {
                fs_err::create_dir_all(folder.join(&path).parent().unwrap_or(&folder))?;
                tree::copy(&resources.join(&path), &folder.join(&path))?;
            }
        }
    }
    let found = main_class::find(&folder, cx.var(main_class::VARIABLE), "")?;
    let main_class = found.ok_or_else(|| {
        Failure::new("no class of the app can be started")
            .because("none has a method `public static void main(String[])`")
            .next(format!("write one, or name the class with `--env {}=…`", main_class::VARIABLE))
    })?;
    Ok(Product::Classes { folder, main_class, libraries })
}

/// Removes the source that was compiled, and leaves what a program may read.
pub(crate) fn remove(app: &Path, root: &str) -> Result<(), Failure> {
    sources(&app.join(root)).iter().try_for_each(|file| tree::remove(file))
}

#[cfg(test)]
mod tests {
    use super::root;

    #[test]
    fn source_with_a_main_is_an_app_unless_it_is_part_of_another() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(root(dir.path()), None);
        fs_err::create_dir(dir.path().join("src")).unwrap();
        fs_err::write(dir.path().join("src/Util.java"), "class Util {}").unwrap();
        assert_eq!(root(dir.path()), None);
        fs_err::write(
            dir.path().join("src/Main.java"),
            "class Main { public static void main(String[] a) {} }",
        )
        .unwrap();
        assert_eq!(root(dir.path()), Some("src"));
        fs_err::write(dir.path().join("package.json"), "{}").unwrap();
        assert_eq!(root(dir.path()), None);
    }
}
