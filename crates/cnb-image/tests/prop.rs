//! What is written is read back by another reader, and no tar makes the unpacker panic or leave its folder.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use cnb_fs::{HostPath, Owner};
use cnb_image::blob_store::digest_of;
use cnb_image::media::Family;
use cnb_image::{
    BlobStore, Content, Entry, EntryKind, Image, ImageLayer, LayerSource, Limits, archive, make_layers,
    unpack, validate,
};
use cnb_spec::digest::DiffId;
use cnb_spec::oci::ImageConfig;
use proptest::collection::vec;
use proptest::prelude::*;

/// A name of any bytes but NUL and `/`, and none that is a step of its own.
///
/// No line feeds: the reader that this compares with ends a PAX record at the first of them.
fn part() -> impl Strategy<Value = Vec<u8>> {
    vec((1_u8..=255).prop_filter("a slash divides names", |b| !b"/\n".contains(b)), 1..120)
        .prop_filter("dots are steps", |name| name != b"." && name != b"..")
}

fn path() -> impl Strategy<Value = PathBuf> {
    vec(part(), 1..5).prop_map(|parts| {
        let bytes: Vec<u8> = parts.iter().flat_map(|p| [b"/", p.as_slice()].concat()).collect();
        PathBuf::from(OsStr::from_bytes(&bytes))
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(EntryKind::Dir),
        vec(any::<u8>(), 0..2000).prop_map(|bytes| EntryKind::File(Content::Bytes(bytes.into()))),
        path().prop_map(EntryKind::Link),
    ];
    (path(), 0_u32..0o10000, any::<u32>(), any::<u32>(), kind)
        .prop_map(|(path, mode, uid, gid, kind)| Entry { path, mode, owner: Owner { uid, gid }, kind })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn entries_are_read_back_as_they_were(entries in vec(entry(), 0..12)) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&HostPath::absolute(dir.path())).unwrap();
        let made = make_layers(&store, &[LayerSource::Entries(entries.clone())], 2).unwrap()[0];
        let mut archive = tar::Archive::new(ImageLayer::made(&store, &made).open_tar().unwrap());
        let mut count = 0;
        for (found, expected) in archive.entries().unwrap().zip(&entries) {
            let mut found = found.unwrap();
            count += 1;
            prop_assert_eq!(&*found.path_bytes(), expected.path.as_os_str().as_bytes());
            prop_assert_eq!(found.header().mode().unwrap(), expected.mode);
            match &expected.kind {
                EntryKind::Dir => prop_assert!(found.header().entry_type().is_dir()),
                EntryKind::Link(target) => {
                    prop_assert_eq!(&*found.link_name_bytes().unwrap(), target.as_os_str().as_bytes());
                }
                EntryKind::File(Content::Bytes(bytes)) => {
                    let mut content = Vec::new();
                    found.read_to_end(&mut content).unwrap();
                    prop_assert_eq!(content.as_slice(), &**bytes);
                }
                EntryKind::File(Content::Host(_)) => unreachable!("none is generated"),
            }
        }
        prop_assert_eq!(count, entries.len());
    }

    #[test]
    fn a_damaged_tar_is_an_error_or_a_folder_and_nothing_else(
        entries in vec(entry(), 0..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&HostPath::absolute(dir.path().join("store"))).unwrap();
        let made = make_layers(&store, &[LayerSource::Entries(entries)], 1).unwrap()[0];
        let mut bytes = Vec::new();
        ImageLayer::made(&store, &made).open_tar().unwrap().read_to_end(&mut bytes).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut layer = ImageLayer::stored(&store, DiffId::from_bytes(*digest_of(&bytes).as_bytes()), store.put(&bytes).unwrap());
        "application/vnd.oci.image.layer.v1.tar".clone_into(&mut layer.descriptor.media_type);
        let out = dir.path().join("out/layer");
        let result = unpack(&layer, &HostPath::absolute(&out), Limits { bytes: 1 << 20, entries: 100 }, None);
        prop_assert_eq!(out.exists(), result.is_ok());
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        cnb_fs::atomic::remove_tree(&dir.path().join("out")).unwrap();
    }

    #[test]
    fn a_damaged_archive_is_an_error_or_an_image_and_nothing_else(
        entries in vec(entry(), 0..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&HostPath::absolute(dir.path().join("store"))).unwrap();
        let made = make_layers(&store, &[LayerSource::Entries(entries)], 1).unwrap()[0];
        let layers = vec![ImageLayer::made(&store, &made)];
        let image = Image::assemble(Family::Oci, ImageConfig::default(), layers).unwrap();
        let file = HostPath::absolute(dir.path().join("archive.tar"));
        archive::write_docker(&file, &image, &["app".parse().unwrap()]).unwrap();
        let mut bytes = fs_err::read(file.as_path()).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(4 * bytes.len()));
        fs_err::write(file.as_path(), &bytes).unwrap();
        for found in [archive::read(&file, None, None), archive::read_docker(&file, None)].into_iter().flatten() {
            let _ = validate(&found);
        }
    }
}
