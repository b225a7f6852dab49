//! Apps whose build leaves classes but no archive that can be started: they run from the classes, with the packages
//! that the build needs at run time in a layer of their own.

use std::path::{Path, PathBuf};

use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::archive::{self, Runnable};
use crate::jdk::Jdk;
use crate::main_class;
use crate::product::Product;
use crate::tool::{self, Tool};

const LAYER: &str = "libraries";
/// Packages that are there at run time alone.
const SCOPE: &str = "-DincludeScope=runtime";

/// Finds the classes of a Maven build and the one to start, in `module` or in the only folder that has one, and gathers
/// the packages that they need; `packages` is a key over all that decides which these are.
pub(crate) fn find(
    cx: &BuildContext,
    jdk: &Jdk,
    module: Option<&str>,
    packages: &str,
) -> Result<Option<Product>, Failure> {
    let roots = match module {
        Some(module) => vec![cx.app_dir.join(module)],
        None => tool::modules(&cx.app_dir),
    };
    let mut found = Vec::new();
    for root in roots {
        let pom = fs_err::read_to_string(root.join("pom.xml")).unwrap_or_default();
        let folder = root.join("target/classes");
        if let Some(main_class) = main_class::find(&folder, cx.var(main_class::VARIABLE), &pom)? {
            found.push((root, folder, main_class, pom));
        }
    }
    if found.len() > 1 {
        let inside = |root: &PathBuf| root.strip_prefix(&cx.app_dir).unwrap_or(root).display().to_string();
        let names: Vec<String> = found.iter().map(|(root, ..)| format!("`{}`", inside(root))).collect();
        return Err(Failure::new("there are several modules that can be started")
            .because(names.join(", "))
            .next("name one: `--env CNB_JAVA_MODULE=…`"));
    }
    let Some((root, folder, main_class, pom)) = found.pop() else { return Ok(None) };
    if !pom.contains("<dependency>") && !pom.contains("<parent>") {
        cx.remove_layer(LAYER)?;
        return Ok(Some(Product::Classes { folder, main_class, libraries: Vec::new() }));
    }
    let metadata = metadata(&[("format", "1"), ("packages", packages)]);
    let layer = cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &metadata, |layer| {
        let goal =
            [tool::COPY.to_owned(), SCOPE.to_owned(), format!("-DoutputDirectory={}", layer.path.display())];
        Tool::Maven.run(cx, jdk, &[of_module(cx, &root), goal.to_vec()].concat())?;
        Ok(None)
    })?;
    let libraries = jars(&layer.path)?;
    Ok(Some(Product::Classes { folder, main_class, libraries }))
}

/// What comes before the goal: modules of the app that others need have to be made in the same run.
fn of_module(cx: &BuildContext, root: &Path) -> Vec<String> {
    let mut args = vec!["-q".to_owned()];
    if has_modules(&cx.app_dir) {
        let inside = root.strip_prefix(&cx.app_dir).unwrap_or(root).display().to_string();
        args.extend([
            "-pl".to_owned(),
            if inside.is_empty() { ".".to_owned() } else { inside },
            "-am".to_owned(),
        ]);
        args.extend(Tool::Maven.arguments_of(cx));
    } else {
        args.extend(["-f".to_owned(), root.join("pom.xml").display().to_string()]);
    }
    args
}

/// Whether a build has modules, whose packages change with their source.
pub(crate) fn has_modules(app: &Path) -> bool {
    fs_err::read_to_string(app.join("pom.xml")).is_ok_and(|pom| pom.contains("<module>"))
}

/// Uses the packages of the last build again for arguments that name them; `false` where they are gone.
pub(crate) fn keep(cx: &BuildContext, arguments: &str) -> Result<bool, Failure> {
    if !arguments.contains(&*cx.layer_path(LAYER).to_string_lossy()) {
        return Ok(true);
    }
    let restored = cx.restored_metadata(LAYER);
    if !cx.is_reusable(LAYER, LayerTypes::LAUNCH_CACHE, &restored) {
        return Ok(false);
    }
    cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &restored, |_| Ok(None)).map(|_| true)
}

/// Whether an archive that names its main class lacks what its build depends on: it holds the build's own classes alone.
pub(crate) fn is_thin(archive: &Runnable, root: &Path) -> bool {
    let pom = fs_err::read_to_string(root.join("pom.xml")).unwrap_or_default();
    let classes = root.join("target/classes");
    if archive.is_spring_boot
        || !archive.class_path.is_empty()
        || !pom.contains("<dependency>")
        || !classes.is_dir()
    {
        return false;
    }
    let is_class = |path: &Path| archive::has_ending(path, &["class"]);
    let own = tree::snapshot(&classes, &|_| false).map(|s| s.into_keys().filter(|p| is_class(p)).count());
    own.is_ok_and(|own| archive::count(&archive.file, is_class) <= own)
}

/// Lists the archives in a folder in the order of their names.
pub(crate) fn jars(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    if dir.is_dir() {
        for entry in fs_err::read_dir(dir)? {
            found.push(entry?.path());
        }
    }
    found.retain(|path| archive::has_ending(path, &["jar"]));
    found.sort();
    Ok(found)
}
