//! Jars and wars: what their manifests say, what is in them, and their contents.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cnb_buildpack::Failure;
use cnb_buildpack::sbom::{Component, Kind, purl_segment};

/// An archive that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runnable {
    /// The archive.
    pub file: PathBuf,
    /// The class that is started.
    pub main_class: String,
    /// Whether it is one of Spring Boot, whose dependencies are archives inside of it.
    pub is_spring_boot: bool,
    /// Other archives that it names, by their paths from its own folder.
    pub class_path: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads an archive; `None` for one that cannot be started, or that is none.
pub fn runnable(file: &Path) -> Option<Runnable> {
    let mut zip = open(file).ok()?;
    let found = of_manifest(file, &manifest(&mut zip)?)?;
    // Some manifests name a class that was there once.
    let class = format!("{}.class", found.main_class.replace('.', "/"));
    let is_there = !found.class_path.is_empty() || names(&zip).contains(&class);
    is_there.then_some(found)
}

/// Reads a folder in which an archive was unpacked; `None` where it could not be started.
pub(crate) fn unpacked(dir: &Path) -> Option<Runnable> {
    let text = fs_err::read_to_string(dir.join("META-INF/MANIFEST.MF")).ok()?;
    of_manifest(dir, &attributes(&text))
}

fn of_manifest(file: &Path, manifest: &BTreeMap<String, String>) -> Option<Runnable> {
    let main_class = manifest.get("Main-Class")?.clone();
    Some(Runnable {
        is_spring_boot: manifest.contains_key("Spring-Boot-Version")
            || main_class.starts_with("org.springframework.boot.loader"),
        class_path: manifest
            .get("Class-Path")
            .into_iter()
            .flat_map(|c| c.split_whitespace())
            .map(str::to_owned)
            .collect(),
        main_class,
        size: file.metadata().map_or(0, |m| m.len()),
        file: file.to_owned(),
    })
}

fn open(file: &Path) -> Result<zip::ZipArchive<fs_err::File>, Failure> {
    zip::ZipArchive::new(fs_err::File::open(file)?)
        .map_err(|e| Failure::new(format!("failed to read the archive `{}`", file.display())).because(e))
}

fn manifest<R: Read + Seek>(zip: &mut zip::ZipArchive<R>) -> Option<BTreeMap<String, String>> {
    let mut text = String::new();
    zip.by_name("META-INF/MANIFEST.MF").ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(attributes(&text))
}

/// Reads the main attributes of a manifest, whose long lines go on in lines that begin with a space.
pub(crate) fn attributes(text: &str) -> BTreeMap<String, String> {
    let joined = text.replace("\r\n", "\n").replace("\n ", "");
    let main = joined.split("\n\n").next().unwrap_or_default();
    let pairs = main.lines().filter_map(|l| l.split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// Unpacks an archive into `dir`; names that lead out of it are refused.
pub(crate) fn explode(file: &Path, dir: &Path) -> Result<(), Failure> {
    let mut zip = open(file)?;
    let wrong =
        |e: &dyn std::fmt::Display| Failure::new(format!("failed to unpack `{}`", file.display())).because(e);
    for number in 0..zip.len() {
        let mut entry = zip.by_index(number).map_err(|e| wrong(&e))?;
        let name = entry.enclosed_name().ok_or_else(|| wrong(&"an entry leads out of the archive"))?;
        let to = dir.join(name);
        if entry.is_dir() {
            fs_err::create_dir_all(to)?;
            continue;
        }
        fs_err::create_dir_all(to.parent().unwrap_or(dir))?;
        std::io::copy(&mut entry, &mut fs_err::File::create(&to)?).map_err(|e| wrong(&e))?;
    }
    Ok(())
}

/// Shows the contents of each class of an archive, until it was enough.
pub(crate) fn classes(file: &Path, mut show: impl FnMut(&[u8]) -> ControlFlow<()>) {
    let Ok(mut zip) = open(file) else { return };
    for name in names(&zip).into_iter().filter(|n| has_ending(Path::new(n), &["class"])) {
        let mut bytes = Vec::new();
        let read = zip.by_name(&name).is_ok_and(|e| e.take(16 << 20).read_to_end(&mut bytes).is_ok());
        if read && show(&bytes).is_break() {
            break;
        }
    }
}

/// Counts the entries of an archive of a kind.
pub(crate) fn count(file: &Path, is_wanted: impl Fn(&Path) -> bool) -> usize {
    open(file).map_or(0, |zip| names(&zip).iter().filter(|name| is_wanted(Path::new(name))).count())
}

/// Whether an archive is that of a web app.
pub(crate) fn is_web(file: &Path) -> bool {
    open(file).is_ok_and(|zip| names(&zip).iter().any(|n| n.starts_with("WEB-INF/")))
}

/// Copies an archive without what is different each time that it is made: times, the order of files, and the date in
/// the notes of older Mavens. One that is signed is copied as it is.
pub(crate) fn settle(from: &Path, to: &Path) -> Result<(), Failure> {
    let wrong =
        |e: &dyn std::fmt::Display| Failure::new(format!("failed to copy `{}`", from.display())).because(e);
    let mut zip = open(from)?;
    let mut names = names(&zip);
    if names.iter().any(|n| n.starts_with("META-INF/") && has_ending(Path::new(n), &["sf"])) {
        return Ok(fs_err::copy(from, to).map(drop)?);
    }
    // Those who read an archive as a stream expect the manifest first.
    names.sort_by_key(|name| (name != "META-INF/", name != "META-INF/MANIFEST.MF", name.clone()));
    names.dedup();
    let mut out = zip::ZipWriter::new(fs_err::File::create(to)?);
    let time = zip::DateTime::default();
    for name in names {
        if is_note(&name) {
            let mut text = String::new();
            zip.by_name(&name).map_err(|e| wrong(&e))?.read_to_string(&mut text).map_err(|e| wrong(&e))?;
            let options =
                zip::write::SimpleFileOptions::default().last_modified_time(time).unix_permissions(0o644);
            out.start_file(&*name, options).map_err(|e| wrong(&e))?;
            let lines = text.lines().filter(|l| !l.starts_with('#'));
            out.write_all(lines.collect::<Vec<_>>().join("\n").as_bytes()).map_err(|e| wrong(&e))?;
        } else {
            let entry = zip.by_name(&name).map_err(|e| wrong(&e))?;
            let mode = entry.unix_mode();
            out.raw_copy_file_touch(entry, time, mode).map_err(|e| wrong(&e))?;
        }
    }
    out.finish().map_err(|e| wrong(&e)).map(drop)
}

fn names<R: Read + Seek>(zip: &zip::ZipArchive<R>) -> Vec<String> {
    zip.file_names().filter_map(Result::ok).map(std::borrow::Cow::into_owned).collect()
}

/// Whether a file in an archive is Maven's note of what the archive is.
fn is_note(name: &str) -> bool {
    name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties")
}

/// Lists what an archive holds or is, as Maven noted it: the libraries inside of it, and those merged into it.
pub fn components(file: &Path) -> Vec<Component> {
    let Ok(file) = fs_err::File::open(file) else { return Vec::new() };
    let Ok(mut zip) = zip::ZipArchive::new(file) else { return Vec::new() };
    components_of(&mut zip, 0)
}

fn components_of<R: Read + Seek>(zip: &mut zip::ZipArchive<R>, depth: u8) -> Vec<Component> {
    let names = names(zip);
    let mut found = Vec::new();
    for name in names {
        let is_note = is_note(&name);
        let is_inner = has_ending(Path::new(&name), &["jar"]) && depth == 0;
        if !is_note && !is_inner {
            continue;
        }
        let mut bytes = Vec::new();
        let read =
            zip.by_name(&name).is_ok_and(|entry| entry.take(256 << 20).read_to_end(&mut bytes).is_ok());
        if !read {
            continue;
        }
        if is_note {
            found.extend(noted(&String::from_utf8_lossy(&bytes)));
        } else if let Ok(mut inner) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) {
            let of_inner = components_of(&mut inner, depth + 1);
            // Many libraries have no note; their name is all there is.
            found.extend(if of_inner.is_empty() { named(&name).into_iter().collect() } else { of_inner });
        }
    }
    found
}

/// Whether a path has one of these endings.
pub(crate) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    endings.iter().any(|ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending)))
}

/// Reads a `pom.properties`.
fn noted(text: &str) -> Option<Component> {
    let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(str::trim);
    let (group, name, version) = (value("groupId")?, value("artifactId")?, value("version")?);
    let purl = format!("pkg:maven/{}/{}@{}", purl_segment(group), purl_segment(name), purl_segment(version));
    Some(Component::new(Kind::Library, name, version, purl))
}

/// Reads the name of a library, such as `BOOT-INF/lib/spring-core-6.1.2.jar`.
pub(crate) fn named(path: &str) -> Option<Component> {
    let stem = path.rsplit('/').next()?.strip_suffix(".jar")?;
    let cut = stem
        .match_indices('-')
        .map(|(at, _)| at)
        .find(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    let (name, version) = (&stem[..cut], &stem[cut + 1..]);
    // Its group is not known, without which there is no name in Maven's repositories.
    let purl = format!("pkg:generic/{}@{}", purl_segment(name), purl_segment(version));
    Some(Component::new(Kind::Library, name, version, purl))
}

#[cfg(test)]
mod tests {
    use super::{attributes, named, noted};

    #[test]
    fn long_lines_of_a_manifest_are_joined() {
        let text = "Manifest-Version: 1.0\r\nMain-Class: org.example.A\r\n pp\r\nClass-Path: lib/a.jar lib/b.j\r\n ar\r\n\r\nName: x\r\nMain-Class: no\r\n";
        let found = attributes(text);
        assert_eq!(found["Main-Class"], "org.example.App");
        assert_eq!(found["Class-Path"], "lib/a.jar lib/b.jar");
    }

    #[test]
    fn libraries_are_known_by_their_notes_or_their_names() {
        let noted = noted("#Generated\ngroupId=org.example\nartifactId=lib\nversion=1.2\n").unwrap();
        assert_eq!(noted.purl, "pkg:maven/org.example/lib@1.2");
        let named = named("BOOT-INF/lib/spring-core-6.1.2.jar").unwrap();
        assert_eq!((named.name.as_str(), named.version.as_str()), ("spring-core", "6.1.2"));
    }
}
