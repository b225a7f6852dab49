//! Images as one file: `oci-archive` (a layout in a tar) and `docker-archive`.
//!
//! The Docker archive that is written is a hybrid: an OCI layout with Docker's `manifest.json` that points at
//! its blobs, so that Docker from 20.10 on, podman and containerd all load it. Those that are read may be plain:
//! what `docker save` and `skopeo copy` write. Layers are never copied: they are read from the archive, which
//! must stay where it is.

mod docker;
mod oci;
mod parts;
mod write;

use std::fs::File;
use std::path::Path;

use cnb_fs::{FsError, HostPath};
use cnb_spec::oci::Platform;

use crate::{Image, ImageError};

pub use docker::{DockerArchive, docker_names, read_docker};
pub use oci::{read_oci, read_oci_tree};
pub use write::{docker_name, write_docker, write_oci, write_oci_tree};

/// Reads the image called `name` (any, if there is no name) for `platform` from an archive of either kind.
///
/// A file that is both is read as an OCI layout, whose manifest is then the image's own.
///
/// # Errors
/// Also when the file is neither.
pub fn read(file: &HostPath, name: Option<&str>, platform: Option<&Platform>) -> Result<Image, ImageError> {
    let path = file.as_path();
    let opened = File::open(path).map_err(FsError::on("read", path))?;
    let parts = parts::Parts::scan(&opened, path)?;
    let has = |name: &str| parts.find(Path::new(name)).is_some();
    match (has("oci-layout"), has("manifest.json")) {
        (true, _) => read_oci(file, name, platform),
        (false, true) => read_docker(file, name),
        (false, false) => {
            let reason = "it has neither a file `oci-layout` nor a file `manifest.json`".to_owned();
            Err(ImageError::NotAnArchive { file: path.to_path_buf(), reason })
        }
    }
}
