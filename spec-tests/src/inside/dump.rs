//! An image of the registry, written down so that two can be compared.

use std::io::Read;
use std::path::Path;

use fs_err as fs;
use regex::bytes::Regex;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ordered_json::Json;
use super::registry::{self, RegistryError};
use super::{inputs, tar_listing};

/// Why an image could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum DumpError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("its {what} is not what it should be")]
    Json { what: &'static str, source: serde_json::Error },
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// Writes the image's config and a list of its layers and their entries to `<out>/images/<reference>/`; or that
/// there is no such image.
pub(super) fn image(reference: &str, out: &Path) -> Result<(), DumpError> {
    let dir = out.join("images").join(reference.replace(['/', ':'], "_"));
    fs::create_dir_all(&dir)?;
    let Some(manifest) = registry::manifest(reference)? else {
        return Ok(inputs::write(&dir.join("absent"), b"no such image\n", 0o644)?);
    };
    let manifest: Manifest = parse(&manifest, "manifest")?;
    let raw = registry::fetch(reference, &manifest.config.digest)?;
    let config: Config = parse(&raw, "config")?;
    let mut list = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let tar = uncompressed(registry::fetch(reference, &layer.digest)?)?;
        let actual = format!("sha256:{}", hex(&Sha256::digest(&tar)));
        list.extend(format!("layer {diff_id}").into_bytes());
        if actual != *diff_id {
            list.extend(format!("  BUT CONTENT IS {actual}").into_bytes());
        }
        list.push(b'\n');
        tar_listing::list(&tar, &mut list)?;
    }
    let masked = mask(&raw);
    inputs::write(&dir.join("layers.txt"), &list, 0o644)?;
    inputs::write(&dir.join("config.pretty.json"), &pretty(&masked)?, 0o644)?;
    Ok(inputs::write(&dir.join("config.json"), &masked, 0o644)?)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, DumpError> {
    serde_json::from_slice(bytes).map_err(|source| DumpError::Json { what, source })
}

fn uncompressed(blob: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut tar = Vec::new();
    if blob.starts_with(b"\x1f\x8b") {
        flate2::read::MultiGzDecoder::new(blob.as_slice()).read_to_end(&mut tar)?;
    } else if blob.starts_with(b"\x28\xb5\x2f\xfd") {
        zstd::Decoder::new(blob.as_slice())?.read_to_end(&mut tar)?;
    } else {
        tar = blob;
    }
    Ok(tar)
}

/// Hides the launcher's version and source, which are the builder's own; everything else must agree to the byte.
fn mask(config: &[u8]) -> Vec<u8> {
    let launcher = r#"\\"launcher\\":\{\\"version\\":\\"[^"]*\\",\\"source\\":\{\\"git\\":\{[^}]*\}\}\}"#;
    let launcher = Regex::new(launcher).expect("the expression is well-formed");
    launcher.replace_all(config, br#"\"launcher\":MASKED"#.as_slice()).into_owned()
}

/// Returns the config for people to read: indented, and labels that are JSON as such.
fn pretty(config: &[u8]) -> Result<Vec<u8>, DumpError> {
    let mut json: Json = parse(config, "config")?;
    if let Some(Json::Object(labels)) = json.member("config").and_then(|config| config.member("Labels")) {
        for (_, label) in labels {
            if let Json::String(text) = label
                && let Ok(value) = serde_json::from_str(text)
            {
                *label = value;
            }
        }
    }
    let mut text =
        serde_json::to_vec_pretty(&json).map_err(|source| DumpError::Json { what: "config", source })?;
    text.push(b'\n');
    Ok(text)
}

/// Returns bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_launchers_version_and_source_are_hidden() {
        let label = r#"{\"launcher\":{\"version\":\"0.21.17\",\"source\":{\"git\":{\"repository\":\"r\",\"commit\":\"c\"}}},\"x\":1}"#;
        let masked = String::from_utf8(mask(label.as_bytes())).unwrap();
        assert_eq!(masked, r#"{\"launcher\":MASKED,\"x\":1}"#);
    }

    #[test]
    fn labels_that_are_json_are_shown_as_such() {
        let config = br#"{"config":{"Labels":{"b":"{\"y\":1,\"x\":[]}","a":"not json"}}}"#;
        let expected = "{\n  \"config\": {\n    \"Labels\": {\n      \"b\": {\n        \"y\": 1,\n        \"x\": []\n      },\n      \"a\": \"not json\"\n    }\n  }\n}\n";
        assert_eq!(String::from_utf8(pretty(config).unwrap()).unwrap(), expected);
    }

    #[test]
    fn layers_are_read_in_every_compression() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, b"tar").unwrap();
        for blob in [b"tar".to_vec(), gzip.finish().unwrap(), zstd::encode_all(&b"tar"[..], 1).unwrap()] {
            assert_eq!(uncompressed(blob).unwrap(), b"tar");
        }
    }
}
