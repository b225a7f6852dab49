//! Unpacked layers: what overlayfs needs, and nothing outside the folder whatever a tar says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cnb_fs::HostPath;
use cnb_image::blob_store::digest_of;
use cnb_image::{BlobStore, ImageLayer, Limits, UnpackError, unpack};
use cnb_spec::digest::DiffId;
use tar::{Builder, EntryType, Header};

struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, name: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(STRANGER);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        // Written by hand: the crate refuses the names that have to be tried.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        header.set_cksum();
        self.0.append(&header, if is_link { &[] } else { content }).unwrap();
        self
    }

    fn layer(self, dir: &Path) -> ImageLayer {
        let bytes = self.0.into_inner().unwrap();
        let store = BlobStore::open(&HostPath::absolute(dir.join("store"))).unwrap();
        let blob = store.put(&bytes).unwrap();
        let mut layer = ImageLayer::stored(&store, DiffId::from_bytes(*digest_of(&bytes).as_bytes()), blob);
        "application/vnd.oci.image.layer.v1.tar".clone_into(&mut layer.descriptor.media_type);
        layer
    }
}

/// An owner that no test runs as.
const STRANGER: u64 = 2_000_000;

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

fn run(tar: Tar) -> (tempfile::TempDir, PathBuf, Result<(), UnpackError>) {
    let dir = tempfile::tempdir().unwrap();
    let layer = tar.layer(dir.path());
    let out = dir.path().join("layers/one");
    let result = unpack(&layer, &HostPath::absolute(&out), Limits::GENEROUS, None);
    (dir, out, result)
}

#[test]
fn files_links_and_modes_are_made_and_set_id_bits_and_devices_are_not() {
    let tar = Tar::new()
        .entry(DIR, "bin/", 0o555, b"")
        .entry(FILE, "bin/su", 0o6755, b"x")
        .entry(HARD, "bin/alias", 0o755, b"bin/su")
        .entry(LINK, "sh", 0o777, b"bin/su")
        .entry(FILE, "/deep/er/file", 0o600, b"y")
        .entry(EntryType::Char, "dev/null", 0o666, b"")
        .entry(EntryType::Fifo, "pipe", 0o666, b"");
    let (_dir, out, result) = run(tar);
    result.unwrap();
    let mode = |name: &str| out.join(name).symlink_metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin"), mode("bin/su"), mode("deep/er/file")), (0o555, 0o755, 0o600));
    assert_eq!(out.join("bin/alias").metadata().unwrap().ino(), out.join("bin/su").metadata().unwrap().ino());
    assert_eq!(std::fs::read_link(out.join("sh")).unwrap(), Path::new("bin/su"));
    assert!(!out.join("dev/null").exists() && !out.join("pipe").exists());
    assert_ne!(out.join("bin/su").metadata().unwrap().uid(), 2_000_000, "files belong to the caller");
    // Without this, only root could delete the folder.
    std::fs::set_permissions(out.join("bin"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn whiteouts_take_the_form_of_overlayfs() {
    let tar = Tar::new()
        .entry(FILE, "a/.wh.gone", 0o644, b"")
        .entry(FILE, "b/.wh..wh..opq", 0o644, b"")
        .entry(FILE, "b/x", 0o644, b"");
    let (_dir, out, result) = run(tar);
    result.unwrap();
    let gone = out.join("a/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mut value = [0; 8];
    let count = rustix::fs::getxattr(out.join("b"), "user.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..count], b"y");
    assert!(out.join("b/x").exists());
}

#[test]
fn nothing_leads_out_of_the_folder() {
    for (tar, what) in [
        (Tar::new().entry(FILE, "../evil", 0o644, b"x"), "dots"),
        (Tar::new().entry(FILE, "a/../../evil", 0o644, b"x"), "dots within"),
        (Tar::new().entry(HARD, "evil", 0o644, b"../../store/oci"), "a hard link"),
    ] {
        let (dir, out, result) = run(tar);
        assert!(result.is_err(), "{what}");
        assert!(
            !out.exists() && !dir.path().join("evil").exists() && !dir.path().join("layers/evil").exists()
        );
        assert_eq!(
            std::fs::read_dir(dir.path().join("layers")).unwrap().count(),
            0,
            "nothing is left of {what}"
        );
    }
    let tar = Tar::new()
        .entry(LINK, "up", 0o777, b"../../..")
        .entry(FILE, "up/evil", 0o644, b"x")
        .entry(LINK, "abs", 0o777, b"/")
        .entry(FILE, "abs/evil2", 0o644, b"x")
        .entry(LINK, "file", 0o777, b"/etc/hostname")
        .entry(FILE, "file", 0o644, b"replaced");
    let (dir, out, result) = run(tar);
    result.unwrap();
    assert!(out.join("evil").exists() && out.join("evil2").exists(), "links are resolved within the layer");
    assert!(!dir.path().join("evil").exists() && !Path::new("/evil2").exists());
    assert_eq!(fs_err::read(out.join("file")).unwrap(), b"replaced");
}

#[test]
fn a_bomb_is_stopped_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let layer = Tar::new().entry(FILE, "a", 0o644, &[0; 4096]).entry(FILE, "b", 0o644, b"").layer(dir.path());
    let out = HostPath::absolute(dir.path().join("out/one"));
    for (limits, what) in [
        (Limits { bytes: 4096, entries: 9 }, "4096 bytes"),
        (Limits { bytes: 1 << 20, entries: 1 }, "1 entries"),
    ] {
        let error = unpack(&layer, &out, limits, None).unwrap_err().to_string();
        assert!(error.ends_with(&format!("unpacks to more than {what}")), "{error}");
        assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
    }
    unpack(&layer, &out, Limits { bytes: 1 << 20, entries: 2 }, None).unwrap();
}

#[test]
fn another_content_than_the_config_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = Tar::new().entry(FILE, "a", 0o644, b"x").layer(dir.path());
    layer.diff_id = DiffId::from_bytes([1; 32]);
    let out = HostPath::absolute(dir.path().join("out/one"));
    let error = unpack(&layer, &out, Limits::GENEROUS, None).unwrap_err();
    assert!(matches!(error, UnpackError::DiffId { .. }), "{error}");
    assert!(!out.as_path().exists());
}
