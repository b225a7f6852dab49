//! How fast layers travel to and from docker-registry on loopback: `cargo bench -p cnb-registry`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};

use cnb_fs::{HostPath, Owner};
use cnb_image::media::Family;
use cnb_image::{BlobStore, Content, Entry, Image, ImageLayer, LayerSource, make_layers};
use cnb_registry::{Certificates, Registry, Settings};
use cnb_testkit::docker_registry::{DockerRegistry, Setup, Tls};
use divan::Bencher;
use divan::counter::BytesCount;

const MIB: usize = 1 << 20;

fn main() {
    divan::main();
}

/// An image of layers that do not compress, a registry, and a client of it.
struct Bed {
    dir: tempfile::TempDir,
    server: DockerRegistry,
    registry: Registry,
    image: Image,
    pushed: AtomicU32,
}

impl Bed {
    fn new(layers: usize, size: usize, tls: Tls) -> Self {
        let server = DockerRegistry::start(&Setup { tls, ..Setup::default() }).unwrap();
        let extra = server.certificates().map(|c| HostPath::absolute(&c.ca)).into_iter().collect();
        let certificates = Certificates { extra, ..Certificates::default() };
        let registry = Registry::new(Settings { certificates, ..Settings::default() }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&HostPath::absolute(dir.path().join("store"))).unwrap();
        let sources: Vec<LayerSource<'_>> = (1..=layers as u64)
            .map(|seed| {
                let content = Content::Bytes(noise(seed, size).into());
                LayerSource::Entries(vec![Entry::file("/file", 0o644, Owner { uid: 0, gid: 0 }, content)])
            })
            .collect();
        let made = make_layers(&store, &sources, 2).unwrap();
        let layers = made.iter().map(|made| ImageLayer::made(&store, made)).collect();
        let config = serde_json::from_str(r#"{"os":"linux","architecture":"amd64"}"#).unwrap();
        let image = Image::assemble(Family::Oci, config, layers).unwrap();
        Self { dir, server, registry, image, pushed: AtomicU32::new(0) }
    }

    /// Pushes to a repository that is new each time.
    fn push(&self) -> cnb_spec::image_ref::ImageRef {
        let number = self.pushed.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}/bench/app{number}:v1", self.server.host()).parse().unwrap();
        self.registry.push(&self.image, &name, &|_| {}).unwrap();
        name
    }
}

fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn push(bencher: Bencher<'_, '_>, layers: usize, size: usize, tls: Tls) {
    let bed = Bed::new(layers, size, tls);
    bencher.counter(BytesCount::new(layers * size)).bench(|| bed.push());
}

fn pull(bencher: Bencher<'_, '_>, layers: usize, size: usize, tls: Tls) {
    let bed = Bed::new(layers, size, tls);
    let name = bed.push();
    let number = AtomicU32::new(0);
    bencher.counter(BytesCount::new(layers * size)).bench(|| {
        let dir = bed.dir.path().join(format!("pulled{}", number.fetch_add(1, Ordering::Relaxed)));
        let store = BlobStore::open(&HostPath::absolute(dir)).unwrap();
        bed.registry.store(&bed.registry.image(&name, None).unwrap(), &store, &|_| {}).unwrap()
    });
}

/// Eight layers of 8 MiB by http: read, verify, send, and let the registry store them.
#[divan::bench(sample_count = 5)]
fn push_layers(bencher: Bencher<'_, '_>) {
    push(bencher, 8, 8 * MIB, Tls::Off);
}

/// The same by https.
#[divan::bench(sample_count = 5)]
fn push_layers_with_tls(bencher: Bencher<'_, '_>) {
    push(bencher, 8, 8 * MIB, Tls::On);
}

/// One layer of 256 MiB, in chunks.
#[divan::bench(sample_count = 3)]
fn push_one_large_layer(bencher: Bencher<'_, '_>) {
    push(bencher, 1, 256 * MIB, Tls::Off);
}

/// What a push costs when everything is there: one HEAD for each of forty layers, and the manifest.
#[divan::bench(sample_count = 20)]
fn push_what_is_there(bencher: Bencher<'_, '_>) {
    let bed = Bed::new(40, 1000, Tls::Off);
    let name = bed.push();
    bencher.bench(|| bed.registry.push(&bed.image, &name, &|_| {}).unwrap());
}

/// Eight layers of 8 MiB by http: receive, verify, store.
#[divan::bench(sample_count = 5)]
fn pull_layers(bencher: Bencher<'_, '_>) {
    pull(bencher, 8, 8 * MIB, Tls::Off);
}

/// The same by https.
#[divan::bench(sample_count = 5)]
fn pull_layers_with_tls(bencher: Bencher<'_, '_>) {
    pull(bencher, 8, 8 * MIB, Tls::On);
}

/// One layer of 256 MiB.
#[divan::bench(sample_count = 3)]
fn pull_one_large_layer(bencher: Bencher<'_, '_>) {
    pull(bencher, 1, 256 * MIB, Tls::Off);
}
