//! What a build made that can be started, and how it is laid out in the image.

use std::path::{Path, PathBuf};

use cnb_buildpack::sbom::Component;
use cnb_buildpack::tree::Node;
use cnb_buildpack::{Failure, tree};

use crate::archive::{self, Runnable};
use crate::tool::Tool;
use crate::{boot, install, server};

/// Something that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Product {
    /// Quarkus' folder with `quarkus-run.jar`.
    Quarkus(PathBuf),
    /// An archive with a main class.
    Archive(Runnable),
    /// The archive of a web app that needs a server.
    War(PathBuf),
    /// The app's own folder, in which such an archive was unpacked before.
    Folder(Runnable),
    /// Compiled classes with the archives that they need.
    Classes {
        /// The folder of the classes.
        folder: PathBuf,
        /// The class that is started.
        main_class: String,
        /// Archives: in the app's folder or a layer.
        libraries: Vec<PathBuf>,
    },
    /// What Gradle's `installDist` left, by its start script.
    Installed(PathBuf),
    /// Files and folders that a `Procfile` starts, by their paths within the app.
    Named(Vec<PathBuf>),
}

/// A product in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The arguments of `java`.
    pub arguments: String,
    /// The program that is started in place of `java`, empty for `java`.
    pub program: String,
    /// The modules of Java that it needs, separated by commas; empty for the usual ones.
    pub modules: String,
    /// Paths by rate of change, the slowest first; what is in none of them changes most.
    pub slices: Vec<Vec<String>>,
    /// The archive of the app that was unpacked, which is not needed beside its contents.
    pub unpacked: Option<String>,
    /// The version of the server that it needs, empty without one.
    pub server: String,
}

/// Archives that builds leave beside the one that is started.
const BESIDE: &[&str] =
    &["-sources.jar", "-javadoc.jar", "-tests.jar", "-test.jar", "-plain.jar", "-stubs.jar"];
/// How deep modules lie at most.
const DEPTH: usize = 3;

/// Finds the product of a build; `module` restricts the search to a folder.
pub fn find(app: &Path, tool: Option<Tool>, module: Option<&str>) -> Result<Product, Failure> {
    let root = module.map_or_else(|| app.to_owned(), |m| app.join(m));
    let mut folders = Vec::new();
    match tool {
        None => folders.push(root.clone()),
        Some(tool) => outputs(&root, tool, DEPTH, &mut folders)?,
    }
    for folder in &folders {
        let parent = if folder.ends_with("libs") { folder.parent().unwrap_or(folder) } else { folder };
        if parent.join("quarkus-app/quarkus-run.jar").is_file() {
            return Ok(Product::Quarkus(parent.join("quarkus-app")));
        }
        if let Some(script) = install::script(parent) {
            return Ok(Product::Installed(script));
        }
    }
    let mut found = Vec::new();
    let mut other = Vec::new();
    for file in archives(&folders)? {
        match archive::runnable(&file) {
            Some(runnable) => found.push(runnable),
            None => other.push(file),
        }
    }
    // Of several the one of Spring Boot, else the one with most in it: the others are usually parts of it.
    found.sort_by_key(|r| (r.is_spring_boot, r.size));
    let war = other.iter().find(|file| archive::has_ending(file, &["war"]) && archive::is_web(file));
    match (found.pop(), war) {
        (Some(archive), None) => Ok(Product::Archive(archive)),
        (Some(archive), Some(_)) if archive.is_spring_boot => Ok(Product::Archive(archive)),
        // What else can be started beside a web app is a tool of it.
        (_, Some(war)) => Ok(Product::War(war.clone())),
        (None, None) => match archive::unpacked(&root).filter(|_| tool.is_none()) {
            Some(folder) => Ok(Product::Folder(folder)),
            None => Err(none(app, tool, &other)),
        },
    }
}

fn none(app: &Path, tool: Option<Tool>, other: &[PathBuf]) -> Failure {
    let failure = Failure::new("there is nothing that can be started");
    let names: Vec<String> =
        other.iter().map(|p| format!("`{}`", p.strip_prefix(app).unwrap_or(p).display())).collect();
    let failure = if names.is_empty() {
        failure.because(match tool {
            Some(tool) => format!("the build left no archive in `{}`", tool.output()),
            None => "there is no archive in the app's folder".to_owned(),
        })
    } else {
        failure.because(format!("{} has no Main-Class in its manifest", names.join(", ")))
    };
    failure.next("let the build make an executable jar (spring-boot-maven-plugin, maven-shade-plugin, `application` of Gradle with a fat jar), or write a `Procfile`")
}

fn outputs(dir: &Path, tool: Tool, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let own = dir.join(tool.output());
    if own.is_dir() {
        found.push(own);
    }
    if depth == 0 || !dir.is_dir() {
        return Ok(());
    }
    let mut inner: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir()
            && !name.starts_with('.')
            && !matches!(&*name, "src" | "target" | "build" | "node_modules")
        {
            inner.push(entry.path());
        }
    }
    inner.sort();
    inner.iter().try_for_each(|dir| outputs(dir, tool, depth - 1, found))
}

fn archives(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_archive = archive::has_ending(&path, &["jar", "war"]);
            if is_archive
                && path.is_file()
                && !name.starts_with("original-")
                && !BESIDE.iter().any(|b| name.ends_with(b))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

impl Product {
    /// Lays it out in `to`; with `whole`, archives stay archives at their own paths, as a `Procfile` names them.
    pub(crate) fn lay_out(&self, app: &Path, to: &Path, whole: bool) -> Result<Layout, Failure> {
        match self {
            Self::Quarkus(folder) => {
                tree::copy(folder, &to.join("quarkus-app"))?;
                Ok(Layout {
                    arguments: "-jar quarkus-app/quarkus-run.jar".to_owned(),
                    slices: vec![
                        vec!["quarkus-app/lib/**".to_owned()],
                        vec!["quarkus-app/quarkus/**".to_owned()],
                    ],
                    ..Layout::default()
                })
            }
            Self::Archive(archive) if archive.is_spring_boot && !whole => {
                archive::explode(&archive.file, to)?;
                Ok(Layout {
                    arguments: boot::arguments(to, app, &archive.main_class),
                    slices: boot::slices(to),
                    unpacked: within(app, &archive.file),
                    ..Layout::default()
                })
            }
            Self::Folder(archive) => Ok(Layout {
                arguments: boot::arguments(app, app, &archive.main_class),
                slices: boot::slices(app),
                ..Layout::default()
            }),
            Self::War(file) => {
                let folder = to.join(server::FOLDER);
                archive::explode(file, &folder)?;
                Ok(Layout {
                    server: server::version(&folder)?.to_owned(),
                    slices: vec![vec![format!("{}/WEB-INF/lib/**", server::FOLDER)]],
                    unpacked: within(app, file),
                    ..Layout::default()
                })
            }
            Self::Classes { folder, main_class, libraries } => {
                tree::copy(folder, &to.join("classes"))?;
                let inside = |path: &PathBuf| path.strip_prefix(app).unwrap_or(path).display().to_string();
                let path: Vec<String> =
                    std::iter::once("classes".to_owned()).chain(libraries.iter().map(inside)).collect();
                Ok(Layout { arguments: format!("-cp {} {main_class}", path.join(":")), ..Layout::default() })
            }
            Self::Installed(script) => {
                let folder = script.parent().and_then(Path::parent).unwrap_or(app);
                let inside = folder.strip_prefix(app).unwrap_or(folder);
                let layout = Self::Named(vec![inside.to_owned()]).lay_out(app, to, whole)?;
                let program = script.strip_prefix(app).unwrap_or(script).display().to_string();
                Ok(Layout { program, ..layout })
            }
            Self::Named(paths) => {
                for path in paths {
                    let target = to.join(path);
                    fs_err::create_dir_all(target.parent().unwrap_or(to))?;
                    tree::copy(&app.join(path), &target)?;
                    for file in archives_below(&target)? {
                        tree::remove(&file)?;
                        let inside = file.strip_prefix(to).unwrap_or(&file);
                        archive::settle(&app.join(inside), &file)?;
                    }
                }
                Ok(Layout::default())
            }
            Self::Archive(archive) => {
                let inside = archive.file.strip_prefix(app).unwrap_or(&archive.file);
                let target = to.join(inside);
                let (from, beside) = (archive.file.parent().unwrap_or(app), target.parent().unwrap_or(to));
                fs_err::create_dir_all(beside)?;
                archive::settle(&archive.file, &target)?;
                let mut libraries = Vec::new();
                for name in &archive.class_path {
                    let named = from.join(name);
                    // What leads out of the build's folder is not the build's.
                    if named.exists() && !name.contains("..") && !name.starts_with('/') {
                        let place = beside.join(name.trim_end_matches('/'));
                        fs_err::create_dir_all(place.parent().unwrap_or(beside))?;
                        tree::copy(&named, &place)?;
                        libraries.push(
                            inside.with_file_name(name.trim_end_matches('/')).to_string_lossy().into_owned(),
                        );
                    }
                }
                let slices = if libraries.is_empty() { Vec::new() } else { vec![libraries] };
                Ok(Layout { arguments: format!("-jar {}", inside.display()), slices, ..Layout::default() })
            }
        }
    }

    /// Lists what is in it.
    pub(crate) fn components(&self, app: &Path) -> Result<Vec<Component>, Failure> {
        let files = match self {
            Self::Archive(archive) => {
                let folder = archive.file.parent().unwrap_or(Path::new("/"));
                let libraries =
                    archive.class_path.iter().map(|name| folder.join(name)).filter(|p| p.is_file());
                std::iter::once(archive.file.clone()).chain(libraries).collect()
            }
            Self::Quarkus(folder) => archives_below(&folder.join("lib"))?,
            Self::War(file) => vec![file.clone()],
            Self::Folder(_) => archives_below(app)?,
            Self::Classes { libraries, .. } => libraries.clone(),
            Self::Installed(script) => archives_below(script.parent().and_then(Path::parent).unwrap_or(app))?,
            Self::Named(paths) => {
                let below = paths.iter().map(|path| archives_below(&app.join(path)));
                below.collect::<Result<Vec<_>, _>>()?.concat()
            }
        };
        let of_file = |file: &PathBuf| {
            let found = archive::components(file);
            if found.is_empty() {
                archive::named(&file.to_string_lossy()).into_iter().collect()
            } else {
                found
            }
        };
        Ok(files.iter().flat_map(of_file).collect())
    }
}

fn within(app: &Path, file: &Path) -> Option<String> {
    file.strip_prefix(app).ok().map(|path| path.to_string_lossy().into_owned())
}

/// Lists the archives in a folder and below it, or the file itself.
fn archives_below(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_archive = |path: &Path| archive::has_ending(path, &["jar", "war"]);
    if path.is_file() {
        return Ok(Some(path.to_owned()).filter(|p| is_archive(p)).into_iter().collect());
    }
    let files = tree::snapshot(path, &|_| false)?;
    let files = files.into_iter().filter(|(name, node)| is_archive(name) && matches!(node, Node::File(..)));
    Ok(files.map(|(name, _)| path.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Path, Product, Tool, find};

    fn jar(file: &Path, manifest: &str) {
        let main = manifest.lines().find_map(|l| l.strip_prefix("Main-Class: "));
        let class = main.map(|main| format!("{}.class", main.replace('.', "/")));
        jar_of(file, manifest, class.as_deref());
    }

    fn jar_of(file: &Path, manifest: &str, class: Option<&str>) {
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        let mut zip = zip::ZipWriter::new(fs_err::File::create(file).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("META-INF/MANIFEST.MF", options).unwrap();
        zip.write_all(manifest.as_bytes()).unwrap();
        zip.start_file("WEB-INF/web.xml", options).unwrap();
        if let Some(class) = class {
            zip.start_file(class, options).unwrap();
        }
        zip.finish().unwrap();
    }

    fn found(app: &Path, tool: Tool, module: Option<&str>) -> String {
        let file = match find(app, Some(tool), module).unwrap() {
            Product::Quarkus(folder) => folder,
            Product::Archive(archive) => archive.file,
            Product::War(file) | Product::Installed(file) => file,
            other => panic!("{other:?}"),
        };
        file.strip_prefix(app).unwrap().display().to_string()
    }

    #[test]
    fn quarkus_has_a_folder_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        jar(&dir.path().join("target/app-1.jar"), "Main-Class: a.B\n");
        jar(&dir.path().join("target/quarkus-app/quarkus-run.jar"), "Main-Class: io.quarkus.Run\n");
        assert_eq!(found(dir.path(), Tool::Maven, None), "target/quarkus-app");
    }

    #[test]
    fn of_several_modules_that_of_spring_boot_or_the_named_one_is_started() {
        let dir = tempfile::tempdir().unwrap();
        jar(&dir.path().join("tool/target/tool-1.jar"), "Main-Class: a.B\n");
        jar(
            &dir.path().join("web/target/web-1.jar"),
            "Main-Class: x.JarLauncher\nSpring-Boot-Version: 3.0.0\n",
        );
        jar(&dir.path().join("lib/target/lib-1.jar"), "Created-By: Maven\n");
        assert_eq!(found(dir.path(), Tool::Maven, None), "web/target/web-1.jar");
        assert_eq!(found(dir.path(), Tool::Maven, Some("tool")), "tool/target/tool-1.jar");
        assert!(find(dir.path(), Some(Tool::Maven), Some("lib")).is_err());
    }

    #[test]
    fn a_war_counts_more_than_a_tool_beside_it_and_less_than_spring_boot() {
        let dir = tempfile::tempdir().unwrap();
        jar(&dir.path().join("build/libs/app.war"), "Created-By: Gradle\n");
        jar(&dir.path().join("build/libs/tool.jar"), "Main-Class: a.B\n");
        assert_eq!(found(dir.path(), Tool::Gradle, None), "build/libs/app.war");
        jar(
            &dir.path().join("build/libs/boot.war"),
            "Main-Class: x.WarLauncher\nSpring-Boot-Version: 3.0.0\n",
        );
        assert_eq!(found(dir.path(), Tool::Gradle, None), "build/libs/boot.war");
    }

    #[test]
    fn an_archive_without_the_class_that_it_names_is_not_started() {
        let dir = tempfile::tempdir().unwrap();
        jar_of(&dir.path().join("target/app-1.jar"), "Main-Class: a.B\n", Some("a/C.class"));
        assert!(find(dir.path(), Some(Tool::Maven), None).is_err());
        jar(&dir.path().join("target/app-1.jar"), "Main-Class: a.B\n");
        assert_eq!(found(dir.path(), Tool::Maven, None), "target/app-1.jar");
    }

    #[test]
    fn what_gradle_installed_is_started_by_its_script() {
        let dir = tempfile::tempdir().unwrap();
        jar(&dir.path().join("build/libs/app.jar"), "Main-Class: a.B\n");
        jar(&dir.path().join("build/install/app/bin/app"), "");
        assert_eq!(found(dir.path(), Tool::Gradle, None), "build/install/app/bin/app");
    }
}
