//! Where this program keeps its things on the host.
//!
//! `CNB_HOME` holds everything when it is set; otherwise the XDG base directories do.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use cnb_fs::{FsError, HostPath};

/// The folders of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Images, caches, unpacked parts.
    pub data: HostPath,
    /// `config.toml`.
    pub config: HostPath,
}

/// Why there is no place for data.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither variable is set.
    #[error("no place for images and caches: neither CNB_HOME, XDG_DATA_HOME nor HOME is set")]
    Unknown,
    /// The folder cannot be made.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Home {
    /// Finds the folders from the environment `env`, without touching the disk.
    pub fn locate(env: &BTreeMap<OsString, OsString>) -> Result<Self, HomeError> {
        let absolute = |name: &str| env.get(OsStr::new(name)).map(PathBuf::from).filter(|p| p.is_absolute());
        if let Some(all) = absolute("CNB_HOME") {
            return Ok(Self { data: HostPath::absolute(&all), config: HostPath::absolute(&all) });
        }
        let below_home = |rest: &str| absolute("HOME").map(|h| h.join(rest));
        let data =
            absolute("XDG_DATA_HOME").or_else(|| below_home(".local/share")).ok_or(HomeError::Unknown)?;
        let config =
            absolute("XDG_CONFIG_HOME").or_else(|| below_home(".config")).ok_or(HomeError::Unknown)?;
        Ok(Self {
            data: HostPath::absolute(data.join("cnb")),
            config: HostPath::absolute(config.join("cnb")),
        })
    }

    /// The local image store.
    pub fn images(&self) -> HostPath {
        self.data.join("images")
    }

    /// What is kept between the builds of the images of one repository.
    pub fn build(&self, repository: &str) -> HostPath {
        self.data.join("builds").join(folder_name(repository))
    }

    /// The programs that this one carries, unpacked.
    pub fn parts(&self) -> HostPath {
        self.data.join("parts")
    }

    /// Layers of images, unpacked for running.
    pub fn unpacked(&self) -> HostPath {
        self.data.join("unpacked")
    }

    /// Which toolchains the host has.
    pub fn toolchains(&self) -> HostPath {
        self.data.join("toolchains.json")
    }

    /// Throw-away folders of running images.
    pub fn runs(&self) -> HostPath {
        self.data.join("runs")
    }
}

/// Returns `repository`, or a whole reference, as a single folder name; different ones have different names.
pub(crate) fn folder_name(repository: &str) -> String {
    // `%` cannot occur in a repository, so the escapes are unambiguous.
    repository.replace('/', "%2f").replace(':', "%3a").replace(['[', ']'], "%5b")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(env: &[(&str, &str)], expected: Option<(&str, &str)>) {
        let env = env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect();
        let found = Home::locate(&env).ok().map(|h| (h.data.to_string(), h.config.to_string()));
        assert_eq!(found, expected.map(|(d, c)| (d.to_owned(), c.to_owned())));
    }

    #[test]
    fn cnb_home_comes_first_then_xdg_then_home() {
        check(&[("CNB_HOME", "/c"), ("HOME", "/h")], Some(("/c", "/c")));
        check(&[("XDG_DATA_HOME", "/d"), ("XDG_CONFIG_HOME", "/k")], Some(("/d/cnb", "/k/cnb")));
        check(&[("HOME", "/h")], Some(("/h/.local/share/cnb", "/h/.config/cnb")));
        check(&[], None);
    }

    #[test]
    fn relative_paths_are_ignored_as_the_xdg_specification_says() {
        check(&[("XDG_DATA_HOME", "d"), ("HOME", "/h")], Some(("/h/.local/share/cnb", "/h/.config/cnb")));
    }

    #[test]
    fn a_repository_is_one_folder() {
        assert_eq!(folder_name("localhost:5000/a/b"), "localhost%3a5000%2fa%2fb");
    }
}
