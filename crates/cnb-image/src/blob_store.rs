//! A content-addressed store of blobs: `blobs/sha256/<hex>` below a folder, as an OCI layout has it.
//!
//! A blob appears under its digest whole or not at all, and its bytes leave only through a reader that has
//! checked hash and size. What the store remembers beside the blobs (`diffs/`, which uncompressed layer is
//! behind which blob) is a hint that can be lost: a blob that is gone makes it void.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use cnb_fs::{FsError, HostPath, atomic};
use cnb_spec::digest::{DiffId, Digest};
use cnb_spec::oci::Descriptor;
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::ImageError;

/// Returns the sha256 of `bytes`.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// A folder of blobs that builds share.
#[derive(Clone, Debug)]
pub struct BlobStore {
    dir: HostPath,
}

/// A blob in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

impl BlobStore {
    /// Opens the store in `dir`, which is made if it is missing.
    pub fn open(dir: &HostPath) -> Result<Self, ImageError> {
        let store = Self { dir: dir.clone() };
        let blobs = store.blobs();
        fs::create_dir_all(&blobs).map_err(FsError::on("create the directory", &blobs))?;
        Ok(store)
    }

    /// Returns the folder of the store.
    pub fn dir(&self) -> &HostPath {
        &self.dir
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.dir.as_path().join("blobs/sha256")
    }

    /// Returns where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> HostPath {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Returns the size of a blob on disk, `None` when it is not there.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest).as_path()).ok().filter(std::fs::Metadata::is_file).map(|m| m.len())
    }

    /// Returns whether the blob is there with the size that it should have.
    pub fn contains(&self, descriptor: &Descriptor) -> bool {
        self.size(&descriptor.digest) == Some(descriptor.size)
    }

    /// Starts a blob whose digest is not known yet.
    pub fn writer(&self) -> Result<BlobWriter, ImageError> {
        let temporary = atomic::beside(&self.blobs().join("blob"));
        let file = File::create_new(&temporary).map_err(FsError::on("create", &temporary))?;
        Ok(BlobWriter { store: self.clone(), file, temporary, hash: Sha256::new(), size: 0 })
    }

    /// Stores `bytes`.
    pub fn put(&self, bytes: &[u8]) -> Result<Blob, ImageError> {
        let blob = Blob { digest: digest_of(bytes), size: bytes.len() as u64 };
        if self.size(&blob.digest) != Some(blob.size) {
            let path = self.path(&blob.digest);
            atomic::write(path.as_path(), bytes)?;
        }
        Ok(blob)
    }

    /// Stores what `reader` gives, which must be the blob of `descriptor`; one that is there is not read.
    pub fn copy<R: Read>(
        &self,
        descriptor: &Descriptor,
        reader: impl FnOnce() -> Result<R, ImageError>,
    ) -> Result<(), ImageError> {
        if self.contains(descriptor) {
            return Ok(());
        }
        let mut reader = Verified::new(reader()?, descriptor);
        let mut writer = self.writer()?;
        io::copy(&mut reader, &mut writer).map_err(|e| reader.explain(e, &self.blobs()))?;
        writer.commit()?;
        Ok(())
    }

    /// Opens a blob; its end is only reported once hash and size are right.
    pub fn reader(&self, descriptor: &Descriptor) -> Result<Verified<File>, ImageError> {
        let path = self.path(&descriptor.digest);
        match File::open(path.as_path()) {
            Ok(file) => Ok(Verified::new(file, descriptor)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(ImageError::Missing { digest: descriptor.digest, dir: self.dir.as_path().to_path_buf() })
            }
            Err(e) => Err(FsError::on("read", path.as_path())(e).into()),
        }
    }

    /// Reads a document: a manifest, an index or a config.
    pub fn read(&self, what: &'static str, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        check_size(what, descriptor)?;
        self.reader(descriptor)?.read_all(self.dir.as_path())
    }

    /// Keeps in mind that `diff_id` is the uncompressed form of `blob`.
    pub fn remember(&self, diff_id: &DiffId, blob: Blob) -> Result<(), ImageError> {
        if self.known(diff_id) == Some(blob) {
            return Ok(());
        }
        let path = self.memory(diff_id);
        let dir = self.dir.as_path().join("diffs/sha256");
        fs::create_dir_all(&dir).map_err(FsError::on("create the directory", &dir))?;
        atomic::write(&path, format!("{} {}\n", blob.digest, blob.size).as_bytes())?;
        Ok(())
    }

    /// Returns the blob whose uncompressed form is `diff_id`, if there is one in the store.
    pub fn known(&self, diff_id: &DiffId) -> Option<Blob> {
        let text = fs::read(self.memory(diff_id)).ok()?;
        let (digest, size) = std::str::from_utf8(&text).ok()?.trim_end().split_once(' ')?;
        let blob = Blob { digest: digest.parse().ok()?, size: size.parse().ok()? };
        (self.size(&blob.digest) == Some(blob.size)).then_some(blob)
    }

    /// Drops what is remembered of blobs that are gone.
    pub(crate) fn forget_what_is_gone(&self) -> Result<(), ImageError> {
        let dir = self.dir.as_path().join("diffs/sha256");
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(FsError::on("list", &dir))?,
        };
        for entry in entries {
            let entry = entry.map_err(FsError::on("list", &dir))?;
            let diff_id = format!("sha256:{}", entry.file_name().to_string_lossy()).parse::<DiffId>();
            if !diff_id.is_ok_and(|diff_id| self.known(&diff_id).is_some()) {
                fs::remove_file(entry.path()).map_err(FsError::on("delete", &entry.path()))?;
            }
        }
        Ok(())
    }

    fn memory(&self, diff_id: &DiffId) -> PathBuf {
        self.dir.as_path().join("diffs/sha256").join(diff_id.hex())
    }
}

/// The most bytes that a manifest, an index or a config may have: 4 MiB, as registries allow for manifests.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;

pub(crate) fn check_size(what: &'static str, descriptor: &Descriptor) -> Result<(), ImageError> {
    if descriptor.size > DOCUMENT_LIMIT {
        let name = descriptor.digest.to_string();
        return Err(ImageError::TooLarge { what, name, size: descriptor.size, limit: DOCUMENT_LIMIT });
    }
    Ok(())
}

/// A blob that is being written; dropping it instead of [`commit`](Self::commit) discards it.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    file: File,
    temporary: PathBuf,
    hash: Sha256,
    size: u64,
}

impl BlobWriter {
    /// Publishes the bytes under their digest.
    pub fn commit(mut self) -> Result<Blob, ImageError> {
        let blob = Blob {
            digest: Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into()),
            size: self.size,
        };
        if self.store.size(&blob.digest) == Some(blob.size) {
            return Ok(blob);
        }
        let path = self.store.path(&blob.digest);
        self.file.sync_data().map_err(FsError::on("write", &self.temporary))?;
        fs::rename(&self.temporary, path.as_path()).map_err(FsError::on("write", path.as_path()))?;
        Ok(blob)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a commit the name is gone already.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A reader that reports its end only when size and digest are those of the descriptor.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    digest: Digest,
    /// `None` when nobody knows it beforehand.
    size: Option<u64>,
    read: u64,
    hash: Option<Sha256>,
    damage: Option<String>,
}

impl<R: Read> Verified<R> {
    /// Wraps `inner`, which should give the blob of `descriptor`.
    pub fn new(inner: R, descriptor: &Descriptor) -> Self {
        Self { size: Some(descriptor.size), ..Self::of_any_size(inner, descriptor.digest) }
    }

    /// Wraps `inner`, which should give the blob of `digest`, of whatever size.
    pub fn of_any_size(inner: R, digest: Digest) -> Self {
        Self { inner, digest, size: None, read: 0, hash: Some(Sha256::new()), damage: None }
    }

    /// Reads all of it; `place` is named if that fails.
    pub fn read_all(mut self, place: &std::path::Path) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(e) => Err(self.explain(e, place)),
        }
    }

    /// Turns an error of this reader into one that names the blob. A reader of an [`Origin`](crate::Origin)
    /// says itself what went wrong: by an [`ImageError`] in its [`io::Error`].
    pub fn explain(&mut self, error: io::Error, place: &std::path::Path) -> ImageError {
        match (self.damage.take(), error.downcast::<ImageError>()) {
            (Some(how), _) => ImageError::Damaged { digest: self.digest, how },
            (None, Ok(said)) => said,
            (None, Err(error)) => FsError::on("copy or read a blob in", place)(error).into(),
        }
    }

    fn damaged(&mut self, how: String) -> io::Error {
        let error = ImageError::Damaged { digest: self.digest, how: how.clone() };
        self.damage = Some(how);
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        if let Some(size) = self.size.filter(|size| self.read > *size) {
            return Err(self.damaged(format!("it has more than its {size} bytes")));
        }
        if count > 0 {
            if let Some(hash) = &mut self.hash {
                hash.update(&buffer[..count]);
            }
        } else if !buffer.is_empty()
            && let Some(hash) = self.hash.take()
        {
            if let Some(size) = self.size.filter(|size| self.read != *size) {
                let read = self.read;
                return Err(self.damaged(format!("it has {read} of its {size} bytes")));
            }
            let found = Digest::from_bytes(hash.finalize().into());
            if found != self.digest {
                return Err(self.damaged(format!("its bytes have the digest `{found}`")));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, BlobStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&HostPath::absolute(dir.path())).unwrap();
        (dir, store)
    }

    fn names(store: &BlobStore) -> Vec<String> {
        fs::read_dir(store.blobs()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_dropped_writer_leaves_nothing_and_a_committed_one_a_blob() {
        let (_dir, store) = store();
        let mut writer = store.writer().unwrap();
        writer.write_all(b"x").unwrap();
        drop(writer);
        assert_eq!(names(&store), Vec::<String>::new());
        let mut writer = store.writer().unwrap();
        writer.write_all(b"hello").unwrap();
        let blob = writer.commit().unwrap();
        assert_eq!((blob.digest, blob.size), (digest_of(b"hello"), 5));
        assert_eq!(names(&store), [blob.digest.hex()]);
        assert_eq!(store.put(b"hello").unwrap(), blob);
    }

    #[test]
    fn damage_is_noticed_before_the_end_and_names_the_blob() {
        let (_dir, store) = store();
        let blob = store.put(b"hello").unwrap();
        let descriptor = Descriptor::new("x", 5, blob.digest);
        assert_eq!(store.read("config", &descriptor).unwrap(), b"hello");
        for (bytes, how) in
            [("hallo", "its bytes have the digest"), ("hell", "4 of its 5"), ("hello!", "more than its 5")]
        {
            fs::write(store.path(&blob.digest).as_path(), bytes).unwrap();
            let error = store.read("config", &descriptor).unwrap_err().to_string();
            assert!(error.contains(&blob.digest.to_string()) && error.contains(how), "{error}");
        }
    }

    #[test]
    fn a_size_that_no_document_has_is_refused_before_anything_is_read() {
        let (_dir, store) = store();
        let error = store.read("manifest", &Descriptor::new("x", 5 << 20, digest_of(b""))).unwrap_err();
        assert!(error.to_string().contains("more than the 4194304 that are read"), "{error}");
    }

    #[test]
    fn what_is_behind_a_layer_is_remembered_until_the_blob_is_gone() {
        let (_dir, store) = store();
        let diff_id = DiffId::from_bytes([7; 32]);
        assert_eq!(store.known(&diff_id), None);
        let blob = store.put(b"packed").unwrap();
        store.remember(&diff_id, blob).unwrap();
        assert_eq!(store.known(&diff_id), Some(blob));
        fs::remove_file(store.path(&blob.digest).as_path()).unwrap();
        assert_eq!(store.known(&diff_id), None);
    }

    #[test]
    fn a_copy_of_other_bytes_is_not_kept() {
        let (_dir, store) = store();
        let descriptor = Descriptor::new("x", 5, digest_of(b"hello"));
        let error = store.copy(&descriptor, || Ok(Box::new(b"hallo".as_slice()))).unwrap_err();
        assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
        assert_eq!(names(&store), Vec::<String>::new());
        store.copy(&descriptor, || Ok(Box::new(b"hello".as_slice()))).unwrap();
        assert!(store.contains(&descriptor));
    }
}
