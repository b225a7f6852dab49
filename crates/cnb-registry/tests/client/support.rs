//! What the tests of this crate share: a registry that can go wrong, clients that do not wait long, and images
//! of noise.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnb_fs::{HostPath, Owner};
use cnb_image::media::Family;
use cnb_image::{BlobStore, Content, Entry, Image, ImageLayer, LayerSource, make_layers};
use cnb_registry::{Credentials, Registry, Retries, Settings, Timeouts};
use cnb_spec::env::Env;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::ImageConfig;

/// The password that nothing may ever show.
pub(crate) const PASSWORD: &str = "hunter2-is-secret";

/// All lines that clients have traced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn get(&self) -> Vec<String> {
        self.0.lock().expect("no test panics with it").clone()
    }

    /// Checks that neither lines nor `more` show a secret.
    #[track_caller]
    pub(crate) fn assert_discreet(&self, more: &str) {
        let all = format!("{}\n{more}", self.get().join("\n"));
        let encoded = cnb_testkit::http::base64(format!("me:{PASSWORD}").as_bytes());
        for secret in [PASSWORD, &encoded, "opaque-token", "Bearer ", "Basic ", "signature="] {
            assert!(!all.contains(secret), "{secret} is shown in\n{all}");
        }
    }
}

/// Returns settings for a test: short pauses, short patience, small chunks.
pub(crate) fn settings(lines: &Lines) -> Settings {
    let lines = lines.clone();
    Settings {
        retries: Retries {
            connect: 2,
            attempts: 4,
            pause: Duration::from_millis(4),
            longest: Duration::from_millis(40),
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            answer: Duration::from_millis(400),
            stall: Duration::from_millis(300),
            document: Duration::from_secs(5),
            total: None,
        },
        chunk: 64 << 10,
        trace: Some(Arc::new(move |line| {
            lines.0.lock().expect("no test panics with it").push(line.to_owned());
        })),
        ..Settings::default()
    }
}

/// Returns the credentials of the user `me` for a registry.
pub(crate) fn credentials(registry: &str) -> Credentials {
    let encoded = cnb_testkit::http::base64(format!("me:{PASSWORD}").as_bytes());
    let auth = format!(r#"{{"{registry}":"Basic {encoded}"}}"#);
    Credentials::from_env(&Env::from([("CNB_REGISTRY_AUTH".into(), auth.into())])).expect("valid credentials")
}

pub(crate) fn client(settings: Settings) -> Registry {
    Registry::new(settings).expect("valid settings")
}

pub(crate) fn name(registry: &str, rest: &str) -> ImageRef {
    format!("{registry}/{rest}").parse().expect("a valid name")
}

/// Makes an image with a layer for each of `sizes`, whose bytes do not compress; `seed` makes it another one.
pub(crate) fn image(dir: &Path, seed: u64, sizes: &[usize]) -> Image {
    let store = BlobStore::open(&HostPath::absolute(dir.join("store"))).expect("a store");
    let layers = (0..).zip(sizes).map(|(at, size)| {
        let content = Content::Bytes(noise(seed * 100 + at, *size).into());
        LayerSource::Entries(vec![Entry::file("/file", 0o644, Owner { uid: 0, gid: 0 }, content)])
    });
    let layers: Vec<LayerSource<'_>> = layers.collect();
    let made = make_layers(&store, &layers, 2).expect("layers of bytes");
    let layers = made.iter().map(|made| ImageLayer::made(&store, made)).collect();
    let config: ImageConfig =
        serde_json::from_str(r#"{"os":"linux","architecture":"amd64"}"#).expect("a valid config");
    Image::assemble(Family::Oci, config, layers).expect("a valid image")
}

/// Returns bytes that do not compress.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Reads all of a layer, verified.
pub(crate) fn read(layer: &ImageLayer) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = layer.open().map_err(|e| chain(&e))?;
    match reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(chain(&reader.explain(e, Path::new("here")))),
    }
}

/// Returns an error with all its causes, as users see it.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
