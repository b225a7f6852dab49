//! Layers: the same bytes whatever the circumstances, and nothing from outside the tree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cnb_fs::{GuestPath, HostPath, Owner, Root};
use cnb_image::{BlobStore, Content, Entry, ImageLayer, LayerSource, Ownership, ParentOwner, make_layers};

const USER: Owner = Owner { uid: 1001, gid: 1000 };
const OWNER: Ownership = Ownership { content: USER, parents: ParentOwner::Fixed(USER) };

fn world() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(std::fs::File::open(dir.path()).unwrap().into(), None);
    (dir, root)
}

fn store(dir: &Path) -> BlobStore {
    BlobStore::open(&HostPath::absolute(dir.join("store"))).unwrap()
}

fn tree<'a>(root: &'a Root, path: &str) -> LayerSource<'a> {
    LayerSource::Tree { root, path: GuestPath::new(path), owner: OWNER }
}

fn listing(store: &BlobStore, source: LayerSource<'_>) -> Vec<String> {
    let made = make_layers(store, &[source], 2).unwrap()[0];
    let tar = ImageLayer::made(store, &made).open_tar().unwrap();
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|e| {
        let e = e.unwrap();
        let link = e.link_name().unwrap().map(|l| format!(" -> {}", l.display())).unwrap_or_default();
        format!(
            "{:?} {:o} {}{link}",
            e.header().entry_type(),
            e.header().mode().unwrap(),
            e.path().unwrap().display()
        )
    });
    entries.collect()
}

#[test]
fn a_header_of_several_blocks_may_cross_the_end_of_a_chunk() {
    let (dir, _) = world();
    let store = store(dir.path());
    let name = |n: usize| format!("/{}/{n}", ["long"; 60].join("/"));
    // Of odd and even numbers of blocks, so that every chunk ends at another place of a header.
    let content = |n: usize| Content::Bytes(vec![0; (n % 3) * 512].into());
    let entries = (0..4000).map(|n| Entry::file(name(n), 0o644, USER, content(n))).collect();
    assert_eq!(listing(&store, LayerSource::Entries(entries)).len(), 4000);
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let (dir, root) = world();
    std::fs::create_dir_all(dir.path().join("l/sub")).unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    fs_err::write(dir.path().join("l/big"), &big).unwrap();
    for n in 0..200 {
        fs_err::write(dir.path().join(format!("l/sub/{n}")), format!("{n}").repeat(n)).unwrap();
    }
    let sources = || {
        let small = (0..20).map(|n| {
            let content = Content::Bytes(vec![n; 3000].into());
            LayerSource::Entries(vec![Entry::file(format!("/{n}"), 0o644, USER, content)])
        });
        let mut all = vec![tree(&root, "/l")];
        all.extend(small);
        all.push(tree(&root, "/l/sub"));
        all
    };
    let one = make_layers(&store(&dir.path().join("1")), &sources(), 1).unwrap();
    let other = store(&dir.path().join("2"));
    for threads in [2, 3, 8] {
        assert_eq!(make_layers(&other, &sources(), threads).unwrap(), one, "{threads} threads");
    }
    assert_eq!(one.len(), 22);
    assert!(one[0].tar_size > 20_000_000 && one[0].blob.size < one[0].tar_size, "{:?}", one[0]);
    let mut tar = ImageLayer::made(&other, &one[0]).open_tar().unwrap();
    let mut bytes = Vec::new();
    tar.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, one[0].tar_size);
}

#[test]
fn links_are_entries_and_are_never_followed() {
    let (dir, root) = world();
    std::fs::create_dir_all(dir.path().join("layers/real")).unwrap();
    fs_err::write(dir.path().join("layers/real/f"), "x").unwrap();
    symlink("/etc", dir.path().join("layers/out")).unwrap();
    symlink("real", dir.path().join("layers/alias")).unwrap();
    let store = store(dir.path());
    assert_eq!(
        listing(&store, tree(&root, "/layers")),
        [
            "Directory 755 /layers",
            "Symlink 777 /layers/alias -> real",
            "Symlink 777 /layers/out -> /etc",
            "Directory 755 /layers/real",
            "Regular 644 /layers/real/f"
        ]
    );
    assert_eq!(
        listing(&store, tree(&root, "/layers/out")),
        ["Directory 755 /layers", "Symlink 777 /layers/out -> /etc"]
    );
    assert_eq!(listing(&store, tree(&root, "/layers/real/f")).last().unwrap(), "Regular 644 /layers/real/f");
}

#[test]
fn special_files_are_entries_but_sockets_are_left_out() {
    let (dir, root) = world();
    let at = |name: &str| dir.path().join("l").join(name);
    std::fs::create_dir(at("")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, rustix::fs::Mode::from_raw_mode(0o640), 0)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("sock")).unwrap();
    fs_err::write(at("z"), "x").unwrap();
    std::fs::set_permissions(at("z"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    assert_eq!(
        listing(&store(dir.path()), tree(&root, "/l")),
        ["Directory 755 /l", "Fifo 640 /l/pipe", "Regular 4711 /l/z"]
    );
}

#[test]
fn a_tree_deeper_than_the_open_directories_is_walked_in_order() {
    let (dir, root) = world();
    let mut path = dir.path().join("l");
    for _ in 0..150 {
        std::fs::create_dir_all(path.join("d")).unwrap();
        fs_err::write(path.join("a"), "").unwrap();
        fs_err::write(path.join("z"), "").unwrap();
        path.push("d");
    }
    let found = listing(&store(dir.path()), tree(&root, "/l"));
    assert_eq!(found.len(), 1 + 3 * 150);
    assert_eq!(found[1], "Regular 644 /l/a");
    assert_eq!(found[450], "Regular 644 /l/z");
}

#[test]
fn a_file_that_lies_about_its_size_fails_the_layer_and_is_named() {
    // Files of /proc say that they have no bytes, and then have some: the same as a file that grows.
    let entry = Entry::file("/x", 0o644, USER, Content::Host(HostPath::absolute("/proc/self/status")));
    let dir = tempfile::tempdir().unwrap();
    let error = make_layers(&store(dir.path()), &[LayerSource::Entries(vec![entry])], 2).unwrap_err();
    assert_eq!(error.to_string(), "`/x` grew while the layer was made");
    let blobs: Vec<_> = std::fs::read_dir(dir.path().join("store/blobs/sha256")).unwrap().collect();
    assert!(blobs.is_empty(), "{blobs:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (dir, root) = world();
    let paths = vec![GuestPath::new("/gone")];
    let source = LayerSource::Paths { root: &root, top: GuestPath::new("/"), paths, owner: OWNER };
    let error = make_layers(&store(dir.path()), &[source], 1).unwrap_err();
    assert_eq!(error.to_string(), "failed to look at `/gone`");
    let error = make_layers(&store(dir.path()), &[tree(&root, "/none")], 1).unwrap_err();
    assert_eq!(error.to_string(), "failed to look at `/none`");
}

#[test]
fn a_member_is_one_chunk_of_the_tar() {
    let (dir, root) = world();
    let mut file = std::fs::File::create(dir.path().join("f")).unwrap();
    file.write_all(&vec![b'x'; (3 << 20) - 512 - 1024]).unwrap();
    let store = store(dir.path());
    let made = make_layers(&store, &[tree(&root, "/f")], 2).unwrap()[0];
    assert_eq!(made.tar_size, 3 << 20);
    let blob = fs_err::read(store.path(&made.blob.digest).as_path()).unwrap();
    let mut members = 0;
    let mut rest = blob.as_slice();
    while !rest.is_empty() {
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        let count = std::io::copy(&mut decoder, &mut std::io::sink()).unwrap();
        assert_eq!(count, 1 << 20);
        rest = decoder.into_inner();
        members += 1;
    }
    assert_eq!(members, 3);
    assert_eq!(store.known(&made.diff_id), Some(made.blob));
}
