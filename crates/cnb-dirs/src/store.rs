//! The directories of buildpacks and extensions: `<buildpacks>/<escaped id>/<version>/buildpack.toml`.
//!
//! Platform Interface Specification, "Buildpacks directory layout"; requirements C1, D1, C38, C39.

use std::fmt;

use cnb_fs::toml_file::{self, LIMIT, TomlFileError};
use cnb_fs::{FsError, GuestPath, Root};
use cnb_spec::api::{ApiError, BuildpackApi};
use cnb_spec::buildpack::buildpack_toml::{BuildpackDescriptor, BuildpackInfo, DescriptorApi, Stack};
use cnb_spec::buildpack::extension_toml::ExtensionDescriptor;
use cnb_spec::id::{ModuleId, ModuleKind};
use cnb_spec::platform::order_toml::OrderGroup;
use cnb_spec::target::{Distro, ModuleTarget};

/// The stack whose target is known although its buildpacks name none.
const BIONIC: &str = "io.buildpacks.stacks.bionic";

/// A buildpack or an extension as it lies in its directory.
#[derive(Clone, Debug)]
pub struct Module {
    /// What it is.
    pub kind: ModuleKind,
    /// The ID it was looked up by.
    pub id: ModuleId,
    /// The version it was looked up by.
    pub version: String,
    /// Its directory.
    pub dir: GuestPath,
    /// The Buildpack API as written.
    pub api: String,
    /// Its table `[buildpack]` or `[extension]`.
    pub info: BuildpackInfo,
    /// The groups of a composite buildpack; empty for a component.
    pub order: Vec<OrderGroup>,
    /// What it can build for, as written or inferred; anything when empty (requirements C38, C39).
    pub targets: Vec<ModuleTarget>,
}

impl Module {
    /// Returns the Buildpack API, or why it is not one that we speak.
    pub fn supported_api(&self) -> Result<BuildpackApi, UnsupportedApi> {
        check_api(self.kind, &self.id, &self.version, &self.api)
    }
}

impl fmt::Display for Module {
    /// `id@version`, as messages show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

/// A module speaks a Buildpack API that we do not (exit code 12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedApi {
    kind: ModuleKind,
    module: String,
    requested: String,
    reason: ApiError,
}

impl fmt::Display for UnsupportedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, module, requested, reason } = self;
        match reason {
            ApiError::Unreadable(_) => write!(f, "parse buildpack API '{requested}' for {kind} '{module}'"),
            ApiError::Unsupported(_) => {
                let kind = match kind {
                    ModuleKind::Buildpack => "Buildpack",
                    ModuleKind::Extension => "Extension",
                };
                write!(
                    f,
                    "set API for {kind} '{module}': buildpack API version '{requested}' is incompatible with the lifecycle"
                )
            }
        }
    }
}

impl std::error::Error for UnsupportedApi {}

/// Returns the Buildpack API that `api` names, or why it is not one that we speak (requirement I3).
pub fn check_api(
    kind: ModuleKind,
    id: &ModuleId,
    version: &str,
    api: &str,
) -> Result<BuildpackApi, UnsupportedApi> {
    api.parse().map_err(|reason| UnsupportedApi {
        kind,
        module: format!("{id}@{version}"),
        requested: api.to_owned(),
        reason,
    })
}

/// Why a module could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// Its descriptor is missing or not what it should be.
    #[error(transparent)]
    Descriptor(#[from] TomlFileError),
    /// Its directory could not be looked at.
    #[error(transparent)]
    Directory(#[from] FsError),
    /// Its descriptor is of an API that we do not speak, and cannot be read as one that we do.
    #[error(transparent)]
    Api(#[from] UnsupportedApi),
}

/// Looks up a module in its directory `<buildpacks>` or `<extensions>`.
///
/// The API is read before the rest: a descriptor of a newer API fails for that reason and no other. One that
/// can be read all the same is returned, since only some callers refuse it (requirement J12).
pub fn look_up(
    root: &Root,
    all: &GuestPath,
    kind: ModuleKind,
    id: &ModuleId,
    version: &str,
) -> Result<Module, LookUpError> {
    // As one relative path, so that a version that starts with `/` does not lead elsewhere.
    let dir = all.join(format!("{}/{version}", id.escaped()));
    let path = match kind {
        ModuleKind::Buildpack => dir.join("buildpack.toml"),
        ModuleKind::Extension => dir.join("extension.toml"),
    };
    let bytes = root.read(&path, LIMIT).map_err(TomlFileError::Fs)?;
    let api = toml_file::parse::<DescriptorApi>(path.as_guest(), &bytes)?.api;
    let supported = check_api(kind, id, version, &api);
    let or_api = |error: TomlFileError| match &supported {
        Err(unsupported) => LookUpError::Api(unsupported.clone()),
        Ok(_) => LookUpError::Descriptor(error),
    };
    let (info, order, mut targets, stacks) = match kind {
        ModuleKind::Buildpack => {
            let d: BuildpackDescriptor = toml_file::parse(path.as_guest(), &bytes).map_err(or_api)?;
            (d.buildpack, d.order, d.targets, d.stacks)
        }
        ModuleKind::Extension => {
            let d: ExtensionDescriptor = toml_file::parse(path.as_guest(), &bytes).map_err(or_api)?;
            (d.extension, Vec::new(), d.targets, Vec::new())
        }
    };
    if targets.is_empty() {
        let stacks_have_targets = supported.as_ref().is_ok_and(|api| api.has_targets());
        targets = targets_of_stacks(&stacks, stacks_have_targets);
    }
    if targets.is_empty() && order.is_empty() && has_executable(root, &dir, kind)? {
        targets.push(ModuleTarget { os: "linux".into(), ..ModuleTarget::default() });
    }
    Ok(Module { kind, id: id.clone(), version: version.to_owned(), dir, api, info, order, targets })
}

/// Returns the targets that stacks stand for; `always` when bionic counts even among others (requirement C38).
fn targets_of_stacks(stacks: &[Stack], always: bool) -> Vec<ModuleTarget> {
    let bionic = || ModuleTarget {
        os: "linux".into(),
        arch: "amd64".into(),
        distros: vec![Distro { name: "ubuntu".into(), version: "18.04".into() }],
        ..ModuleTarget::default()
    };
    let target = |stack: &Stack| match stack.id.as_str() {
        BIONIC if always || stacks.len() == 1 => Some(bionic()),
        "*" => Some(ModuleTarget::default()),
        _ => None,
    };
    stacks.iter().filter_map(target).collect()
}

fn has_executable(root: &Root, dir: &GuestPath, kind: ModuleKind) -> Result<bool, FsError> {
    let names: &[&str] = match kind {
        ModuleKind::Buildpack => &["bin/build"],
        ModuleKind::Extension => &["bin/detect", "bin/generate"],
    };
    for name in names {
        if root.symlink_metadata(&dir.join(name))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::test_world as world;

    fn look(root: &Root, text: &str, kind: ModuleKind) -> Result<Module, LookUpError> {
        let name = if kind == ModuleKind::Buildpack { "buildpack.toml" } else { "extension.toml" };
        root.write(&GuestPath::new("/bps/a_b/1.0").join(name), text.as_bytes(), 0o644).unwrap();
        look_up(root, &GuestPath::new("/bps"), kind, &"a/b".parse().unwrap(), "1.0")
    }

    #[track_caller]
    fn check_targets(
        text: &str,
        executable: Option<&str>,
        kind: ModuleKind,
        expected: &[(&str, &str, usize)],
    ) {
        let (_dir, root) = world();
        if let Some(name) = executable {
            root.write(&GuestPath::new("/bps/a_b/1.0/bin").join(name), b"", 0o755).unwrap();
        }
        let module = look(&root, text, kind).unwrap();
        let found: Vec<_> =
            module.targets.iter().map(|t| (t.os.as_str(), t.arch.as_str(), t.distros.len())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn targets_are_inferred_from_stacks_and_executables() {
        use ModuleKind::{Buildpack, Extension};
        let bionic = "[[stacks]]\nid = 'io.buildpacks.stacks.bionic'\n";
        let both = format!("{bionic}[[stacks]]\nid = 'other'\n");
        check_targets("api = '0.9'", None, Buildpack, &[]);
        check_targets("api = '0.9'", Some("build"), Buildpack, &[("linux", "", 0)]);
        check_targets("api = '0.9'", Some("detect"), Buildpack, &[]);
        check_targets("api = '0.9'", Some("detect"), Extension, &[("linux", "", 0)]);
        check_targets(&format!("api = '0.9'\n{bionic}"), Some("build"), Buildpack, &[("linux", "amd64", 1)]);
        check_targets(&format!("api = '0.9'\n{both}"), None, Buildpack, &[]);
        check_targets(&format!("api = '0.10'\n{both}"), None, Buildpack, &[("linux", "amd64", 1)]);
        check_targets("api = '0.9'\n[[stacks]]\nid = '*'", Some("build"), Buildpack, &[("", "", 0)]);
        check_targets("api = '0.9'\n[[targets]]\nos = 'x'", Some("build"), Buildpack, &[("x", "", 0)]);
    }

    #[test]
    fn a_newer_descriptor_fails_for_its_api_and_not_for_its_form() {
        let (_dir, root) = world();
        let newer = look(&root, "api = '0.99'\n[buildpack]\nid = { new = 'form' }", ModuleKind::Buildpack);
        assert_eq!(
            newer.unwrap_err().to_string(),
            "set API for Buildpack 'a/b@1.0': buildpack API version '0.99' is incompatible with the lifecycle"
        );
        let old = look(&root, "api = '0.9'\n[buildpack]\nid = 1", ModuleKind::Buildpack);
        assert!(matches!(old, Err(LookUpError::Descriptor(_))));
        let none = look(&root, "", ModuleKind::Buildpack).unwrap();
        assert_eq!(
            none.supported_api().unwrap_err().to_string(),
            "parse buildpack API '' for buildpack 'a/b@1.0'"
        );
    }

    #[test]
    fn a_version_cannot_lead_out_of_the_directory_of_buildpacks() {
        let (_dir, root) = world();
        root.write(&GuestPath::new("/other/buildpack.toml"), b"api = '0.9'", 0o644).unwrap();
        let found =
            look_up(&root, &GuestPath::new("/bps"), ModuleKind::Buildpack, &"a".parse().unwrap(), "/other");
        assert!(matches!(found, Err(LookUpError::Descriptor(e)) if e.is_not_found()));
    }
}
