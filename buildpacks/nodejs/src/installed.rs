//! Which packages are installed, as their own manifests say: every manager leaves these, whatever its lock file is.

use std::path::Path;

use cnb_buildpack::Failure;
use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};

use crate::modules::DIR;
use crate::package::Package;

/// Lists the packages in folders of packages.
pub(crate) fn sbom<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Result<Sbom, Failure> {
    let mut found = Vec::new();
    for folder in folders {
        below(folder, &mut found)?;
    }
    Ok(found.into_iter().collect())
}

/// Where pnpm keeps the packages, each in a folder of packages of its own with links to those that it needs.
const OF_PNPM: &str = ".pnpm";

fn below(folder: &Path, found: &mut Vec<Component>) -> Result<(), Failure> {
    if folder.join(OF_PNPM).is_dir() {
        for entry in fs_err::read_dir(folder.join(OF_PNPM))? {
            let inner = entry?.path().join(DIR);
            if inner.is_dir() {
                below(&inner, found)?;
            }
        }
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // Links lead to the app's own packages.
        if !entry.file_type()?.is_dir() || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if name.as_encoded_bytes().starts_with(b"@") {
            below(&entry.path(), found)?;
            continue;
        }
        let Ok(package) = Package::read(&entry.path()) else { continue };
        if let (Some(name), Some(version)) = (package.text("name"), package.text("version")) {
            let purl = format!("pkg:npm/{}@{}", purl_segment(name), purl_segment(version));
            found.push(Component::new(Kind::Library, name, version, purl).license(package.text("license")));
        }
        let inner = entry.path().join(DIR);
        if inner.is_dir() {
            below(&inner, found)?;
        }
    }
    Ok(())
}

/// Returns the development dependency of the app that brings a command, by what is installed.
pub(crate) fn dev_provider(folder: &Path, package: &Package, command: &str) -> Option<String> {
    let brings = |name: &str| {
        let installed = Package::read(&folder.join(name)).ok()?;
        installed.commands(name).iter().any(|c| c == command).then(|| name.to_owned())
    };
    package.dev_dependencies().find_map(brings)
}
