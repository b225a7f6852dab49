//! `<layers>/<escaped id>`: what one buildpack left in its layers directory.
//!
//! Buildpack Interface Specification, "Layer Types" and "Layer Content Metadata"; requirements C56, C57,
//! C64, C65, J29, J30. Buildpacks write here, so nothing about the names and kinds of files is certain.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use cnb_fs::toml_file::{self, TomlFileError};
use cnb_fs::{FsError, GuestPath, Kind, Root};
use cnb_spec::buildpack::layer_toml::LayerContentMetadata;
use cnb_spec::buildpack::sbom::SbomFormat;
use cnb_spec::id::ModuleId;

/// A listing of one buildpack's layers directory.
#[derive(Clone, Debug)]
pub struct BuildpackLayers {
    /// The directory.
    pub dir: GuestPath,
    tomls: Vec<OsString>,
    dirs: Vec<OsString>,
    sboms: Vec<OsString>,
}

/// What an SBOM file tells about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SbomSubject {
    /// The app image.
    Launch,
    /// The build.
    Build,
    /// A layer.
    Layer(OsString),
}

/// An SBOM file in a buildpack's layers directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SbomFile {
    /// The file.
    pub path: GuestPath,
    /// What it tells about.
    pub subject: SbomSubject,
    /// Its format; `None` when the name has none that is known.
    pub format: Option<SbomFormat>,
}

/// Why the metadata of a layer could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LayerFileError {
    /// It could not be read or parsed.
    #[error(transparent)]
    File(#[from] TomlFileError),
    /// The types stand where they stood long ago (requirement A51).
    #[error("the launch, cache and build flags should be in the types table of {0}")]
    MisplacedTypes(GuestPath),
}

/// Returns the layers directory of the buildpack `id`.
pub fn dir_of(layers: &GuestPath, id: &ModuleId) -> GuestPath {
    layers.join(id.escaped())
}

impl BuildpackLayers {
    /// Lists the layers directory of the buildpack `id`; a missing directory is empty.
    pub fn read(root: &Root, layers: &GuestPath, id: &ModuleId) -> Result<Self, FsError> {
        let dir = dir_of(layers, id);
        let mut found = Self { dir, tomls: Vec::new(), dirs: Vec::new(), sboms: Vec::new() };
        for entry in root.list(&found.dir)? {
            let bytes = entry.name.as_bytes();
            if is_sbom(bytes) {
                found.sboms.push(entry.name.clone());
            }
            if entry.kind == Kind::Dir {
                found.dirs.push(entry.name);
            } else if let Some(stem) = bytes.strip_suffix(b".toml") {
                found.tomls.push(OsString::from_vec(stem.to_vec()));
            }
        }
        Ok(found)
    }

    /// Returns whether there is a file whose name leaves none for a layer, such as `.toml` (requirement J29).
    pub fn has_nameless_file(&self) -> bool {
        self.tomls.iter().any(|t| is_no_name(t))
    }

    /// Returns the names of all `<name>.toml`, in byte order of the file names, as the builder treats them:
    /// `launch.toml`, `build.toml` and `store.toml` included (requirement C56).
    pub fn with_files(&self) -> impl Iterator<Item = &OsStr> {
        self.tomls.iter().map(OsString::as_os_str).filter(|t| !is_no_name(t))
    }

    /// Returns the names of the layers as exporter and cache treat them, sorted: every directory, and every
    /// metadata file but the buildpack's own three (requirements C57, J30).
    pub fn names(&self) -> Vec<&OsStr> {
        let own = |name: &OsStr| matches!(name.as_bytes(), b"launch" | b"build" | b"store");
        let files = self.with_files().filter(|name| !own(name));
        let all: BTreeSet<&OsStr> = self.dirs.iter().map(OsString::as_os_str).chain(files).collect();
        all.into_iter().collect()
    }

    /// Returns the path of a layer's contents.
    pub fn layer_dir(&self, name: &OsStr) -> GuestPath {
        self.dir.join(name)
    }

    /// Returns the path of a layer's metadata.
    pub fn layer_file(&self, name: &OsStr) -> GuestPath {
        let mut file = name.to_os_string();
        file.push(".toml");
        self.dir.join(file)
    }

    /// Reads a layer's metadata; a missing file says nothing, so all types are false.
    pub fn metadata(&self, root: &Root, name: &OsStr) -> Result<LayerContentMetadata, LayerFileError> {
        let path = self.layer_file(name);
        let metadata: LayerContentMetadata = toml_file::read_if_exists(root, &path)?.unwrap_or_default();
        if metadata.has_misplaced_types() { Err(LayerFileError::MisplacedTypes(path)) } else { Ok(metadata) }
    }

    /// Returns whether the directory has any SBOM file at all, of whatever subject (requirement A49).
    pub fn has_sbom(&self) -> bool {
        !self.sboms.is_empty()
    }

    /// Returns the SBOM files of the app image, of the build, and of `layers`; those of others are left out.
    ///
    /// A name is matched against the layers that there are, so that a layer with dots in its name keeps its
    /// SBOM (Δ23); otherwise the text before the first dot counts.
    pub fn sbom_files(&self, layers: &BTreeSet<OsString>) -> Vec<SbomFile> {
        self.sboms.iter().filter_map(|file| self.sbom_file(file, layers)).collect()
    }

    fn sbom_file(&self, file: &OsStr, layers: &BTreeSet<OsString>) -> Option<SbomFile> {
        let bytes = file.as_bytes();
        let format = SbomFormat::ALL
            .into_iter()
            .find(|f| bytes.ends_with(format!(".sbom.{}", f.extension()).as_bytes()));
        let known = positions(bytes, b".sbom.")
            .map(|at| OsStr::from_bytes(&bytes[..at]))
            .filter(|n| layers.contains(*n));
        let first = OsStr::from_bytes(bytes.split(|b| *b == b'.').next().unwrap_or_default());
        let subject = match (known.max_by_key(|n| n.len()), first.as_bytes()) {
            (Some(layer), b"launch" | b"build") if layer != first => SbomSubject::Layer(layer.to_os_string()),
            (_, b"launch") => SbomSubject::Launch,
            (_, b"build") => SbomSubject::Build,
            (Some(layer), _) => SbomSubject::Layer(layer.to_os_string()),
            (None, _) if layers.contains(first) => SbomSubject::Layer(first.to_os_string()),
            (None, _) => return None,
        };
        Some(SbomFile { path: self.dir.join(file), subject, format })
    }
}

/// Returns whether the text cannot be a directory of its own: `<buildpack layers>/..` would be all layers.
fn is_no_name(stem: &OsStr) -> bool {
    matches!(stem.as_bytes(), b"" | b"." | b"..")
}

/// Returns whether the name matches `*.sbom.*.json`.
fn is_sbom(name: &[u8]) -> bool {
    name.strip_suffix(b".json").is_some_and(|stem| positions(stem, b".sbom.").next().is_some())
}

fn positions<'b>(text: &'b [u8], part: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    (0..text.len()).filter(move |at| text[*at..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::test_world as world;

    fn listing(root: &Root, files: &[&str], dirs: &[&str]) -> BuildpackLayers {
        let id: ModuleId = "a/b".parse().unwrap();
        let dir = dir_of(&GuestPath::new("/layers"), &id);
        for name in files {
            root.write(&dir.join(name), b"", 0o644).unwrap();
        }
        for name in dirs {
            root.create_dir_all(&dir.join(name)).unwrap();
        }
        BuildpackLayers::read(root, &GuestPath::new("/layers"), &id).unwrap()
    }

    #[test]
    fn layers_are_directories_and_metadata_files() {
        let (_dir, root) = world();
        let files = [
            "x.toml",
            "launch.toml",
            "build.toml",
            "store.toml",
            ".toml",
            "...toml",
            "only.toml",
            "y",
            "x.sha",
        ];
        let found = listing(&root, &files, &["x", "launch", "d.toml"]);
        assert_eq!(found.names(), ["d.toml", "launch", "only", "x"]);
        assert_eq!(found.with_files().collect::<Vec<_>>(), ["build", "launch", "only", "store", "x"]);
        assert!(found.has_nameless_file());
        assert_eq!(listing(&world().1, &[], &[]).names(), [""; 0]);
    }

    #[track_caller]
    fn check_sbom(file: &str, layers: &[&str], expected: Option<(&SbomSubject, Option<SbomFormat>)>) {
        let (_dir, root) = world();
        let layers = layers.iter().map(OsString::from).collect();
        let found = listing(&root, &[file], &[]).sbom_files(&layers);
        assert_eq!(found.first().map(|s| (&s.subject, s.format)), expected, "{file}");
    }

    #[test]
    fn an_sbom_belongs_to_the_image_the_build_or_a_known_layer() {
        use SbomFormat::{CycloneDx, Spdx, Syft};
        let layer = |name: &str| SbomSubject::Layer(name.into());
        check_sbom("launch.sbom.cdx.json", &[], Some((&SbomSubject::Launch, Some(CycloneDx))));
        check_sbom("build.sbom.foo.json", &[], Some((&SbomSubject::Build, None)));
        check_sbom("x.sbom.syft.json", &["x"], Some((&layer("x"), Some(Syft))));
        check_sbom("x.sbom.syft.json", &["y"], None);
        check_sbom("a.b.sbom.spdx.json", &["a.b"], Some((&layer("a.b"), Some(Spdx))));
        check_sbom("a.b.sbom.spdx.json", &["a"], Some((&layer("a"), Some(Spdx))));
        check_sbom("launch.sbom.spdx.json", &["launch"], Some((&SbomSubject::Launch, Some(Spdx))));
        check_sbom("launch.x.sbom.spdx.json", &["launch.x"], Some((&layer("launch.x"), Some(Spdx))));
        check_sbom("x.sbom.json", &["x"], None);
    }

    #[test]
    fn types_at_the_top_level_are_an_error_that_names_the_file() {
        let (_dir, root) = world();
        root.write(&GuestPath::new("/layers/a_b/x.toml"), b"launch = true", 0o644).unwrap();
        let error = listing(&root, &[], &[]).metadata(&root, OsStr::new("x")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the launch, cache and build flags should be in the types table of /layers/a_b/x.toml"
        );
    }
}
