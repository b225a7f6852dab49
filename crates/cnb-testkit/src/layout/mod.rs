//! Images made by tests, by other code than the product's, so that the product can be checked against it.

mod big;
mod gzip;
mod image;
mod tree;

use std::io;
use std::path::Path;

use serde_json::Value;

pub use big::{BigLayer, Fill};
pub use image::{Image, Layer};

pub(crate) use image::{Made, Source, make_index};

/// Writes an OCI layout to `layout`: an image of one uncompressed layer with what is in `tree`.
///
/// `config` is merged into the image's config, where it may hold `Env`, `User`, `Labels` and so on. The same
/// tree and config give the same bytes.
pub fn scratch_layout(layout: &Path, tree: &Path, config: &Value) -> io::Result<()> {
    let image = Image { config: config.clone(), ..Image::new(vec![Layer::Tree(tree.to_owned())]) };
    write_layout(layout, &image).map(|_| ())
}

/// Writes an image as an OCI layout; returns the digest of its manifest.
pub fn write_layout(layout: &Path, image: &Image) -> io::Result<String> {
    image::write(layout, &image.make()?)
}

/// Writes images of several platforms as an OCI layout; returns the digest of their index.
pub fn write_index_layout(layout: &Path, images: &[Image]) -> io::Result<String> {
    image::write(layout, &make_index(images)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;
    use crate::peers::{available, run};
    use serde_json::json;
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

    /// An image with a layer of each kind.
    fn image(architecture: &str) -> Image {
        let layers = vec![
            Layer::Files(vec![("etc/motd".to_owned(), format!("hello {architecture}\n"))]),
            Layer::Big(BigLayer::new("data/big", 100_000, Fill::Random(1)).unwrap()),
        ];
        Image { platform: ("linux".to_owned(), architecture.to_owned()), ..Image::new(layers) }
    }

    #[test]
    fn umoci_unpacks_an_image_of_several_layers() {
        if !available(&["umoci"]) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        write_layout(&dir.path().join("layout"), &image("amd64")).unwrap();
        // umoci finds images by a tag.
        let index = dir.path().join("layout/index.json");
        let mut tagged: Value = serde_json::from_slice(&fs_err::read(&index).unwrap()).unwrap();
        tagged["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
        fs_err::write(index, tagged.to_string()).unwrap();
        run("umoci", &["unpack", "--rootless", "--image", "layout:v1", "bundle"], dir.path());
        let root = dir.path().join("bundle/rootfs");
        assert_eq!(fs_err::read_to_string(root.join("etc/motd")).unwrap(), "hello amd64\n");
        assert_eq!(fs_err::metadata(root.join("data/big")).unwrap().len(), 100_000);
    }

    #[test]
    fn skopeo_copies_all_platforms_of_an_index() {
        if !available(&["skopeo"]) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let digest =
            write_index_layout(&dir.path().join("layout"), &[image("amd64"), image("arm64")]).unwrap();
        let copy = ["--insecure-policy", "copy", "--all", "--preserve-digests", "oci:layout", "oci:copy"];
        run("skopeo", &copy, dir.path());
        let copied = fs_err::read_to_string(dir.path().join("copy/index.json")).unwrap();
        assert!(copied.contains(&digest), "{copied}");
    }
}
