//! Where an image is put beside the local store: `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`.

use std::fmt;
use std::path::Path;

use cnb_fs::HostPath;
use cnb_spec::image_ref::ImageRef;

use crate::image::Image;
use crate::layout::Layout;
use crate::{ImageError, archive};

/// Where an image is put, beside registries and engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A folder with an OCI layout, under a tag in it.
    Layout {
        /// The folder.
        dir: HostPath,
        /// The tag, that of the image's name if there is none.
        tag: Option<String>,
    },
    /// A tar of an OCI layout.
    OciArchive {
        /// The file.
        file: HostPath,
    },
    /// A tar that `docker load` and `podman load` take.
    DockerArchive {
        /// The file.
        file: HostPath,
    },
}

/// Why a text is no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The part before the colon is not known, or there is none.
    #[error("`{0}` is no destination: expected `oci:DIR[:TAG]`, `oci-archive:FILE` or `docker-archive:FILE`")]
    Unknown(String),
    /// There is nothing behind the colon.
    #[error("`{0}` names no file or folder")]
    NoPath(String),
}

impl Destination {
    /// Reads the text of a destination; relative paths start at `cwd`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use cnb_image::destination::Destination;
    /// let found = Destination::parse(Path::new("/home/me"), "oci:out:v1").unwrap();
    /// assert_eq!(found.to_string(), "oci:/home/me/out:v1");
    /// ```
    pub fn parse(cwd: &Path, text: &str) -> Result<Self, DestinationError> {
        let (kind, path) = text.split_once(':').ok_or_else(|| DestinationError::Unknown(text.to_owned()))?;
        let at = |path: &str| {
            if path.is_empty() {
                Err(DestinationError::NoPath(text.to_owned()))
            } else {
                Ok(HostPath::new(cwd, path))
            }
        };
        match kind {
            "oci" => match path.rsplit_once(':') {
                Some((dir, tag)) if !tag.contains('/') && !tag.is_empty() => {
                    Ok(Self::Layout { dir: at(dir)?, tag: Some(tag.to_owned()) })
                }
                _ => Ok(Self::Layout { dir: at(path)?, tag: None }),
            },
            "oci-archive" => Ok(Self::OciArchive { file: at(path)? }),
            "docker-archive" => Ok(Self::DockerArchive { file: at(path)? }),
            _ => Err(DestinationError::Unknown(text.to_owned())),
        }
    }

    /// Writes `image` there; nothing half-written is ever seen under the final name.
    pub fn write(&self, image: &Image, names: &[ImageRef]) -> Result<(), ImageError> {
        match self {
            Self::Layout { dir, tag } => {
                let layout = Layout::create(dir)?;
                let by_name = names.first().and_then(ImageRef::tag);
                layout.write(image, tag.as_deref().or(by_name).unwrap_or("latest"))
            }
            Self::OciArchive { file } => archive::write_oci(file, image, names),
            Self::DockerArchive { file } => archive::write_docker(file, image, names),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { dir, tag: Some(tag) } => write!(f, "oci:{dir}:{tag}"),
            Self::Layout { dir, tag: None } => write!(f, "oci:{dir}"),
            Self::OciArchive { file } => write!(f, "oci-archive:{file}"),
            Self::DockerArchive { file } => write!(f, "docker-archive:{file}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = Destination::parse(Path::new("/cwd"), text);
        assert_eq!(found.map_or_else(|e| e.to_string(), |d| d.to_string()), expected);
    }

    #[test]
    fn paths_are_made_absolute_and_a_tag_is_what_has_no_slash() {
        check("oci:out", "oci:/cwd/out");
        check("oci:/a/b:v1", "oci:/a/b:v1");
        check("oci:/a:b/c", "oci:/a:b/c");
        check("oci-archive:x.tar", "oci-archive:/cwd/x.tar");
        check("docker-archive:a:b.tar", "docker-archive:/cwd/a:b.tar");
    }

    #[test]
    fn what_is_not_known_is_named() {
        let form = "expected `oci:DIR[:TAG]`, `oci-archive:FILE` or `docker-archive:FILE`";
        check("x", &format!("`x` is no destination: {form}"));
        check("tar:x", &format!("`tar:x` is no destination: {form}"));
        check("oci:", "`oci:` names no file or folder");
    }
}
