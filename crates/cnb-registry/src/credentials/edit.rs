//! Changing configuration files that others wrote and will read: what we do not understand stays as it is.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, atomic};
use serde::Serialize as _;
use serde_json::{Map, Value};

use super::config_file::ConfigFile;
use super::error::CredentialsError;
use super::{json, key};

/// How many links are followed to the file itself; the kernel follows as many.
const MOST_LINKS: usize = 40;

impl ConfigFile {
    /// Returns the keys of `auths` that stand for `scope`, in whatever spelling.
    pub(super) fn keys(&self, scope: &str) -> Result<Vec<String>, CredentialsError> {
        let keys = self.section("auths")?.into_iter().flatten().map(|(key, _)| key);
        Ok(keys.filter(|key| key::scope(key) == scope).cloned().collect())
    }

    /// Returns the registries of all that the file knows something of, by entry or by helper; each once.
    pub(super) fn registries(&self) -> Result<Vec<String>, CredentialsError> {
        let keys = [self.section("auths")?, self.section("credHelpers")?].into_iter().flatten().flatten();
        let mut registries: Vec<String> =
            keys.map(|(key, _)| key::registry(&key::scope(key)).to_owned()).collect();
        registries.sort_unstable();
        registries.dedup();
        Ok(registries)
    }

    /// Makes `entry` all that `auths` has for a registry, under `key`.
    pub(super) fn put(&mut self, key: &str, entry: Map<String, Value>) -> Result<(), CredentialsError> {
        self.remove(&key::scope(key))?;
        let mut auths = self.section("auths")?.cloned().unwrap_or_default();
        auths.insert(key.to_owned(), Value::Object(entry));
        self.set_auths(auths);
        Ok(())
    }

    /// Takes all entries for `scope` out of `auths`; returns whether there was one.
    pub(super) fn remove(&mut self, scope: &str) -> Result<bool, CredentialsError> {
        let mut auths = self.section("auths")?.cloned().unwrap_or_default();
        let before = auths.len();
        auths.retain(|key, _| key::scope(key) != scope);
        let removed = auths.len() < before;
        if removed {
            self.set_auths(auths);
        }
        Ok(removed)
    }

    /// Takes everything out of `auths`; returns whether there was something.
    pub(super) fn clear(&mut self) -> Result<bool, CredentialsError> {
        let had = self.section("auths")?.is_some_and(|auths| !auths.is_empty());
        if had {
            self.set_auths(Map::new());
        }
        Ok(had)
    }

    fn set_auths(&mut self, auths: Map<String, Value>) {
        let name = json::key(&self.object, "auths").unwrap_or("auths").to_owned();
        self.object.insert(name, Value::Object(auths));
    }

    /// Writes the file, for its owner's eyes alone; one that is a link stays one.
    pub(super) fn save(&self, path: &Path) -> Result<(), CredentialsError> {
        let target = followed(path)?;
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(FsError::on("create", parent))?;
        }
        // With tabs, as docker and podman write it.
        let mut text = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, tabs);
        self.object.serialize(&mut serializer).map_err(FsError::on("write", path))?;
        text.push(b'\n');
        Ok(atomic::write_private(&target, &text)?)
    }
}

/// Returns the path at the end of the links that start at `path`, which need not exist.
fn followed(path: &Path) -> Result<PathBuf, FsError> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(FsError::on("follow", &path)(io::Error::from(rustix::io::Errno::LOOP)))
}
