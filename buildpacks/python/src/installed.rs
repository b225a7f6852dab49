//! What is installed in an environment, as its packages say themselves: their `METADATA`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};
use cnb_buildpack::{Failure, tree};

use crate::project::normal;

/// Lists the packages of an environment, and removes from them what only the machine that installed them knows.
pub(crate) fn sbom(venv: &Path) -> Result<Sbom, Failure> {
    let mut found = Vec::new();
    for info in infos(venv)? {
        // uv notes here when it built a folder of the app.
        tree::remove(&info.join("uv_cache.json"))?;
        let text = fs_err::read(info.join("METADATA")).unwrap_or_default();
        found.extend(component(&String::from_utf8_lossy(&text)));
    }
    Ok(found.into_iter().collect())
}

/// The names of what is installed, as registries compare them.
pub(crate) fn names(venv: &Path) -> Result<BTreeSet<String>, Failure> {
    let name = |info: PathBuf| {
        let file = info.file_name()?.to_string_lossy().into_owned();
        Some(normal(file.strip_suffix(".dist-info")?.rsplit_once('-')?.0))
    };
    Ok(infos(venv)?.into_iter().filter_map(name).collect())
}

/// Whether a package imports `pkg_resources`, which none of them brings.
pub(crate) fn uses_pkg_resources(venv: &Path) -> Result<bool, Failure> {
    let mut todo: Vec<PathBuf> =
        infos(venv)?.first().and_then(|i| Some(i.parent()?.to_owned())).into_iter().collect();
    if todo.first().is_none_or(|packages| packages.join("pkg_resources").exists()) {
        return Ok(false);
    }
    while let Some(dir) = todo.pop() {
        for entry in fs_err::read_dir(dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "py") {
                let text = fs_err::read(&path).unwrap_or_default();
                // What stands at the start of a line is needed; what is indented is tried.
                if String::from_utf8_lossy(&text).lines().any(|l| IMPORTS.iter().any(|i| l.starts_with(i))) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// How a module imports it.
const IMPORTS: [&str; 2] = ["import pkg_resources", "from pkg_resources import"];

fn infos(venv: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let lib = venv.join("lib");
    if !lib.is_dir() {
        return Ok(found);
    }
    for python in fs_err::read_dir(lib)? {
        let packages = python?.path().join("site-packages");
        if !packages.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(packages)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "dist-info") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the headers of a `METADATA` file.
fn component(text: &str) -> Option<Component> {
    let headers = text.split("\n\n").next().unwrap_or_default();
    let header = |name: &str| {
        headers
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .filter(|v| !v.is_empty())
    };
    let (name, version) = (header("Name")?, header("Version")?);
    let license = header("License-Expression").or_else(|| header("License")).filter(|l| l.len() < 60);
    let classified = || {
        let mut all =
            headers.lines().filter_map(|l| l.strip_prefix("Classifier: License :: OSI Approved :: "));
        let first = all.next()?;
        if all.next().is_some() {
            None
        } else {
            CLASSIFIERS.iter().find(|(c, _)| *c == first).map(|(_, id)| *id)
        }
    };
    let purl = format!("pkg:pypi/{}@{}", purl_segment(&normal(name)), purl_segment(version));
    let plain = Component::new(Kind::Library, name, version, purl);
    let said = plain.clone().license(license);
    Some(if said.licenses.is_empty() { plain.license(classified()) } else { said })
}

/// Classifiers that stand for one licence, and its SPDX identifier.
const CLASSIFIERS: &[(&str, &str)] = &[
    ("MIT License", "MIT"),
    ("ISC License (ISCL)", "ISC"),
    ("Apache Software License", "Apache-2.0"),
    ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
    ("The Unlicense (Unlicense)", "Unlicense"),
    ("Python Software Foundation License", "PSF-2.0"),
];

#[cfg(test)]
mod tests {
    use super::component;

    #[test]
    fn metadata_becomes_a_component() {
        let license = |headers: &str| {
            let text = format!(
                "Metadata-Version: 2.1\nName: My_Pkg\nVersion: 1.0\n{headers}\n\nLicense: no header\n"
            );
            let found = component(&text).unwrap();
            assert_eq!(found.purl, "pkg:pypi/my-pkg@1.0");
            found.licenses.first().map(|l| l.expression.clone())
        };
        assert_eq!(license("License-Expression: MIT OR Apache-2.0").as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(license("License: BSD-3-Clause").as_deref(), Some("BSD-3-Clause"));
        assert_eq!(
            license("License: see the file, please\nClassifier: License :: OSI Approved :: MIT License")
                .as_deref(),
            Some("MIT")
        );
        assert_eq!(license(""), None);
        assert_eq!(component("Version: 1"), None);
    }
}
