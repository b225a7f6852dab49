//! Buildpacks in files: packages (`.cnb`), which are images with a buildpack in each layer, and tarballs.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;

use cnb_fs::{FsError, HostPath, atomic};
use cnb_image::unpack::{self, Limits};
use cnb_image::{Image, archive};
use cnb_spec::buildpack::buildpack_toml::BuildpackDescriptor;
use cnb_spec::distribution::buildpackage::{self, BuildpackageMetadata};

use crate::modules::{Found, read_descriptor};
use crate::{Failure, FailureKind};

/// The most bytes that a packaged buildpack may have, unpacked: 4 GiB.
const LIMITS: Limits = Limits { bytes: 4 << 30, entries: 1_000_000 };

/// Unpacks a `.cnb` file or a tarball, compressed or not, and returns the buildpacks in it; of a package's, the one
/// that it is about is named.
pub(crate) fn unpack(path: &Path, scratch: &HostPath) -> Result<Vec<Found>, Failure> {
    fs::create_dir_all(scratch.as_path())
        .map_err(|e| bad(path).because(FsError::on("create", scratch.as_path())(e)))?;
    match archive::read_oci(&HostPath::absolute(path), None, None) {
        Ok(image) => package(&image, path, scratch),
        Err(_) => tarball(path, &scratch.join("tarball")).map(|found| vec![found]),
    }
}

fn bad(path: &Path) -> Failure {
    Failure::new(FailureKind::Request, format!("failed to unpack the buildpack `{}`", path.display()))
}

fn no_package(path: &Path, why: &str) -> Failure {
    Failure::new(FailureKind::Request, format!("`{}` is no buildpackage: {why}", path.display()))
}

fn package(image: &Image, path: &Path, scratch: &HostPath) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    let mut violations = Vec::new();
    for (number, layer) in image.layers().iter().enumerate() {
        let dir = scratch.join(format!("layer-{number}"));
        unpack::unpack(layer, &dir, LIMITS, None).map_err(|e| bad(path).because(e))?;
        let dirs = packaged(&dir).map_err(|e| bad(path).because(e))?;
        if dirs.is_empty() {
            violations.push(format!("layer {} of the package holds no buildpack", number + 1));
        }
        for dir in dirs {
            let module = read_descriptor(&dir)?;
            let place = format!("cnb/buildpacks/{}/{}", module.id.escaped(), module.version);
            if !dir.as_path().ends_with(&place) {
                return Err(no_package(path, &format!("`{}` does not lie at `/{place}`", module.id)));
            }
            found.push(module);
        }
    }
    let label = image.config().config.labels.get(buildpackage::LABEL);
    let about = label.and_then(|text| serde_json::from_str::<BuildpackageMetadata>(text).ok());
    let is_about = |module: &Found| {
        about.as_ref().is_some_and(|a| a.id == module.id.as_str() && a.version == module.version)
    };
    let named = found.iter().position(is_about).ok_or_else(|| {
        no_package(path, &format!("the label {} names none of the buildpacks in it", buildpackage::LABEL))
    })?;
    for (number, module) in found.iter_mut().enumerate() {
        module.named = number == named;
    }
    let all: Vec<BuildpackDescriptor> = found.iter().map(|module| module.descriptor.clone()).collect();
    violations.extend(about.iter().flat_map(|about| about.violations(&all)));
    found[named].violations.append(&mut violations);
    Ok(found)
}

fn tarball(path: &Path, dir: &HostPath) -> Result<Found, Failure> {
    untar(path, dir).map_err(|e| bad(path).because(e))?;
    if dir.join("oci-layout").as_path().exists() {
        return Err(no_package(path, "it is compressed, or holds no image")
            .hint("a `.cnb` file is a plain tar archive"));
    }
    // A tarball of a folder has the folder as its only entry.
    let mut top = dir.clone();
    if !top.join("buildpack.toml").as_path().exists() {
        let entries: Vec<_> = fs::read_dir(dir.as_path()).into_iter().flatten().flatten().collect();
        if let [only] = &entries[..] {
            top = HostPath::absolute(only.path());
        }
    }
    read_descriptor(&top)
}

/// The folders of all buildpacks in an unpacked layer of a package.
fn packaged(layer: &HostPath) -> Result<Vec<HostPath>, FsError> {
    let ids = subfolders(&layer.join("cnb/buildpacks"))?;
    let versions = ids.iter().map(subfolders).collect::<Result<Vec<_>, _>>()?;
    Ok(versions.concat())
}

fn subfolders(dir: &HostPath) -> Result<Vec<HostPath>, FsError> {
    let entries = match fs::read_dir(dir.as_path()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FsError::on("list", dir.as_path())(e)),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| HostPath::absolute(e.path()))
        .collect();
    found.sort();
    Ok(found)
}

fn untar(path: &Path, dir: &HostPath) -> Result<(), FsError> {
    let read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        let mut magic = [0u8; 2];
        let length = file.read(&mut magic)?;
        file.rewind()?;
        let gzip = length == 2 && magic == [0x1f, 0x8b];
        let reader: Box<dyn Read> =
            if gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
        // A bomb ends at the limit with an error of the archive, not with a full disk.
        let mut archive = tar::Archive::new(reader.take(LIMITS.bytes));
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(false);
        let temporary = atomic::beside(dir.as_path());
        fs::create_dir_all(&temporary)?;
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.into_owned();
            // `unpack_in` refuses names and links that lead out of the folder.
            if !entry.unpack_in(&temporary)? {
                return Err(std::io::Error::other(format!(
                    "the entry `{}` leads out of the archive",
                    name.display()
                )));
            }
        }
        crate::workdir::let_read(&temporary).map_err(std::io::Error::other)?;
        fs::rename(&temporary, dir.as_path())
    };
    read().map_err(FsError::on("unpack", path))
}
