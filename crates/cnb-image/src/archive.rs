//! Images as one file: `oci-archive` (a layout in a tar) and `docker-archive`.
//!
//! The Docker archive is a hybrid: an OCI layout with Docker's `manifest.json` that points at its blobs, so
//! that Docker from 20.10 on, podman and containerd all load it. Files are written beside their place and
//! renamed when complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, HostPath, atomic};
use cnb_spec::digest::Digest;
use cnb_spec::image_ref::{DEFAULT_REGISTRY, ImageRef};
use cnb_spec::oci::{Descriptor, Index, Platform};
use fs_err as fs;
use serde::Serialize;

use crate::ImageError;
use crate::blob_store::{Verified, check_size};
use crate::image::{BlobSource, Image, from_bytes, to_bytes};
use crate::layout::{self, OCI_LAYOUT, REF_NAME};
use crate::media::{Compression, Family};
use crate::tar::{BLOCK, Header, HeaderKind, pad};

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

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Returns the canonical name with the registry name that engines use.
fn docker_name(name: &ImageRef) -> String {
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
    fn layout(&mut self, image: &Image, index: &Index) -> Result<(), ImageError> {
        self.bytes("oci-layout", OCI_LAYOUT.as_bytes())?;
        self.bytes("index.json", &layout::pretty(index)?)?;
        self.header("blobs", 0o755, HeaderKind::Dir)?;
        self.header("blobs/sha256", 0o755, HeaderKind::Dir)?;
        let mut written = BTreeSet::new();
        for layer in image.layers() {
            if written.insert(layer.descriptor.digest) {
                let size = layer.descriptor.size;
                self.header(&blob_name(&layer.descriptor.digest), 0o644, HeaderKind::File { size })?;
                let mut blob = layer.open()?;
                io::copy(&mut blob, &mut self.out).map_err(|e| blob.explain(e, layer.blob.path()))?;
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

/// Reads the image called `name` (any, if there is no name) for `platform` from a tar of an OCI layout.
///
/// The layers are not copied: they are read from the archive, which must stay where it is.
pub fn read_oci(
    file: &HostPath,
    name: Option<&str>,
    platform: Option<&Platform>,
) -> Result<Image, ImageError> {
    let path = file.as_path();
    let parts = parts(path)?;
    let read = |what: &'static str, descriptor: &Descriptor| {
        check_size(what, descriptor)?;
        let source = locate(file, &parts, descriptor)?;
        Verified::new(source.open(descriptor)?, descriptor).read_all(path)
    };
    let not_a_layout = |reason: String| ImageError::NotALayout { place: path.to_path_buf(), reason };
    let document = |name: &'static str| {
        let (offset, size) =
            parts.get(Path::new(name)).ok_or_else(|| not_a_layout(format!("it has no file `{name}`")))?;
        let mut bytes = Vec::new();
        let descriptor = Descriptor::new("", *size, Digest::from_bytes([0; 32]));
        check_size(name, &descriptor)?;
        let mut part = BlobSource::Part { file: file.clone(), offset: *offset }.open(&descriptor)?;
        part.read_to_end(&mut bytes).map_err(FsError::on("read", path))?;
        Ok::<_, ImageError>(bytes)
    };
    layout::check_version(&document("oci-layout")?).map_err(not_a_layout)?;
    let index: Index =
        from_bytes("index", &format!("{}: index.json", path.display()), &document("index.json")?)?;
    layout::choose(path, &index, name, platform, &read, &|descriptor| locate(file, &parts, descriptor))
}

type Parts = BTreeMap<PathBuf, (u64, u64)>;

fn locate(file: &HostPath, parts: &Parts, descriptor: &Descriptor) -> Result<BlobSource, ImageError> {
    let missing = || ImageError::Missing { digest: descriptor.digest, dir: file.as_path().to_path_buf() };
    let (offset, size) = parts.get(Path::new(&blob_name(&descriptor.digest))).ok_or_else(missing)?;
    if *size != descriptor.size {
        let how = format!("it has {size} of its {} bytes", descriptor.size);
        return Err(ImageError::Damaged { digest: descriptor.digest, how });
    }
    Ok(BlobSource::Part { file: file.clone(), offset: *offset })
}

/// Lists the files of a tar with their place and size.
fn parts(path: &Path) -> Result<Parts, ImageError> {
    let on_error = |e: io::Error| ImageError::from(FsError::on("read", path)(e));
    let mut archive = tar::Archive::new(File::open(path).map_err(on_error)?);
    let mut parts = Parts::new();
    for entry in archive.entries_with_seek().map_err(on_error)? {
        let entry = entry.map_err(on_error)?;
        if entry.header().entry_type().is_file() {
            let name = entry.path().map_err(on_error)?;
            let name = name.strip_prefix(".").unwrap_or(&name).to_path_buf();
            parts.insert(name, (entry.raw_file_position(), entry.size()));
        }
    }
    Ok(parts)
}
