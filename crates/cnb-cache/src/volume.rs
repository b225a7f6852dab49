//! The cache directory of the Go lifecycle: `committed/sha256:<hex>.tar` and one metadata file.
//!
//! What a build adds lies in `staging/` until [`Volume::commit`] makes that the new `committed/` by renames;
//! a build that fails leaves the old one as it was. Directories of either lifecycle can be read by the other
//! (requirements A70, A71, B54, B79).

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use cnb_fs::{FsError, HostPath, atomic};
use cnb_image::{LayerError, LayerSource, write_tar};
use cnb_spec::digest::DiffId;
use cnb_spec::platform::cache_metadata::{CACHE_METADATA, CacheMetadata};
use sha2::{Digest as _, Sha256};

/// The most bytes of a metadata file: 64 MiB, far above what any group of buildpacks writes.
const METADATA_LIMIT: u64 = 64 << 20;

/// A cache directory, in the making and as it was.
#[derive(Debug)]
pub struct Volume {
    dir: HostPath,
}

/// Why a cache directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The directory is not there, or cannot be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A part of it could not be prepared or replaced.
    #[error("{what} '{}'", path.display())]
    Prepare {
        /// What was being done: "initializing staging directory".
        what: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: FsError,
    },
    /// A layer could not be made.
    #[error("creating layer '{id}'")]
    Layer {
        /// The layer.
        id: String,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// The metadata cannot be written.
    #[error("marshalling metadata")]
    Metadata(#[source] serde_json::Error),
}

/// Why a layer of the cache cannot be used; the build goes on without it (B54).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Its tar is not there.
    #[error("failed to find cache layer with SHA '{0}'")]
    Missing(String),
    /// Its tar cannot be read: permissions, a bad disk (J16).
    #[error("failed to read cache layer with SHA '{0}': {1}")]
    Unreadable(String, String),
    /// Its tar has other bytes.
    #[error("expected layer contents to have SHA '{expected}'; found '{found}'")]
    Damaged {
        /// What the metadata says.
        expected: String,
        /// What the bytes have.
        found: DiffId,
    },
}

impl Volume {
    /// Opens the cache in `dir`, which must be there; what an interrupted build left is wiped.
    pub fn open(dir: &HostPath) -> Result<Self, VolumeError> {
        let path = dir.as_path();
        std::fs::metadata(path).map_err(FsError::on("look at", path))?;
        let volume = Self { dir: dir.clone() };
        let prepare = |what, path: PathBuf, result: Result<(), FsError>| {
            result.map_err(|source| VolumeError::Prepare { what, path, source })
        };
        let staging = volume.staging();
        let made = atomic::remove_tree(&staging).and_then(|()| make(&staging));
        prepare("initializing staging directory", staging, made)?;
        let (backup, committed) = (volume.backup(), volume.committed());
        if backup.exists() && !committed.exists() {
            // The last commit was interrupted between its two renames: the old cache is still the cache.
            let back = std::fs::rename(&backup, &committed).map_err(FsError::on("rename", &backup));
            prepare("rolling back cache", backup.clone(), back)?;
        }
        let removed = atomic::remove_tree(&backup);
        prepare("removing backup directory", backup, removed)?;
        let made = make(&committed);
        prepare("creating committed directory", committed, made)?;
        Ok(volume)
    }

    /// Returns what the cache holds; metadata that cannot be understood is as an empty cache.
    pub fn metadata(&self) -> Result<CacheMetadata, FsError> {
        let path = self.committed().join(CACHE_METADATA);
        match cnb_fs::toml_file::read_host_bytes(&path, METADATA_LIMIT) {
            Ok(bytes) => Ok(CacheMetadata::parse(&bytes)),
            Err(e) if e.is_not_found() => Ok(CacheMetadata::default()),
            Err(e) => Err(e),
        }
    }

    /// Returns where the tar of a layer is, if there is one.
    pub fn tar(&self, sha: &str) -> Option<HostPath> {
        let path = HostPath::absolute(tar_in(&self.committed(), sha)?);
        path.as_path().is_file().then_some(path)
    }

    /// Opens the tar of a layer, not verified.
    pub fn open_tar(&self, sha: &str) -> Result<File, Unusable> {
        let path = tar_in(&self.committed(), sha).ok_or_else(|| Unusable::Missing(sha.to_owned()))?;
        File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Unusable::Missing(sha.to_owned()),
            _ => Unusable::Unreadable(sha.to_owned(), e.to_string()),
        })
    }

    /// Reads the tar of a layer and compares its digest.
    pub fn verify(&self, sha: &str) -> Result<(), Unusable> {
        let mut tar = self.open_tar(sha)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match tar.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hash.update(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Unusable::Unreadable(sha.to_owned(), e.to_string())),
            }
        }
        let found = DiffId::from_bytes(hash.finalize().into());
        if found.to_string() == sha {
            Ok(())
        } else {
            Err(Unusable::Damaged { expected: sha.to_owned(), found })
        }
    }

    /// Makes the tar of `source`, the layer called `id`, and stages it; returns its digest.
    pub fn add(&self, id: &str, source: &LayerSource<'_>) -> Result<DiffId, VolumeError> {
        let staging = self.staging();
        let temporary = Temporary(atomic::beside(&staging.join("layer")));
        let mut file = File::create_new(&temporary.0).map_err(FsError::on("create", &temporary.0))?;
        let (diff_id, _) = write_tar(source, &mut file, &temporary.0)
            .map_err(|source| VolumeError::Layer { id: id.to_owned(), source })?;
        drop(file);
        self.stage(&temporary, &diff_id.to_string())?;
        Ok(diff_id)
    }

    /// Stages the tar that `reader` gives, which the caller knows to be the layer `sha`.
    pub fn add_tar(&self, sha: &str, mut reader: impl Read) -> Result<(), VolumeError> {
        let temporary = Temporary(atomic::beside(&self.staging().join("layer")));
        let mut file = File::create_new(&temporary.0).map_err(FsError::on("create", &temporary.0))?;
        io::copy(&mut reader, &mut file).map_err(FsError::on("write", &temporary.0))?;
        self.stage(&temporary, sha)
    }

    /// Stages a layer that the cache holds already, as a second name for the same file.
    pub fn reuse(&self, sha: &str) -> Result<(), VolumeError> {
        let (from, to) = (tar_in(&self.committed(), sha), tar_in(&self.staging(), sha));
        let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
        match std::fs::hard_link(&from, &to) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                // Some volumes have no hard links.
                let tar = File::open(&from).map_err(FsError::on("read", &from))?;
                self.add_tar(sha, tar)
            }
            _ => Ok(()),
        }
    }

    /// Makes what is staged, with `metadata` if there is any, what the cache holds.
    ///
    /// # Errors
    /// The cache is as it was then.
    pub fn commit(self, metadata: Option<&CacheMetadata>) -> Result<(), VolumeError> {
        let (staging, committed, backup) = (self.staging(), self.committed(), self.backup());
        if let Some(metadata) = metadata {
            let text = metadata.to_json().map_err(VolumeError::Metadata)? + "\n";
            let path = staging.join(CACHE_METADATA);
            let mut file = File::create(&path).map_err(FsError::on("create", &path))?;
            io::Write::write_all(&mut file, text.as_bytes()).map_err(FsError::on("write", &path))?;
        }
        let rename = |what, from: &PathBuf, to: &PathBuf| {
            std::fs::rename(from, to).map_err(|e| VolumeError::Prepare {
                what,
                path: from.clone(),
                source: FsError::on("rename", from)(e),
            })
        };
        rename("backing up cache", &committed, &backup)?;
        if let Err(failed) = rename("committing cache", &staging, &committed) {
            rename("rolling back cache", &backup, &committed)?;
            return Err(failed);
        }
        // What is left of it is wiped when the cache is opened again.
        let _ = atomic::remove_tree(&backup);
        Ok(())
    }

    fn stage(&self, temporary: &Temporary, sha: &str) -> Result<(), VolumeError> {
        if let Some(path) = tar_in(&self.staging(), sha) {
            std::fs::rename(&temporary.0, &path).map_err(FsError::on("rename", &temporary.0))?;
        }
        Ok(())
    }

    fn committed(&self) -> PathBuf {
        self.dir.as_path().join("committed")
    }

    fn staging(&self) -> PathBuf {
        self.dir.as_path().join("staging")
    }

    fn backup(&self) -> PathBuf {
        self.dir.as_path().join("committed-backup")
    }
}

/// A file that is deleted unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename the name is gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns where the tar of `sha` lies in `dir`; `None` for a text that is no digest, which could lead elsewhere.
fn tar_in(dir: &std::path::Path, sha: &str) -> Option<PathBuf> {
    let diff_id: DiffId = sha.parse().ok()?;
    Some(dir.join(format!("{diff_id}.tar")))
}

fn make(dir: &std::path::Path) -> Result<(), FsError> {
    std::fs::create_dir_all(dir).map_err(FsError::on("create the directory", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnb_fs::Owner;
    use cnb_image::Entry;
    use fs_err as fs;

    fn cache() -> (tempfile::TempDir, HostPath) {
        let dir = tempfile::tempdir().unwrap();
        let path = HostPath::absolute(dir.path());
        (dir, path)
    }

    fn layer(name: &str) -> LayerSource<'static> {
        LayerSource::Entries(vec![Entry::dir(name, 0o755, Owner { uid: 0, gid: 0 })])
    }

    fn names(dir: &HostPath) -> Vec<String> {
        let entries = fs::read_dir(dir.join("committed").as_path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_committed_is_gone_and_what_is_replaces_all() {
        let (_guard, dir) = cache();
        let volume = Volume::open(&dir).unwrap();
        volume.add("a:x", &layer("/x")).unwrap();
        drop(volume);
        let volume = Volume::open(&dir).unwrap();
        assert_eq!(names(&dir), Vec::<String>::new());
        let x = volume.add("a:x", &layer("/x")).unwrap().to_string();
        volume.commit(Some(&CacheMetadata::default())).unwrap();
        assert_eq!(names(&dir), [CACHE_METADATA.to_owned(), format!("{x}.tar")]);

        let volume = Volume::open(&dir).unwrap();
        volume.verify(&x).unwrap();
        volume.reuse(&x).unwrap();
        let y = volume.add("a:y", &layer("/y")).unwrap().to_string();
        volume.commit(None).unwrap();
        let mut expected = [format!("{x}.tar"), format!("{y}.tar")];
        expected.sort();
        assert_eq!(names(&dir), expected);
        assert!(!dir.join("staging").as_path().exists() && !dir.join("committed-backup").as_path().exists());
    }

    #[test]
    fn a_commit_that_was_interrupted_between_its_renames_loses_nothing() {
        let (_guard, dir) = cache();
        let volume = Volume::open(&dir).unwrap();
        let x = volume.add("a:x", &layer("/x")).unwrap().to_string();
        volume.commit(None).unwrap();
        fs::rename(dir.join("committed").as_path(), dir.join("committed-backup").as_path()).unwrap();
        Volume::open(&dir).unwrap().verify(&x).unwrap();
    }

    #[test]
    fn damage_is_named() {
        let (_guard, dir) = cache();
        let volume = Volume::open(&dir).unwrap();
        let x = volume.add("a:x", &layer("/x")).unwrap().to_string();
        volume.commit(None).unwrap();
        let volume = Volume::open(&dir).unwrap();
        let tar = volume.tar(&x).unwrap();
        File::options().write(true).open(tar.as_path()).unwrap().set_len(512).unwrap();
        assert!(
            volume.verify(&x).unwrap_err().to_string().starts_with("expected layer contents to have SHA")
        );
        fs::remove_file(tar.as_path()).unwrap();
        assert_eq!(volume.verify(&x), Err(Unusable::Missing(x)));
        assert_eq!(volume.verify("sha256:../x"), Err(Unusable::Missing("sha256:../x".to_owned())));
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_it_once() {
        let (_guard, dir) = cache();
        let error = Volume::open(&dir.join("none")).unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let message = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert_eq!(message.matches("/none").count(), 1, "{message}");
    }
}
