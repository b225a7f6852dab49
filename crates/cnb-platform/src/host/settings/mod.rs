//! The user's settings that a build needs behind a proxy or a mirror: addresses and certificates, no secrets.
//!
//! Everything is taken by name from a fixed list; what is not on the list stays outside. User names,
//! passwords and tokens in addresses are cut, and [`Settings::left_out`] says where, so that the user can
//! bind them as a secret. One file per ecosystem.

mod address;
mod cargo;
pub(crate) mod certificates;
mod go;
mod maven;
mod npm;
mod pip;
mod proxy;
mod xml;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use cnb_fs::{GuestPath, HostPath};

/// Where the settings are looked for.
#[derive(Clone, Copy, Debug)]
pub struct SettingsConfig<'a> {
    /// The user's environment.
    pub env: &'a BTreeMap<OsString, OsString>,
    /// The user's home directory.
    pub home: &'a HostPath,
    /// The root of the system-wide files: `/`, except in tests.
    pub root: &'a Path,
}

/// What goes into the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Files, sorted by path.
    pub files: Vec<GuestFile>,
    /// What was left out of the settings, for one note to the user.
    pub left_out: Vec<LeftOut>,
}

/// A small file of the build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestFile {
    /// Its path.
    pub guest: GuestPath,
    /// What is in it.
    pub contents: Vec<u8>,
}

/// Something of the settings that does not go into the build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// The address goes in without the login that stood in it.
    #[error("the login in `{setting}` stays out of the build; bind it as a secret if the build needs it")]
    Login {
        /// The variable, or the file and key.
        setting: String,
    },
    /// The file cannot be read or understood.
    #[error("`{}` stays out of the build: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Collects the settings. Nothing here can fail: what cannot be used is left out and named.
pub fn collect(config: &SettingsConfig<'_>) -> Settings {
    let mut found = Collector { config, settings: Settings::default() };
    proxy::collect(&mut found);
    let npm_bundle = npm::collect(&mut found);
    certificates::collect(&mut found, npm_bundle);
    pip::collect(&mut found);
    go::collect(&mut found);
    cargo::collect(&mut found);
    maven::collect(&mut found);
    let mut settings = found.settings;
    settings.files.sort();
    settings.left_out.dedup();
    settings
}

/// The settings as they grow, and where they come from.
struct Collector<'a> {
    config: &'a SettingsConfig<'a>,
    settings: Settings,
}

impl Collector<'_> {
    /// Returns a variable of the user; an empty one counts as not there.
    fn var(&self, name: &str) -> Option<&str> {
        self.config.env.get(OsStr::new(name))?.to_str().filter(|v| !v.is_empty())
    }

    /// Returns a file of the user's home.
    fn home(&self, path: &str) -> PathBuf {
        self.config.home.join(path).as_path().to_path_buf()
    }

    /// Returns the user's configuration directory.
    fn config_dir(&self) -> PathBuf {
        match self.var("XDG_CONFIG_HOME") {
            Some(dir) if Path::new(dir).is_absolute() => PathBuf::from(dir),
            _ => self.home(".config"),
        }
    }

    /// Returns a system-wide file.
    fn system(&self, path: &str) -> PathBuf {
        self.config.root.join(path.trim_start_matches('/'))
    }

    /// Reads a text file; a missing one is `None`, an unreadable one is left out by name.
    fn read(&mut self, path: &Path) -> Option<String> {
        // More than any person writes; a device given as a file must not fill the memory.
        const LIMIT: u64 = 16 << 20;
        let reason = match fs_err::metadata(path) {
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                return None;
            }
            Err(e) => e.to_string(),
            Ok(m) if !m.is_file() => return None,
            Ok(m) if m.len() > LIMIT => "it is too large".to_owned(),
            Ok(_) => match fs_err::read(path).map(String::from_utf8) {
                Ok(Ok(text)) => {
                    return Some(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned));
                }
                Ok(Err(_)) => "it is not UTF-8".to_owned(),
                Err(e) => e.to_string(),
            },
        };
        self.leave_out(path, reason);
        None
    }

    fn leave_out(&mut self, file: &Path, reason: String) {
        self.settings.left_out.push(LeftOut::File { file: file.to_path_buf(), reason });
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.env.insert(name.to_owned(), value.into());
    }

    fn file(&mut self, guest: &str, contents: impl Into<Vec<u8>>) {
        self.settings.files.push(GuestFile { guest: GuestPath::new(guest), contents: contents.into() });
    }

    /// Returns an address without login; says so when there was one.
    fn address(&mut self, setting: &str, url: &str) -> String {
        let clean = address::without_login(url);
        if clean != url {
            let left = LeftOut::Login { setting: setting.to_owned() };
            if !self.settings.left_out.contains(&left) {
                self.settings.left_out.push(left);
            }
        }
        clean
    }

    /// Passes a variable that holds one address.
    fn pass_address(&mut self, name: &str) {
        if let Some(value) = self.var(name).map(str::to_owned) {
            let value = self.address(name, &value);
            self.set(name, value);
        }
    }

    /// Passes a variable that holds no address.
    fn pass(&mut self, name: &str) {
        if let Some(value) = self.var(name).map(str::to_owned) {
            self.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
