//! Run images made by tests.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Writes an OCI layout to `layout`: an image of one uncompressed layer with what is in `tree`.
///
/// `config` is merged into the image's config, where it may hold `Env`, `User`, `Labels` and so on. The same
/// tree and config give the same bytes. Made by other code than the product's, so that the product can be
/// checked against it.
pub fn scratch_layout(layout: &Path, tree: &Path, config: &Value) -> io::Result<()> {
    fs_err::create_dir_all(layout.join("blobs/sha256"))?;
    let tar = tar_of(tree)?;
    let diff_id = digest(&tar);
    let layer = blob(layout, "application/vnd.oci.image.layer.v1.tar", &tar)?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let image = json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "test"}],
    });
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", image.to_string().as_bytes())?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = blob(layout, media_type, manifest.to_string().as_bytes())?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs_err::write(layout.join("index.json"), index.to_string())?;
    fs_err::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// Stores a blob and returns its descriptor.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
    let digest = digest(bytes);
    fs_err::write(layout.join("blobs").join(digest.replace(':', "/")), bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}

fn digest(bytes: &[u8]) -> String {
    let hex: Vec<String> = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// Returns the tree as a tar, sorted, with fixed times and owners.
fn tar_of(tree: &Path) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.mode(tar::HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    add(&mut builder, tree, Path::new(""))?;
    builder.into_inner()
}

fn add(builder: &mut tar::Builder<impl Write>, tree: &Path, dir: &Path) -> io::Result<()> {
    let mut entries = fs_err::read_dir(tree.join(dir))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let path = dir.join(entry.file_name());
        builder.append_path_with_name(entry.path(), &path)?;
        if entry.file_type()?.is_dir() {
            add(builder, tree, &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn two_layouts_of_one_tree_are_equal_and_their_blobs_are_what_they_are_called() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs_err::create_dir_all(tree.join("etc")).unwrap();
        fs_err::write(tree.join("etc/passwd"), "cnb:x:1001:1000::/home/cnb:/bin/sh\n").unwrap();
        symlink("etc", tree.join("link")).unwrap();
        let index = ["a", "b"].map(|name| {
            scratch_layout(&dir.path().join(name), &tree, &json!({"User": "cnb"})).unwrap();
            fs_err::read_to_string(dir.path().join(name).join("index.json")).unwrap()
        });
        assert_eq!(index[0], index[1]);
        for entry in fs_err::read_dir(dir.path().join("a/blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let bytes = fs_err::read(entry.path()).unwrap();
            assert_eq!(digest(&bytes), format!("sha256:{}", entry.file_name().to_str().unwrap()));
        }
        assert_eq!(fs_err::read_dir(dir.path().join("a/blobs/sha256")).unwrap().count(), 3);
    }
}
