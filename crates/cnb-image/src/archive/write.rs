//! Writes archives, beside their place, and renames them when complete.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, HostPath, atomic};
use cnb_spec::digest::Digest;
use cnb_spec::image_ref::{DEFAULT_REGISTRY, ImageRef};
use cnb_spec::oci::Index;
use fs_err as fs;
use serde::Serialize;

use super::oci::blob_name;
use crate::ImageError;
use crate::blob_store::Verified;
use crate::image::{Image, to_bytes};
use crate::layout::{self, OCI_LAYOUT, REF_NAME};
use crate::media::{Compression, Family};
use crate::tar::{BLOCK, Header, HeaderKind, pad};
use crate::tree::Tree;

/// The annotation by which containerd names an image that it imports.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Writes `image` to `file` as a tar of an OCI layout.
///
/// The names in the index are those under which podman stores the image.
pub fn write_oci(file: &HostPath, image: &Image, names: &[ImageRef]) -> Result<(), ImageError> {
    let image = image.in_family(Family::Oci)?;
    write(file, |archive| {
        let index = index(&image, names, docker_name);
        archive.layout(&image, &index)
    })
}

/// Writes all of `tree`, as it is, to `file` as a tar of an OCI layout.
pub fn write_oci_tree(file: &HostPath, tree: &Tree, name: Option<&ImageRef>) -> Result<(), ImageError> {
    write(file, |archive| {
        let mut index = layout::empty_index();
        let mut descriptor = tree.descriptor.clone();
        descriptor.annotations.clear();
        if let Some(name) = name {
            descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), docker_name(name));
            descriptor.annotations.insert(REF_NAME.to_owned(), docker_name(name));
        }
        index.manifests.push(descriptor);
        archive.head(&index)?;
        archive.tree(tree, &mut BTreeSet::new())
    })
}

/// Writes `image` to `file` so that Docker, podman and containerd load it.
///
/// # Errors
/// Also when a layer is packed in a way that Docker 20.10 cannot read.
pub fn write_docker(file: &HostPath, image: &Image, names: &[ImageRef]) -> Result<(), ImageError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        config: String,
        repo_tags: Vec<String>,
        layers: Vec<String>,
    }
    for layer in image.layers() {
        if layer.compression()? == Compression::Zstd {
            let media_type = layer.descriptor.media_type.clone();
            return Err(ImageError::MediaType { what: "layer in a Docker archive", media_type });
        }
    }
    let image = image.in_family(Family::Oci)?;
    let entry = Entry {
        config: blob_name(&image.manifest().config.digest),
        repo_tags: names.iter().filter(|n| n.tag().is_some()).map(ImageRef::familiar).collect(),
        layers: image.layers().iter().map(|l| blob_name(&l.descriptor.digest)).collect(),
    };
    write(file, |archive| {
        let index = index(&image, names, |name| name.tag().unwrap_or_default().to_owned());
        archive.layout(&image, &index)?;
        archive.bytes("manifest.json", &to_bytes("Docker manifest", &[entry])?)
    })
}

/// Returns the canonical name with the registry name that engines use: `docker.io/library/app:latest`.
pub fn docker_name(name: &ImageRef) -> String {
    let canonical = name.to_string();
    match canonical.strip_prefix(DEFAULT_REGISTRY) {
        Some(rest) => format!("docker.io{rest}"),
        None => canonical,
    }
}

fn index(image: &Image, names: &[ImageRef], ref_name: impl Fn(&ImageRef) -> String) -> Index {
    let mut index = layout::empty_index();
    for name in names {
        let mut descriptor = image.descriptor();
        descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), docker_name(name));
        descriptor.annotations.insert(REF_NAME.to_owned(), ref_name(name));
        index.manifests.push(descriptor);
    }
    if names.is_empty() {
        index.manifests.push(image.descriptor());
    }
    index
}

/// Runs `content` on a new archive beside `file` and renames it when all is written.
fn write(
    file: &HostPath,
    content: impl FnOnce(&mut Writer) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let path = file.as_path();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(FsError::on("create the directory", parent))?;
    }
    let temporary = Temporary(atomic::beside(path));
    let on_error = |e: io::Error| FsError::on("write", path)(e);
    let out = File::create_new(&temporary.0).map_err(on_error)?;
    let mut writer = Writer { out: BufWriter::with_capacity(1 << 20, out), path: path.to_path_buf() };
    content(&mut writer)?;
    writer.out.write_all(&[0; 2 * BLOCK]).map_err(on_error)?;
    let out = writer.out.into_inner().map_err(|e| on_error(e.into_error()))?;
    out.sync_data().map_err(on_error)?;
    fs::rename(&temporary.0, path).map_err(on_error)?;
    Ok(())
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename the name is gone already.
        let _ = fs::remove_file(&self.0);
    }
}

struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
}

impl Writer {
    fn head(&mut self, index: &Index) -> Result<(), ImageError> {
        self.bytes("oci-layout", OCI_LAYOUT.as_bytes())?;
        self.bytes("index.json", &layout::pretty(index)?)?;
        self.header("blobs", 0o755, HeaderKind::Dir)?;
        self.header("blobs/sha256", 0o755, HeaderKind::Dir)
    }

    /// Writes what `written` does not have yet.
    fn tree(&mut self, tree: &Tree, written: &mut BTreeSet<Digest>) -> Result<(), ImageError> {
        for (descriptor, source) in &tree.blobs {
            if written.insert(descriptor.digest) {
                self.header(
                    &blob_name(&descriptor.digest),
                    0o644,
                    HeaderKind::File { size: descriptor.size },
                )?;
                let mut blob = Verified::new(source.open(descriptor)?, descriptor);
                io::copy(&mut blob, &mut self.out).map_err(|e| blob.explain(e, &source.place()))?;
                self.pad(descriptor.size)?;
            }
        }
        tree.children.iter().try_for_each(|child| self.tree(child, written))?;
        if written.insert(tree.descriptor.digest) {
            self.bytes(&blob_name(&tree.descriptor.digest), &tree.bytes)?;
        }
        Ok(())
    }

    fn layout(&mut self, image: &Image, index: &Index) -> Result<(), ImageError> {
        self.head(index)?;
        let mut written = BTreeSet::new();
        for layer in image.layers() {
            if written.insert(layer.descriptor.digest) {
                let size = layer.descriptor.size;
                self.header(&blob_name(&layer.descriptor.digest), 0o644, HeaderKind::File { size })?;
                let mut blob = layer.open()?;
                io::copy(&mut blob, &mut self.out).map_err(|e| blob.explain(e, &layer.blob.place()))?;
                self.pad(size)?;
            }
        }
        self.bytes(&blob_name(&image.manifest().config.digest), image.config_bytes())?;
        self.bytes(&blob_name(&image.digest()), image.manifest_bytes())
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let size = bytes.len() as u64;
        self.header(name, 0o644, HeaderKind::File { size })?;
        self.out.write_all(bytes).map_err(FsError::on("write", &self.path))?;
        self.pad(size)
    }

    fn header(&mut self, name: &str, mode: u32, kind: HeaderKind) -> Result<(), ImageError> {
        let mut bytes = Vec::new();
        Header { path: Path::new(name), mode, uid: 0, gid: 0, kind }.write(&mut bytes);
        Ok(self.out.write_all(&bytes).map_err(FsError::on("write", &self.path))?)
    }

    fn pad(&mut self, size: u64) -> Result<(), ImageError> {
        let mut zeros = Vec::new();
        pad(&mut zeros, size);
        Ok(self.out.write_all(&zeros).map_err(FsError::on("write", &self.path))?)
    }
}
