//! Layers have the bytes that Go's `archive/tar` writes (requirements E6 of section E, E44, E8).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cnb_fs::{GuestPath, HostPath, Owner, Root};
use cnb_image::{BlobStore, Content, Entry, LayerSource, Made, Ownership, ParentOwner, make_layers};

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const USER: Owner = Owner { uid: 1000, gid: 1000 };
const OWNER: Ownership = Ownership { content: USER, parents: ParentOwner::Fixed(ROOT) };

fn make(source: LayerSource<'_>) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&HostPath::absolute(dir.path())).unwrap();
    make_layers(&store, &[source], 1).unwrap()[0]
}

#[track_caller]
fn check(entries: Vec<Entry>, sha256: &str, size: u64) {
    let made = make(LayerSource::Entries(entries));
    assert_eq!((made.diff_id.hex().as_str(), made.tar_size), (sha256, size));
}

fn empty_file(path: impl AsRef<Path>, mode: u32, owner: Owner) -> Vec<Entry> {
    vec![Entry::file(path.as_ref(), mode, owner, Content::Bytes([].into()))]
}

fn processes(types: &[&str]) -> Vec<Entry> {
    let mut entries = vec![Entry::dir("/cnb", 0o755, ROOT), Entry::dir("/cnb/process", 0o755, ROOT)];
    entries.extend(
        types
            .iter()
            .map(|t| Entry::link(format!("/cnb/process/{t}"), "/cnb/lifecycle/launcher", 0o755, ROOT)),
    );
    entries
}

#[test]
fn generated_layers_have_the_bytes_of_go() {
    check(vec![], "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", 1024);
    check(processes(&["web"]), "83d85471d9f8a3834b4e27cf701e3f0aef220cc816d9c173c7d32cd73909a590", 2560);
    check(
        processes(&["web", "worker"]),
        "c32b6c6d08c5d84a980a518d1dd9093c22b9e003f2b6b468f12fe1e7cd918b3f",
        3072,
    );
    let launcher = vec![
        Entry::dir("/cnb", 0o755, ROOT),
        Entry::dir("/cnb/lifecycle", 0o755, ROOT),
        Entry::file(
            "/cnb/lifecycle/launcher",
            0o755,
            ROOT,
            Content::Bytes(b"launcher-content".as_slice().into()),
        ),
    ];
    check(launcher, "eb8cd01c7ae3cc4b516ccee89832066897b6728ba2b43044bf4c0fcb34826ba3", 3072);
}

#[test]
fn long_and_odd_names_have_the_bytes_of_go() {
    let long = |times| format!("/layers/{}file", "abcdefghi/".repeat(times));
    check(
        empty_file(long(12), 0o644, USER),
        "80b720188e89ae8b09ebd5b441fac24c31852a83873034dff79530829999c8c4",
        1536,
    );
    check(
        empty_file(long(40), 0o644, USER),
        "99868a4852bec3b0537ec5096011bea1aecb965bfb360c25db06c0572d369773",
        2560,
    );
    check(
        empty_file("/layers/é", 0o644, USER),
        "3be2aa037cc4648e84c0ea6589afba4574b28cf632f5209acce49f50824248ed",
        2560,
    );
    check(
        vec![Entry::link("/l", "t".repeat(101), 0o777, ROOT)],
        "de51afd512c1477152b7722b1c074b5f6b4867b5fb0a237702a6f6a94b0badec",
        2560,
    );
    let large = Owner { uid: 2_097_152, gid: 2_097_152 };
    check(
        empty_file("/f", 0o644, large),
        "2be40edbd5230e200f9dbc585c91f1957204917046d76970f1b209fcd22a83cb",
        2560,
    );
}

#[test]
fn what_the_requirements_leave_open_has_the_bytes_of_go_too() {
    // A slash where the name is cut.
    let name = format!("/{}/{}", "a".repeat(98), "b".repeat(120));
    check(
        empty_file(name, 0o644, Owner { uid: 1, gid: 2 }),
        "fc3c605719f06c15906df5d9a15e12d0fd5f598ca85728613b256e7339fa2399",
        2560,
    );
    // A name that could be split, but the link target asks for PAX.
    let name = format!("/layers/{}file", "abcdefghi/".repeat(12));
    check(
        vec![Entry::link(name, "t".repeat(150), 0o777, ROOT)],
        "5f1cf0628c5b917c4576d6803e37e1d8182c19e10cccb1ddb287bc12e118e914",
        2560,
    );
    // A name that is no UTF-8.
    let name = std::ffi::OsStr::from_bytes(b"/layers/\xff\xfeab\xc3\xa9x");
    check(
        empty_file(name, 0o644, ROOT),
        "c83828fdaa43019ac5c134e4490970495dbda20515aba8de019182bfd4a28488",
        2560,
    );
    // One id that fits and one that does not.
    let owner = Owner { uid: 2_097_152, gid: 2_097_151 };
    check(
        empty_file("/ab/cé", 0o6755, owner),
        "f7782c28d70f447b18bacf30f3dcc557cf6edbe28ae955d083963bcd79161351",
        2560,
    );
    // Characters that are dropped before the cut.
    let name = format!("/{}é/{}", "a".repeat(96), "b".repeat(120));
    check(
        vec![Entry::dir(name, 0o755, ROOT)],
        "c87f1929ef3817289ef2f3dea46b0316497a6386f309f9d2c8e5e694de02b055",
        2560,
    );
}

fn tree() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("goldentree");
    std::fs::create_dir_all(top.join("a")).unwrap();
    fs_err::write(top.join("a/x"), "hi").unwrap();
    fs_err::write(top.join("a-b"), "yo\n").unwrap();
    symlink("a/x", top.join("z")).unwrap();
    for (path, mode) in [("", 0o755), ("a", 0o755), ("a/x", 0o644), ("a-b", 0o755)] {
        std::fs::set_permissions(top.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let root = Root::new(std::fs::File::open(dir.path()).unwrap().into(), None);
    (dir, root)
}

#[test]
fn a_tree_is_walked_depth_first_and_a_list_is_written_as_it_is() {
    let (_dir, root) = tree();
    let path = GuestPath::new("/goldentree");
    let made = make(LayerSource::Tree { root: &root, path: path.clone(), owner: OWNER });
    assert_eq!(made.diff_id.hex(), "03235abffae277d24e5a9e15fca9a46f55ed16aa642373d9c7cd898f009fba51");
    let paths =
        ["", "a", "a-b", "a/x", "z"].map(|p| if p.is_empty() { path.clone() } else { path.join(p) }).to_vec();
    let made = make(LayerSource::Paths { root: &root, top: path, paths, owner: OWNER });
    assert_eq!(made.diff_id.hex(), "b37a8c45cc0975f5e4ad9fbf63a21fc6dff140e429542ec6cdb3b5f9fea3e939");
}
