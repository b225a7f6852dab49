//! How fast an image goes through the client into an engine that does nothing with it: `cargo bench -p cnb-daemon`.
//!
//! The engine is a thread that reads and drops what comes, so this is the production of the stream, HTTP and a socket.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use cnb_daemon::{Address, Engine};
use cnb_fs::HostPath;
use cnb_image::media::{Compression, Family};
use cnb_image::{BlobSource, BlobStore, Image, ImageLayer};
use cnb_spec::digest::DiffId;
use cnb_spec::oci::{Descriptor, ImageConfig};
use divan::Bencher;
use divan::counter::BytesCount;

/// The size of a layer.
const LAYER: usize = 32 << 20;

fn main() {
    divan::main();
}

/// An image with layers of bytes that are no tar, which nobody here notices.
fn image(store: &BlobStore, packed: Compression, layers: usize) -> Image {
    let layer = |n: usize| {
        let mut state = u32::try_from(n).unwrap() + 1;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0] & 31
        })
        .take(LAYER)
        .collect();
        let bytes =
            if packed == Compression::Zstd { zstd::encode_all(bytes.as_slice(), 1).unwrap() } else { bytes };
        let blob = store.put(&bytes).unwrap();
        ImageLayer {
            descriptor: Descriptor::new(Family::Oci.layer(packed), blob.size, blob.digest),
            diff_id: DiffId::from_bytes([u8::try_from(n).unwrap(); 32]),
            blob: BlobSource::File(store.path(&blob.digest)),
        }
    };
    Image::assemble(Family::Oci, ImageConfig::default(), (0..layers).map(layer).collect()).unwrap()
}

/// Answers as an engine that has whatever it is asked for.
fn serve(listener: &UnixListener, inspect: &str) {
    for stream in listener.incoming() {
        let mut stream: UnixStream = stream.unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut seen = Vec::new();
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..count]);
            let is_load = seen.starts_with(b"POST");
            let end: &[u8] = if is_load { b"\r\n0\r\n\r\n" } else { b"\r\n\r\n" };
            if !seen.ends_with(end) {
                let kept = seen.len().saturating_sub(end.len());
                // The start tells what is asked, the end whether that is all.
                seen.drain(4.min(kept)..kept);
                continue;
            }
            let body = if is_load { "{}" } else { inspect };
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: {length}\r\n\r\n{body}")
                .unwrap();
            seen.clear();
        }
    }
}

fn load(bencher: Bencher<'_, '_>, packed: Compression, layers: usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&HostPath::absolute(dir.path())).unwrap();
    let image = image(&store, packed, layers);
    let socket = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let diff_ids = image.layers().iter().map(|l| format!("\"{}\"", l.diff_id)).collect::<Vec<_>>().join(",");
    let inspect = format!(r#"{{"Id":"{}","RootFS":{{"Layers":[{diff_ids}]}}}}"#, image.id());
    std::thread::spawn(move || serve(&listener, &inspect));
    bencher.counter(BytesCount::new(LAYER * layers)).bench(|| {
        // A new client each time: one that has seen the image would not send it.
        let engine = Engine::connect(&Address::Unix(socket.clone())).unwrap();
        engine.load(&image, &["app".parse().unwrap()]).unwrap()
    });
}

#[divan::bench(sample_count = 10)]
fn blobs_as_they_are(bencher: Bencher<'_, '_>) {
    load(bencher, Compression::None, 4);
}

#[divan::bench(sample_count = 10)]
fn zstd_unpacked_on_the_way(bencher: Bencher<'_, '_>) {
    load(bencher, Compression::Zstd, 4);
}
