//! OCI image layouts: a folder with `oci-layout`, `index.json` and `blobs/sha256`.
//!
//! OCI image specification, "OCI Image Layout"; file forms by requirement E42. The index changes by one
//! atomic step under a lock, after all blobs are there.

use std::path::Path;

use cnb_fs::lock::TemporaryLock;
use cnb_fs::{HostPath, atomic, toml_file};
use cnb_spec::oci::{Descriptor, Index, Platform};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use crate::ImageError;
use crate::blob_store::BlobStore;
use crate::image::{BlobSource, Image, Locate, ReadDocument, from_bytes};
use crate::media::{self, Document, Family};
use crate::tree::Tree;

/// The annotation that names an image in an index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The content of the file `oci-layout`.
pub const OCI_LAYOUT: &str = "{\n    \"imageLayoutVersion\": \"1.0.0\"\n}";

/// The most bytes of an `index.json`: 16 MiB, some twenty thousand images.
const INDEX_LIMIT: u64 = 16 << 20;

/// How deep indexes may be nested.
const DEPTH: usize = 4;

/// An OCI image layout.
#[derive(Clone, Debug)]
pub struct Layout {
    store: BlobStore,
}

impl Layout {
    /// Opens a layout that exists.
    pub fn open(dir: &HostPath) -> Result<Self, ImageError> {
        let marker = dir.as_path().join("oci-layout");
        let not_a_layout =
            |reason: String| ImageError::NotALayout { place: dir.as_path().to_path_buf(), reason };
        let bytes = match toml_file::read_host_bytes(&marker, 1 << 16) {
            Ok(bytes) => bytes,
            Err(e) if e.is_not_found() => return Err(not_a_layout("it has no file `oci-layout`".to_owned())),
            Err(e) => return Err(e.into()),
        };
        check_version(&bytes).map_err(not_a_layout)?;
        Ok(Self { store: BlobStore::open(dir)? })
    }

    /// Opens a layout, which is made if `dir` is missing or has none yet.
    pub fn create(dir: &HostPath) -> Result<Self, ImageError> {
        let layout = Self { store: BlobStore::open(dir)? };
        let _lock = layout.lock()?;
        let index = dir.as_path().join("index.json");
        if !index.exists() {
            atomic::write(&index, &pretty(&empty_index())?)?;
        }
        let marker = dir.as_path().join("oci-layout");
        if !marker.exists() {
            atomic::write(&marker, OCI_LAYOUT.as_bytes())?;
        }
        Self::open(dir)
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        self.store.dir().as_path()
    }

    /// Returns the blobs.
    pub fn store(&self) -> &BlobStore {
        &self.store
    }

    /// Reads `index.json`.
    pub fn index(&self) -> Result<Index, ImageError> {
        let path = self.dir().join("index.json");
        let bytes = toml_file::read_host_bytes(&path, INDEX_LIMIT)?;
        from_bytes("index", &path.display().to_string(), &bytes)
    }

    /// Changes `index.json` by one atomic step; no other process changes it meanwhile.
    pub fn update<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, ImageError> {
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let before = index.clone();
        let answer = change(&mut index);
        let path = self.dir().join("index.json");
        // With the lock nobody else writes it.
        atomic::sweep(&path);
        if index != before {
            atomic::write(&path, &pretty(&index)?)?;
        }
        Ok(answer)
    }

    /// Stores `image`, with OCI media types, under `name`, in the place of another image of that name.
    pub fn write(&self, image: &Image, name: &str) -> Result<(), ImageError> {
        let image = image.in_family(Family::Oci)?;
        image.store(&self.store)?;
        let mut descriptor = image.descriptor();
        descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        self.update(|index| {
            index.manifests.retain(|d| d.annotations.get(REF_NAME).map(String::as_str) != Some(name));
            index.manifests.push(descriptor);
        })
    }

    /// Stores all of `tree` as it is, under `name`, in the place of what had that name.
    pub fn write_tree(&self, tree: &Tree, name: &str) -> Result<(), ImageError> {
        self.store_tree(tree)?;
        let mut descriptor = tree.descriptor.clone();
        descriptor.annotations = [(REF_NAME.to_owned(), name.to_owned())].into();
        self.update(|index| {
            index.manifests.retain(|d| d.annotations.get(REF_NAME).map(String::as_str) != Some(name));
            index.manifests.push(descriptor);
        })
    }

    fn store_tree(&self, tree: &Tree) -> Result<(), ImageError> {
        tree.children.iter().try_for_each(|child| self.store_tree(child))?;
        for (descriptor, source) in &tree.blobs {
            self.store.copy(descriptor, || source.open(descriptor))?;
        }
        self.store.put(&tree.bytes).map(|_| ())
    }

    /// Reads what is called `name` (the only entry, if there is no name), with all that it names.
    pub fn tree(&self, name: Option<&str>) -> Result<Tree, ImageError> {
        let index = self.index()?;
        let read = |what, d: &Descriptor| self.store.read(what, d);
        let locate = |d: &Descriptor| Ok(BlobSource::File(self.store.path(&d.digest)));
        Tree::read(entry(self.dir(), &index, name)?, &read, &locate)
    }

    /// Stores manifest and config of `image` as they are, without its layers, as the only image of the layout.
    pub fn write_sparse(&self, image: &Image) -> Result<(), ImageError> {
        self.store.put(image.config_bytes())?;
        self.store.put(image.manifest_bytes())?;
        self.update(|index| index.manifests = vec![image.descriptor()])
    }

    /// Reads the image of a descriptor in the index, which must be no index itself.
    pub fn image(&self, descriptor: &Descriptor) -> Result<Image, ImageError> {
        let Some(Document::Manifest(family)) = media::document(&descriptor.media_type) else {
            return Err(ImageError::MediaType {
                what: "manifest",
                media_type: descriptor.media_type.clone(),
            });
        };
        let bytes = self.store.read("manifest", descriptor)?;
        Image::read(bytes, family, &|what, d| self.store.read(what, d), &|d| {
            Ok(BlobSource::File(self.store.path(&d.digest)))
        })
    }

    /// Reads the image called `name` (any, if there is no name) for `platform` (any, if there is none).
    ///
    /// # Errors
    /// When there is no such image, none for the platform, or several and nothing to choose by.
    pub fn find(&self, name: Option<&str>, platform: Option<&Platform>) -> Result<Image, ImageError> {
        let index = self.index()?;
        let read = |what, d: &Descriptor| self.store.read(what, d);
        let locate = |d: &Descriptor| Ok(BlobSource::File(self.store.path(&d.digest)));
        choose(self.dir(), &index, name, platform, &read, &locate)
    }

    fn lock(&self) -> Result<TemporaryLock, ImageError> {
        Ok(TemporaryLock::exclusive(&self.dir().join(".lock"))?)
    }
}

pub(crate) fn check_version(bytes: &[u8]) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let marker: Marker =
        serde_json::from_slice(bytes).map_err(|e| format!("its file `oci-layout` is no JSON: {e}"))?;
    if marker.image_layout_version.starts_with("1.") {
        Ok(())
    } else {
        Err(format!("its version is {}, and only 1.x is known", marker.image_layout_version))
    }
}

/// Returns an OCI index without manifests.
pub fn empty_index() -> Index {
    Index {
        schema_version: 2,
        media_type: media::index(),
        manifests: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
        subject: None,
        artifact_type: String::new(),
    }
}

/// Returns `value` as JSON that is indented by three spaces (E42).
pub(crate) fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
    value.serialize(&mut serializer).map_err(|source| ImageError::Parse {
        what: "index",
        name: "new".to_owned(),
        source,
    })?;
    Ok(bytes)
}

/// Returns the entry of `index` called `name`, or the only one if there is no name.
pub(crate) fn entry<'i>(
    place: &Path,
    index: &'i Index,
    name: Option<&str>,
) -> Result<&'i Descriptor, ImageError> {
    let name_of = |d: &Descriptor| d.annotations.get(REF_NAME).cloned();
    let mut found = index.manifests.iter().filter(|d| name.is_none() || name_of(d).as_deref() == name);
    let first = found.next();
    match first {
        // The same thing under several names is one thing.
        Some(first) if found.all(|other| other.digest == first.digest) => Ok(first),
        _ => {
            let mut names: Vec<String> = index.manifests.iter().filter_map(name_of).collect();
            names.sort();
            let hint = (!names.is_empty()).then(|| format!("it has {}", names.join(", ")));
            let name = name.unwrap_or("any").to_owned();
            Err(ImageError::NotFound { name, place: place.to_path_buf(), hint })
        }
    }
}

/// Chooses an image of `index` by name and platform, through nested indexes.
pub fn choose(
    place: &Path,
    index: &Index,
    name: Option<&str>,
    platform: Option<&Platform>,
    read: &ReadDocument<'_>,
    locate: &Locate<'_>,
) -> Result<Image, ImageError> {
    let name_of = |d: &Descriptor| d.annotations.get(REF_NAME).cloned();
    let candidates: Vec<&Descriptor> =
        index.manifests.iter().filter(|d| name.is_none() || name_of(d).as_deref() == name).collect();
    if candidates.is_empty() {
        let mut names: Vec<String> = index.manifests.iter().filter_map(name_of).collect();
        names.sort();
        let hint = (!names.is_empty()).then(|| format!("it has {}", names.join(", ")));
        let name = name.unwrap_or("any").to_owned();
        return Err(ImageError::NotFound { name, place: place.to_path_buf(), hint });
    }
    let mut manifests = Vec::new();
    for descriptor in &candidates {
        flatten(descriptor, read, DEPTH, &mut manifests)?;
    }
    let is_unknown = |d: &&&Descriptor| media::document(&d.media_type).is_none();
    if let Some(unknown) = candidates.iter().find(is_unknown).filter(|_| manifests.is_empty()) {
        let media_type = unknown.media_type.clone();
        return Err(ImageError::MediaType { what: "entry of the index", media_type });
    }
    let mut found = Vec::new();
    let mut platforms = Vec::new();
    for descriptor in &manifests {
        let Some(Document::Manifest(family)) = media::document(&descriptor.media_type) else { continue };
        if let (Some(wanted), Some(has)) = (platform, &descriptor.platform)
            && !matches_platform(wanted, has)
        {
            platforms.push(show(has));
            continue;
        }
        let image = Image::read(read("manifest", descriptor)?, family, read, locate)?;
        // What the index says counts, as for the Go programs; where it is silent, the config does.
        let has = descriptor.platform.clone().or_else(|| image.descriptor().platform).unwrap_or_default();
        platforms.push(show(&has));
        if platform.is_none_or(|wanted| matches_platform(wanted, &has)) {
            found.push(image);
            // The first one counts; those behind it may be far away.
            if platform.is_some() {
                break;
            }
        }
    }
    found.dedup_by_key(|image| image.digest());
    let is_clear = found.len() == 1 || platform.is_some();
    if let Some(image) = found.into_iter().next().filter(|_| is_clear) {
        return Ok(image);
    }
    let wanted = platform.map_or_else(|| "any one platform".to_owned(), show);
    Err(ImageError::NoPlatform { place: place.to_path_buf(), wanted, found: platforms.join(", ") })
}

fn flatten(
    descriptor: &Descriptor,
    read: &ReadDocument<'_>,
    depth: usize,
    out: &mut Vec<Descriptor>,
) -> Result<(), ImageError> {
    match media::document(&descriptor.media_type) {
        Some(Document::Index) if depth > 0 => {
            let bytes = read("index", descriptor)?;
            let index: Index = from_bytes("index", &descriptor.digest.to_string(), &bytes)?;
            index.manifests.iter().try_for_each(|d| flatten(d, read, depth - 1, out))
        }
        Some(_) => {
            out.push(descriptor.clone());
            Ok(())
        }
        // Indexes may hold anything beside images.
        None => Ok(()),
    }
}

fn matches_platform(wanted: &Platform, has: &Platform) -> bool {
    let agree = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
    agree(&wanted.os, &has.os)
        && agree(&wanted.architecture, &has.architecture)
        && agree(&wanted.variant, &has.variant)
}

fn show(platform: &Platform) -> String {
    let Platform { os, architecture, variant, .. } = platform;
    if variant.is_empty() { format!("{os}/{architecture}") } else { format!("{os}/{architecture}/{variant}") }
}
