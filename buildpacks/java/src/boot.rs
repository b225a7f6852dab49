//! Archives of Spring Boot: the order in which their parts change, which they name themselves, and how they start soon.

use std::path::Path;

use cnb_buildpack::BuildContext;
use cnb_buildpack::context::is_on;

use crate::archive;

/// The variable that uses what Spring prepared at build time, as Paketo's.
pub(crate) const AOT: &str = "BP_SPRING_AOT_ENABLED";

/// The files that list the layers, in jars and in wars.
const INDEXES: [&str; 2] = ["BOOT-INF/layers.idx", "WEB-INF/layers.idx"];

/// Returns the layers of an unpacked archive as slices, the one that changes least first; the last one, the app's own
/// classes, is left to the rest. Archives without a list have the usual ones.
pub(crate) fn slices(dir: &Path) -> Vec<Vec<String>> {
    let text = INDEXES.iter().find_map(|name| fs_err::read_to_string(dir.join(name)).ok());
    let mut layers = text.map(|text| layers(&text)).unwrap_or_default();
    layers.pop();
    layers.retain(|paths| !paths.is_empty());
    if !layers.is_empty() {
        return layers;
    }
    let usual = [
        ["BOOT-INF/lib/**", "WEB-INF/lib/**", "WEB-INF/lib-provided/**"].as_slice(),
        ["org/springframework/boot/loader/**"].as_slice(),
    ];
    usual.iter().map(|paths| paths.iter().map(|&p| p.to_owned()).collect()).collect()
}

/// Returns the arguments that start an unpacked archive: its own class where it names the archives that this needs, which
/// starts sooner than the loader of nested archives does.
pub(crate) fn arguments(dir: &Path, app: &Path, loader: &str) -> String {
    direct(dir, loader).unwrap_or_else(|| format!("-cp {} {loader}", app.display()))
}

fn direct(dir: &Path, loader: &str) -> Option<String> {
    // Those of wars and of settings have more to do than to load classes.
    if !loader.ends_with(".JarLauncher") {
        return None;
    }
    let class = start_class(dir)?;
    let index = fs_err::read_to_string(dir.join("BOOT-INF/classpath.idx")).ok()?;
    let mut path = vec!["BOOT-INF/classes".to_owned()];
    for line in index.lines().filter(|line| !line.trim().is_empty()) {
        let name = line.trim().strip_prefix("- ")?.trim_matches('"');
        // Older ones list names without their folder.
        let places = [name.to_owned(), format!("BOOT-INF/lib/{name}")];
        path.push(places.into_iter().find(|place| is_plain(place) && dir.join(place).is_file())?);
    }
    Some(format!("-cp {} {class}", path.join(":")))
}

/// The class that the loader starts.
fn start_class(dir: &Path) -> Option<String> {
    let manifest = fs_err::read_to_string(dir.join("META-INF/MANIFEST.MF")).ok()?;
    archive::attributes(&manifest).remove("Start-Class").filter(|class| is_plain(class))
}

/// Whether a shell takes a word as it is.
fn is_plain(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric() || "._-+/@".contains(c)) && !word.contains("..")
}

/// Returns the option that uses what Spring prepared at build time, where the user asks for it.
pub(crate) fn ahead_of_time(cx: &BuildContext, dir: &Path) -> &'static str {
    if !is_on(cx.var(AOT)) {
        return "";
    }
    let prepared = start_class(dir).map(|class| {
        let class = class.replace('.', "/");
        dir.join(format!("BOOT-INF/classes/{class}__ApplicationContextInitializer.class"))
    });
    if prepared.is_some_and(|file| file.is_file()) {
        return "-Dspring.aot.enabled=true ";
    }
    cx.log.warning(format!(
        "{AOT} is set, but the build prepared nothing: let it run `process-aot` before `package`, by the POM or `BP_MAVEN_BUILD_ARGUMENTS=compile spring-boot:process-aot package`"
    ));
    ""
}

/// Reads the list: a name for each layer, and below it paths, folders with a slash at their end.
fn layers(text: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let entry = line.trim().trim_start_matches("- ").trim_end_matches(':').trim_matches('"');
        if line.starts_with('-') {
            found.push(Vec::new());
        } else if let (Some(layer), false) = (found.last_mut(), entry.is_empty()) {
            layer.push(if entry.ends_with('/') { format!("{entry}**") } else { entry.to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Path, arguments, slices};

    #[test]
    fn an_archive_is_started_by_its_own_class_where_it_names_what_that_needs() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        let start = |loader: &str| arguments(dir.path(), Path::new("/workspace"), loader);
        let loader = "org.springframework.boot.loader.JarLauncher";
        let by_loader = format!("-cp /workspace {loader}");
        write("META-INF/MANIFEST.MF", "Start-Class: org.example.App\n");
        assert_eq!(start(loader), by_loader);
        write("BOOT-INF/classpath.idx", "- \"BOOT-INF/lib/b.jar\"\n- \"a.jar\"\n");
        assert_eq!(start(loader), by_loader, "an archive is missing");
        write("BOOT-INF/lib/a.jar", "");
        write("BOOT-INF/lib/b.jar", "");
        let path = "BOOT-INF/classes:BOOT-INF/lib/b.jar:BOOT-INF/lib/a.jar";
        assert_eq!(start(loader), format!("-cp {path} org.example.App"));
        assert_eq!(start("x.WarLauncher"), "-cp /workspace x.WarLauncher");
        write("META-INF/MANIFEST.MF", "Start-Class: org.example.App$(id)\n");
        assert_eq!(start(loader), by_loader);
    }

    #[test]
    fn an_archive_names_its_layers() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(slices(dir.path())[1], ["org/springframework/boot/loader/**"]);
        fs_err::create_dir(dir.path().join("BOOT-INF")).unwrap();
        let text = "- \"dependencies\":\n  - \"BOOT-INF/lib/a-1.jar\"\n- \"spring-boot-loader\":\n  - \"org/\"\n- \"snapshot-dependencies\":\n- \"application\":\n  - \"BOOT-INF/classes/\"\n";
        fs_err::write(dir.path().join("BOOT-INF/layers.idx"), text).unwrap();
        assert_eq!(slices(dir.path()), [vec!["BOOT-INF/lib/a-1.jar"], vec!["org/**"]]);
    }
}
