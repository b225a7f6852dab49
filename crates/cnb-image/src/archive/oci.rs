//! Reads `oci-archive` files: an OCI layout in a tar.

use std::fs::File;
use std::path::Path;

use cnb_fs::{FsError, HostPath};
use cnb_spec::digest::Digest;
use cnb_spec::oci::{Descriptor, Index, Platform};

use super::parts::Parts;
use crate::ImageError;
use crate::blob_store::{Verified, check_size};
use crate::image::{BlobSource, Image, from_bytes};
use crate::layout;
use crate::tree::Tree;

/// An OCI archive that is open: its index, and where everything is.
struct OciArchive {
    file: HostPath,
    opened: File,
    parts: Parts,
}

impl OciArchive {
    fn open(file: &HostPath) -> Result<(Self, Index), ImageError> {
        let path = file.as_path();
        let opened = File::open(path).map_err(FsError::on("read", path))?;
        let parts = Parts::scan(&opened, path)?;
        let archive = Self { file: file.clone(), opened, parts };
        let not_a_layout = |reason| ImageError::NotALayout { place: path.to_path_buf(), reason };
        layout::check_version(&archive.document("oci-layout")?).map_err(not_a_layout)?;
        let index = archive.document("index.json")?;
        let index = from_bytes("index", &format!("{}: index.json", path.display()), &index)?;
        Ok((archive, index))
    }

    fn document(&self, name: &'static str) -> Result<Vec<u8>, ImageError> {
        let path = self.file.as_path();
        let part = self.parts.find(Path::new(name)).ok_or_else(|| ImageError::NotALayout {
            place: path.to_path_buf(),
            reason: format!("it has no file `{name}`"),
        })?;
        part.document(name, &self.opened, path)
    }

    fn read(&self, what: &'static str, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        check_size(what, descriptor)?;
        let source = locate(&self.file, &self.parts, descriptor)?;
        Verified::new(source.open(descriptor)?, descriptor).read_all(self.file.as_path())
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
    let (archive, index) = OciArchive::open(file)?;
    let locate = |descriptor: &Descriptor| locate(file, &archive.parts, descriptor);
    layout::choose(file.as_path(), &index, name, platform, &|what, d| archive.read(what, d), &locate)
}

/// Reads what is called `name` (the only entry, if there is no name) in a tar of an OCI layout, as it is.
pub fn read_oci_tree(file: &HostPath, name: Option<&str>) -> Result<Tree, ImageError> {
    let (archive, index) = OciArchive::open(file)?;
    let locate = |descriptor: &Descriptor| locate(file, &archive.parts, descriptor);
    let entry = layout::entry(file.as_path(), &index, name)?;
    Tree::read(entry, &|what, d| archive.read(what, d), &locate)
}

fn locate(file: &HostPath, parts: &Parts, descriptor: &Descriptor) -> Result<BlobSource, ImageError> {
    let missing = || ImageError::Missing { digest: descriptor.digest, dir: file.as_path().to_path_buf() };
    let part = parts.find(Path::new(&blob_name(&descriptor.digest))).ok_or_else(missing)?;
    if part.size != descriptor.size {
        let how = format!("it has {} of its {} bytes", part.size, descriptor.size);
        return Err(ImageError::Damaged { digest: descriptor.digest, how });
    }
    Ok(BlobSource::Part { file: file.clone(), offset: part.offset })
}

pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
