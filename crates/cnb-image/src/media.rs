//! Media types: which document or layer a blob is.

use oci_spec::image::MediaType;

/// The Docker manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The Docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The Docker config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// The Docker layer, plain.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Which family of media types an image has: its manifest decides for config and layers (J35).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `application/vnd.oci.image.*`
    Oci,
    /// `application/vnd.docker.*`
    Docker,
}

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Whether a descriptor leads to a manifest or to an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// A manifest of one image, of this family.
    Manifest(Family),
    /// A list of manifests, usually one for each platform.
    Index,
}

impl Family {
    /// Returns the media type of the manifest.
    pub fn manifest(self) -> String {
        match self {
            Self::Oci => MediaType::ImageManifest.to_string(),
            Self::Docker => DOCKER_MANIFEST.to_owned(),
        }
    }

    /// Returns the media type of the config.
    pub fn config(self) -> String {
        match self {
            Self::Oci => MediaType::ImageConfig.to_string(),
            Self::Docker => DOCKER_CONFIG.to_owned(),
        }
    }

    /// Returns the media type of a layer; Docker has none for Zstandard, so that one stays OCI's.
    pub fn layer(self, compression: Compression) -> String {
        match (self, compression) {
            (Self::Oci, Compression::None) => MediaType::ImageLayer.to_string(),
            (Self::Oci, Compression::Gzip) => MediaType::ImageLayerGzip.to_string(),
            (Self::Oci | Self::Docker, Compression::Zstd) => MediaType::ImageLayerZstd.to_string(),
            (Self::Docker, Compression::None) => DOCKER_LAYER.to_owned(),
            (Self::Docker, Compression::Gzip) => DOCKER_LAYER_GZIP.to_owned(),
        }
    }
}

/// Returns how a layer of this media type is packed, `None` when it is no layer that can be read.
pub fn compression(media_type: &str) -> Option<Compression> {
    Some(match MediaType::from(media_type) {
        MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => Compression::None,
        MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => Compression::Gzip,
        MediaType::ImageLayerZstd | MediaType::ImageLayerNonDistributableZstd => Compression::Zstd,
        MediaType::Other(other) => match other.as_str() {
            DOCKER_LAYER => Compression::None,
            DOCKER_LAYER_GZIP | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
                Compression::Gzip
            }
            "application/vnd.docker.image.rootfs.diff.tar.zstd" => Compression::Zstd,
            _ => return None,
        },
        _ => return None,
    })
}

/// Returns what a document of this media type is, `None` when it is neither manifest nor index.
pub fn document(media_type: &str) -> Option<Document> {
    Some(match MediaType::from(media_type) {
        MediaType::ImageManifest => Document::Manifest(Family::Oci),
        MediaType::ImageIndex => Document::Index,
        MediaType::Other(other) if other == DOCKER_MANIFEST => Document::Manifest(Family::Docker),
        MediaType::Other(other) if other == DOCKER_INDEX => Document::Index,
        _ => return None,
    })
}

/// Returns the media type of an OCI index.
pub fn index() -> String {
    MediaType::ImageIndex.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_written_can_be_read() {
        for family in [Family::Oci, Family::Docker] {
            assert_eq!(document(&family.manifest()), Some(Document::Manifest(family)));
            for packed in [Compression::None, Compression::Gzip, Compression::Zstd] {
                assert_eq!(compression(&family.layer(packed)), Some(packed));
            }
        }
        assert_eq!(document(&index()), Some(Document::Index));
        assert_eq!(compression("application/json"), None);
    }
}
