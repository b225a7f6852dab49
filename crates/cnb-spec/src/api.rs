//! API versions, and the questions that other code asks of them.
//!
//! No other module compares version numbers: each behaviour that came with a version has a name here
//! (requirements I-1 to I-3, I11).

use std::fmt;
use std::str::FromStr;

/// Why a version was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The text is no version.
    #[error("could not parse `{0}` as version")]
    Unreadable(String),
    /// A version that this implementation does not speak.
    #[error("version '{0}' is incompatible with the lifecycle")]
    Unsupported(String),
}

/// `major.minor` as the specifications write it; a missing minor is 0 (requirements A77, I2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::Unreadable(text.to_owned());
        let number = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                None
            } else {
                digits.parse().ok()
            }
        };
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (major, minor) = bare.split_once('.').unwrap_or((bare, ""));
        let major = number(major).ok_or_else(bad)?;
        let minor = if minor.is_empty() { 0 } else { number(minor).ok_or_else(bad)? };
        Ok(Self { major, minor })
    }

    const fn zero(minor: u32) -> Self {
        Self { major: 0, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A supported Platform API, 0.7 to 0.15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformApi(Version);

impl PlatformApi {
    /// The newest version, which `cnb build` speaks.
    pub const LATEST: Self = Self(Version::zero(15));
    /// The oldest and the newest supported minor of major 0.
    pub const MINORS: (u32, u32) = (7, 15);
    /// The oldest supported version.
    pub const OLDEST: Self = Self(Version::zero(Self::MINORS.0));

    /// Returns every supported version, oldest first (requirement I1).
    pub fn supported() -> impl Iterator<Item = Self> {
        (Self::MINORS.0..=Self::MINORS.1).map(|minor| Self(Version::zero(minor)))
    }

    const fn since(self, minor: u32) -> bool {
        self.0.minor >= minor
    }

    /// Returns whether SBOM files are collected, exported and restored (0.8).
    pub const fn has_sbom(self) -> bool {
        self.since(8)
    }

    /// Returns whether bills of materials moved from `metadata.toml` to `sbom.legacy.json` (0.9).
    pub const fn has_legacy_sbom_file(self) -> bool {
        self.since(9)
    }

    /// Returns whether `SOURCE_DATE_EPOCH` is honoured (0.9).
    pub const fn honours_source_date_epoch(self) -> bool {
        self.since(9)
    }

    /// Returns whether `command` of a process is a list (0.10).
    pub const fn has_command_list(self) -> bool {
        self.since(10)
    }

    /// Returns whether user arguments replace a process's own for new buildpacks (0.10).
    pub const fn replaces_default_args(self) -> bool {
        self.since(10)
    }

    /// Returns whether image extensions exist at all (0.10).
    pub const fn has_extensions(self) -> bool {
        self.since(10)
    }

    /// Returns whether a skipped restore still brings `store.toml` back (0.10).
    pub const fn restores_store_when_skipping(self) -> bool {
        self.since(10)
    }

    /// Returns whether `<build-config>` exists (0.11).
    pub const fn has_build_config(self) -> bool {
        self.since(11)
    }

    /// Returns whether the SBOM of lifecycle and launcher are exported (0.11).
    pub const fn has_launcher_sbom(self) -> bool {
        self.since(11)
    }

    /// Returns whether `run.toml` replaced `stack.toml` (0.12).
    pub const fn has_run_toml(self) -> bool {
        self.since(12)
    }

    /// Returns whether targets are recorded and matched (0.12).
    pub const fn has_targets(self) -> bool {
        self.since(12)
    }

    /// Returns whether history entries say what made a layer (0.12).
    pub const fn keeps_history(self) -> bool {
        self.since(12)
    }

    /// Returns whether OCI layouts may be read and written (0.12, experimental).
    pub const fn has_layout(self) -> bool {
        self.since(12)
    }

    /// Returns whether run images may be extended (0.12).
    pub const fn extends_run_images(self) -> bool {
        self.since(12)
    }

    /// Returns whether image extensions need no experimental mode (0.13).
    pub const fn extensions_are_stable(self) -> bool {
        self.since(13)
    }

    /// Returns whether generated files lie in a folder per extension, with contexts (0.13).
    pub const fn has_extension_contexts(self) -> bool {
        self.since(13)
    }

    /// Returns whether a cache image that is replaced is deleted (before 0.13).
    pub const fn deletes_old_cache_image(self) -> bool {
        !self.since(13)
    }

    /// Returns whether insecure registries can be named (0.13).
    pub const fn has_insecure_registries(self) -> bool {
        self.since(13)
    }

    /// Returns whether the restorer checks the run image and uses cache metadata for launch layers (0.14).
    pub const fn restores_launch_metadata_from_cache(self) -> bool {
        self.since(14)
    }

    /// Returns whether detection and launch honour `CNB_EXEC_ENV` (0.15).
    pub const fn honours_exec_env(self) -> bool {
        self.since(15)
    }

    /// Returns whether `system.toml` exists (0.15).
    pub const fn has_system_buildpacks(self) -> bool {
        self.since(15)
    }
}

impl FromStr for PlatformApi {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let version = Version::parse(text)?;
        if version.major == 0 && (Self::MINORS.0..=Self::MINORS.1).contains(&version.minor) {
            Ok(Self(version))
        } else {
            Err(ApiError::Unsupported(version.to_string()))
        }
    }
}

impl fmt::Display for PlatformApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A supported Buildpack API, 0.7 to 0.12; extensions use the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildpackApi(Version);

impl BuildpackApi {
    /// The newest version, which the bundled buildpacks speak.
    pub const LATEST: Self = Self(Version::zero(12));
    /// The oldest and the newest supported minor of major 0.
    pub const MINORS: (u32, u32) = (7, 12);
    /// The oldest supported version.
    pub const OLDEST: Self = Self(Version::zero(Self::MINORS.0));

    /// Returns every supported version, oldest first (requirement I1).
    pub fn supported() -> impl Iterator<Item = Self> {
        (Self::MINORS.0..=Self::MINORS.1).map(|minor| Self(Version::zero(minor)))
    }

    const fn since(self, minor: u32) -> bool {
        self.0.minor >= minor
    }

    /// Returns whether paths are passed in `CNB_*` variables (0.8).
    pub const fn has_path_variables(self) -> bool {
        self.since(8)
    }

    /// Returns whether a process may have a `working-dir` (0.8).
    pub const fn has_working_dir(self) -> bool {
        self.since(8)
    }

    /// Returns whether `command` is a list and every process is direct (0.9).
    pub const fn has_command_list(self) -> bool {
        self.since(9)
    }

    /// Returns whether user arguments replace a process's own (0.9).
    pub const fn replaces_default_args(self) -> bool {
        self.since(9)
    }

    /// Returns whether `CNB_TARGET_*` are passed and targets replaced stacks (0.10).
    pub const fn has_targets(self) -> bool {
        self.since(10)
    }

    /// Returns whether execution environments are known (0.12).
    pub const fn has_exec_env(self) -> bool {
        self.since(12)
    }
}

impl FromStr for BuildpackApi {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let version = Version::parse(text)?;
        if version.major == 0 && (Self::MINORS.0..=Self::MINORS.1).contains(&version.minor) {
            Ok(Self(version))
        } else {
            Err(ApiError::Unsupported(version.to_string()))
        }
    }
}

impl fmt::Display for BuildpackApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, ApiError>) {
        assert_eq!(text.parse::<PlatformApi>().map(|v| v.to_string()), expected.map(str::to_owned));
    }

    #[test]
    fn versions_are_read_as_the_go_program_reads_them() {
        check("0.12", Ok("0.12"));
        check("v0.7", Ok("0.7"));
        check("0.07", Ok("0.7"));
        check("1", Err(ApiError::Unsupported("1.0".into())));
        check("0.", Err(ApiError::Unsupported("0.0".into())));
        for bad in ["", "v", "0.x", "0.1.2", "-1", "0.-1", "٠.٧", "99999999999"] {
            check(bad, Err(ApiError::Unreadable(bad.into())));
        }
    }

    #[test]
    fn every_listed_version_is_accepted() {
        let platform: Vec<_> = PlatformApi::supported().collect();
        assert_eq!((platform[0], platform[platform.len() - 1]), (PlatformApi::OLDEST, PlatformApi::LATEST));
        assert!(platform.iter().all(|api| api.to_string().parse() == Ok(*api)));
        let buildpack: Vec<_> = BuildpackApi::supported().collect();
        assert_eq!(
            (buildpack[0], buildpack[buildpack.len() - 1]),
            (BuildpackApi::OLDEST, BuildpackApi::LATEST)
        );
        assert!(buildpack.iter().all(|api| api.to_string().parse() == Ok(*api)));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let api = |t: &str| t.parse::<PlatformApi>().unwrap();
        assert!(api("0.10") > api("0.9"));
        assert!(api("0.9").has_legacy_sbom_file() && !api("0.9").has_command_list());
        assert!("0.6".parse::<BuildpackApi>().is_err() && "0.13".parse::<BuildpackApi>().is_err());
    }
}
