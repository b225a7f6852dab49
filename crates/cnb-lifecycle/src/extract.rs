//! Unpacks the tar of a cached layer to where it came from (requirement B56).
//!
//! Not for layers of images that others made, which `cnb_image::unpack` is for: here names are absolute, and
//! there are neither whiteouts nor owners. Paths are resolved within the root, so no link leads out of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use cnb_fs::{FsError, GuestPath, Root};
use cnb_spec::fault;
use rustix::fs::{self as sys, FileType, Mode, OFlags};

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// An entry lies elsewhere than layers may.
    #[error("'{}' lies outside the layers directory", path.display())]
    Outside {
        /// The entry.
        path: PathBuf,
    },
    /// The archive is damaged.
    #[error("error extracting from archive")]
    Archive(#[source] io::Error),
    /// An entry is neither directory, file nor symbolic link.
    #[error("unknown file type in tar {kind} of '{}'", path.display())]
    Kind {
        /// The type flag of the tar.
        kind: u8,
        /// The entry.
        path: PathBuf,
    },
    /// A file, directory or link could not be made.
    #[error("failed to {what} \"{}\"", path.display())]
    Entry {
        /// What was to be done.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: FsError,
    },
}

/// Unpacks `tar` below `/` of `root`.
///
/// Owners and times are not restored; a directory that exists keeps its mode, a new one gets that of its
/// header once all is in it.
pub fn extract(root: &Root, tar: impl Read) -> Result<(), ExtractError> {
    unpack(root, tar, &|path| Ok(Some(path.clone())))
}

/// Unpacks a `tar` all of whose entries lie below `dir`, which is there; no link in it leads out of `dir`.
///
/// For archives whose makers may not write anywhere else.
pub fn extract_below(root: &Root, dir: &GuestPath, tar: impl Read) -> Result<(), ExtractError> {
    let inner = root.below(dir).map_err(|source| ExtractError::Entry {
        what: "open",
        path: dir.as_guest().to_path_buf(),
        source,
    })?;
    unpack(&inner, tar, &|path| match path.as_guest().strip_prefix(dir.as_guest()) {
        Ok(below) if !below.as_os_str().is_empty() => Ok(Some(GuestPath::new(Path::new("/").join(below)))),
        // The directory itself and those above it are there.
        _ if dir.as_guest().starts_with(path.as_guest()) => Ok(None),
        _ => Err(ExtractError::Outside { path: path.as_guest().to_path_buf() }),
    })
}

/// Unpacks `tar`; `place` says where an entry goes in `root`, if anywhere.
fn unpack(
    root: &Root,
    tar: impl Read,
    place: &dyn Fn(&GuestPath) -> Result<Option<GuestPath>, ExtractError>,
) -> Result<(), ExtractError> {
    let mut archive = tar::Archive::new(tar);
    let mut made: Vec<(GuestPath, u32)> = Vec::new();
    let mut known: BTreeSet<GuestPath> = BTreeSet::new();
    for entry in archive.entries().map_err(ExtractError::Archive)? {
        let mut entry = entry.map_err(ExtractError::Archive)?;
        let named = absolute(&entry.path().map_err(ExtractError::Archive)?);
        let Some(path) = place(&named)? else { continue };
        let bits = entry.header().mode().map_err(ExtractError::Archive)?;
        let bits = bits & if fault::is("restored-mode") { 0o755 } else { 0o7777 };
        let failed = |what: &'static str| {
            let path = named.as_guest().to_path_buf();
            move |source: FsError| ExtractError::Entry { what, path, source }
        };
        let kind = entry.header().entry_type();
        match kind {
            tar::EntryType::Directory => {
                if !root.exists(&path).map_err(failed("create directory"))? {
                    root.create_dir_all(&path).map_err(failed("create directory"))?;
                    made.push((path.clone(), bits));
                }
                known.insert(path);
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                parent(root, &path, &mut known).map_err(failed("create parent dir for file"))?;
                write(root, &path, bits, &mut entry).map_err(failed("write file"))?;
            }
            tar::EntryType::Symlink => {
                parent(root, &path, &mut known).map_err(failed("create parent dir for symlink"))?;
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                link(root, &path, &target).map_err(failed("create symlink"))?;
            }
            tar::EntryType::XGlobalHeader => {}
            other => {
                return Err(ExtractError::Kind {
                    kind: other.as_byte(),
                    path: named.as_guest().to_path_buf(),
                });
            }
        }
    }
    for (path, mode) in made {
        root.set_mode(&path, mode).map_err(|source| ExtractError::Entry {
            what: "set the mode of",
            path: path.as_guest().to_path_buf(),
            source,
        })?;
    }
    Ok(())
}

/// Joins a name to `/` by its text, as Go's `filepath.Join` does.
fn absolute(name: &Path) -> GuestPath {
    let mut path = PathBuf::from("/");
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::ParentDir => {
                path.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    GuestPath::new(path)
}

fn parent(root: &Root, path: &GuestPath, known: &mut BTreeSet<GuestPath>) -> Result<(), FsError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if !known.contains(&parent) {
        root.create_dir_all(&parent)?;
        known.insert(parent);
    }
    Ok(())
}

/// Writes a file; one that is there keeps its mode.
fn write(root: &Root, path: &GuestPath, mode: u32, content: &mut dyn Read) -> Result<(), FsError> {
    let on_error = |e: io::Error| FsError::on("write", path.as_guest())(e);
    let is_new = root.symlink_metadata(path)?.is_none();
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = root.create(path, flags, 0o600)?;
    if is_new {
        // Before the content: the kernel takes set-id bits away from what an ordinary user writes to.
        sys::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|e| on_error(e.into()))?;
    } else if FileType::from_raw_mode(sys::fstat(&file).map_err(|e| on_error(e.into()))?.st_mode)
        != FileType::RegularFile
    {
        return Err(on_error(io::Error::other("not a regular file")));
    }
    let mut file = File::from(file);
    io::copy(content, &mut file).map_err(on_error)?;
    Ok(())
}

fn link(root: &Root, path: &GuestPath, target: &[u8]) -> Result<(), FsError> {
    root.symlink(OsStr::from_bytes(target), path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let handle = sys::open(dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, Root::new(handle, None))
    }

    fn entry(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, mode: u32, link: &str) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(if kind.is_file() { 2 } else { 0 });
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        // `Header::set_path` refuses absolute names, which layers have.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let content: &[u8] = if kind.is_file() { b"hi" } else { b"" };
        tar.append(&header, content).unwrap();
    }

    #[test]
    fn files_come_back_with_their_modes_and_directories_last() {
        let (dir, root) = root();
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, tar::EntryType::Directory, "/layers/ro", 0o555, "");
        entry(&mut tar, tar::EntryType::Regular, "/layers/ro/file", 0o640, "");
        entry(&mut tar, tar::EntryType::Symlink, "/layers/ro/link", 0o777, "file");
        entry(&mut tar, tar::EntryType::Regular, "../up/../x", 0o600, "");
        extract(&root, &tar.into_inner().unwrap()[..]).unwrap();
        let mode = |path: &str| dir.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("layers/ro"), mode("layers/ro/file"), mode("x")), (0o555, 0o640, 0o600));
        assert_eq!(fs_err::read_link(dir.path().join("layers/ro/link")).unwrap(), Path::new("file"));
        fs_err::set_permissions(
            dir.path().join("layers/ro"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
    }

    #[test]
    fn links_never_lead_out_and_other_kinds_are_refused() {
        let (dir, root) = root();
        let outside = tempfile::tempdir().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, tar::EntryType::Symlink, "/out", 0o777, outside.path().to_str().unwrap());
        entry(&mut tar, tar::EntryType::Regular, "/out/x", 0o644, "");
        // The link is resolved within the root, where its target does not exist.
        assert!(extract(&root, &tar.into_inner().unwrap()[..]).is_err());
        assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
        for kind in [tar::EntryType::Link, tar::EntryType::Fifo, tar::EntryType::Char] {
            let mut tar = tar::Builder::new(Vec::new());
            entry(&mut tar, kind, "/x", 0o644, "y");
            let error = extract(&root, &tar.into_inner().unwrap()[..]).unwrap_err();
            assert!(error.to_string().starts_with("unknown file type in tar"), "{error}");
        }
        assert!(!dir.path().join("x").exists());
    }

    #[test]
    fn nothing_is_unpacked_elsewhere_than_below_the_directory_that_is_named() {
        use tar::EntryType as E;
        let (dir, root) = root();
        fs_err::create_dir_all(dir.path().join("layers")).unwrap();
        fs_err::create_dir_all(dir.path().join("etc")).unwrap();
        let below = |entries: &[(tar::EntryType, &str, &str)]| {
            let mut tar = tar::Builder::new(Vec::new());
            for (kind, name, link) in entries {
                entry(&mut tar, *kind, name, 0o755, link);
            }
            let tar = tar.into_inner().unwrap();
            extract_below(&root, &GuestPath::new("/layers"), &tar[..]).map_err(|e| e.to_string())
        };
        let good = [
            (E::Directory, "/", ""),
            (E::Directory, "/layers", ""),
            (E::Directory, "/layers/b/l", ""),
            (E::Regular, "/layers/b/l/f", ""),
            (E::Symlink, "/layers/b/l/link", "/etc"),
        ];
        assert_eq!(below(&good), Ok(()));
        assert!(dir.path().join("layers/b/l/f").is_file());
        for (outside, link) in [("/etc/x", ""), ("/layers/../etc/x", ""), ("/layersx", "")] {
            let error = below(&[(E::Regular, outside, link)]).unwrap_err();
            assert!(error.ends_with("lies outside the layers directory"), "{outside}: {error}");
        }
        // Through the link that is there by now.
        assert!(below(&[(E::Regular, "/layers/b/l/link/x", "")]).is_err());
        assert_eq!(fs_err::read_dir(dir.path().join("etc")).unwrap().count(), 0);
    }
}
