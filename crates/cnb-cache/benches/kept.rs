//! What keeping layers costs: opening the cache, committing a build, joining levels.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot prepare its files has nothing to measure")]

use std::fs;
use std::path::{Path, PathBuf};

use cnb_cache::{Kept, Transfer, merge};
use cnb_fs::HostPath;
use cnb_spec::platform::labels::{BuildpackLayers, LayerMetadata};
use divan::Bencher;

fn main() {
    divan::main();
}

/// A layer of `files` small files in a hundred directories.
fn upper(dir: &Path, files: usize) -> PathBuf {
    let upper = dir.join("upper");
    for n in 0..files {
        let folder = upper.join("a_b/layer").join((n % 100).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join(n.to_string()), n.to_string()).unwrap();
    }
    upper
}

fn layers() -> Vec<BuildpackLayers> {
    let layer = LayerMetadata { cache: true, ..LayerMetadata::default() };
    vec![BuildpackLayers {
        key: "a/b".into(),
        version: "1".into(),
        layers: [("layer".to_owned(), layer)].into(),
        store: None,
    }]
}

fn open(dir: &Path) -> Kept {
    Kept::open(&[HostPath::absolute(dir.join("cache"))], |_| ()).unwrap().unwrap()
}

#[divan::bench]
fn open_a_cache(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).commit(&upper(dir.path(), 100), layers()).unwrap();
    bencher.bench_local(|| open(dir.path()).levels().len());
}

/// The time must not grow with the number of files.
#[divan::bench(args = [100, 10_000], sample_count = 10)]
fn commit(bencher: Bencher<'_, '_>, files: usize) {
    let prepare = || {
        let dir = tempfile::tempdir().unwrap();
        let upper = upper(dir.path(), files);
        (dir, upper)
    };
    bencher.with_inputs(prepare).bench_local_values(|(dir, upper)| {
        open(dir.path()).commit(&upper, layers()).unwrap();
        dir
    });
}

#[divan::bench(args = [100, 10_000], sample_count = 10)]
fn join_by_links(bencher: Bencher<'_, '_>, files: usize) {
    let dir = tempfile::tempdir().unwrap();
    let upper = upper(dir.path(), files);
    let mut count = 0;
    bencher.bench_local(|| {
        count += 1;
        merge(std::slice::from_ref(&upper), &dir.path().join(format!("out-{count}")), Transfer::Link)
            .unwrap();
    });
}
