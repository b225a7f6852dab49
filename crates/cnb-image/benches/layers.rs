//! How fast layers are made and unpacked: `cargo bench -p cnb-image`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use cnb_fs::{GuestPath, HostPath, Owner, Root};
use cnb_image::{BlobStore, ImageLayer, LayerSource, Limits, Ownership, ParentOwner, make_layers, unpack};
use divan::Bencher;
use divan::counter::BytesCount;

const USER: Owner = Owner { uid: 1001, gid: 1000 };

fn main() {
    divan::main();
}

/// A tree of small files or a single large one, with bytes that compress as source code does.
fn tree(files: usize, size: usize) -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let words = ["function ", "return ", "const ", "{\n", "}\n", "value", " = ", "(", ");\n", "await "];
    let mut state = 1_u32;
    let mut text = Vec::with_capacity(size + 16);
    while text.len() < size {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(words[(state >> 16) as usize % words.len()].as_bytes());
    }
    for n in 0..files {
        let folder = dir.path().join(format!("layer/{}", n / 100));
        std::fs::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join(format!("{n}.js")), &text[..size]).unwrap();
    }
    let root = Root::new(std::fs::File::open(dir.path()).unwrap().into(), None);
    (dir, root)
}

fn source(root: &Root) -> LayerSource<'_> {
    let owner = Ownership { content: USER, parents: ParentOwner::Fixed(USER) };
    LayerSource::Tree { root, path: GuestPath::new("/layer"), owner }
}

fn make(bencher: Bencher<'_, '_>, files: usize, size: usize, threads: usize) {
    let (dir, root) = tree(files, size);
    let store = BlobStore::open(&HostPath::absolute(dir.path().join("store"))).unwrap();
    bencher
        .counter(BytesCount::new(files * size))
        .bench(|| make_layers(&store, &[source(&root)], threads).unwrap());
}

/// Walk, tar, hash, compress, hash, store: 4,000 files of 8 KiB.
#[divan::bench(args = [1, 2], sample_count = 5)]
fn small_files(bencher: Bencher<'_, '_>, threads: usize) {
    make(bencher, 4000, 8 << 10, threads);
}

/// The same for one file of 64 MiB.
#[divan::bench(args = [1, 2], sample_count = 5)]
fn one_large_file(bencher: Bencher<'_, '_>, threads: usize) {
    make(bencher, 1, 64 << 20, threads);
}

/// Read, verify, decompress, unpack: 4,000 files of 8 KiB.
#[divan::bench(sample_count = 5)]
fn unpacking(bencher: Bencher<'_, '_>) {
    let (dir, root) = tree(4000, 8 << 10);
    let store = BlobStore::open(&HostPath::absolute(dir.path().join("store"))).unwrap();
    let made = make_layers(&store, &[source(&root)], 2).unwrap()[0];
    let layer = ImageLayer::made(&store, &made);
    let mut count = 0;
    bencher.counter(BytesCount::new(4000_usize * (8 << 10))).bench_local(|| {
        count += 1;
        let out = HostPath::absolute(dir.path().join(format!("out/{count}")));
        unpack(&layer, &out, Limits::GENEROUS, None).unwrap();
    });
}
