//! Images in files, to be read or to be put there: `oci:DIR[:TAG]`, `oci-archive:FILE[:NAME]`,
//! `docker-archive:FILE[:NAME]`.

use std::fmt;
use std::path::Path;

use cnb_fs::HostPath;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::Platform;

use crate::image::Image;
use crate::layout::Layout;
use crate::tree::Tree;
use crate::{ImageError, archive};

/// Where an image is or is put, beside registries and engines.
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
        /// The name in it.
        name: Option<String>,
    },
    /// A tar that `docker load` and `podman load` take.
    DockerArchive {
        /// The file.
        file: HostPath,
        /// The name in it.
        name: Option<String>,
    },
}

/// Why a text is no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The part before the colon is not known, or there is none.
    #[error(
        "`{0}` is no destination: expected `oci:DIR[:TAG]`, `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`"
    )]
    Unknown(String),
    /// There is nothing behind the colon.
    #[error("`{0}` names no file or folder")]
    NoPath(String),
}

impl Destination {
    /// Reads the text of a destination; relative paths start at `cwd`.
    ///
    /// The file of an archive ends at the first colon, as for skopeo.
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
            "oci-archive" | "docker-archive" => {
                let (file, name) = path.split_once(':').map_or((path, ""), |(file, name)| (file, name));
                let (file, name) = (at(file)?, Some(name.to_owned()).filter(|name| !name.is_empty()));
                Ok(if kind == "oci-archive" {
                    Self::OciArchive { file, name }
                } else {
                    Self::DockerArchive { file, name }
                })
            }
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
            Self::OciArchive { file, name } => {
                archive::write_oci(file, image, &named(name.as_deref(), names))
            }
            Self::DockerArchive { file, name } => {
                archive::write_docker(file, image, &named(name.as_deref(), names))
            }
        }
    }

    /// Reads the image that is there, for `platform` (any, if there is none); the layers stay where they are.
    ///
    /// # Errors
    /// When nothing is there, or several images and nothing to choose by.
    pub fn read(&self, platform: Option<&Platform>) -> Result<Image, ImageError> {
        match self {
            Self::Layout { dir, tag } => Layout::open(dir)?.find(tag.as_deref(), platform),
            Self::OciArchive { file, name } => {
                named_in_archive(name.as_deref(), |name| archive::read_oci(file, name, platform))
            }
            Self::DockerArchive { file, name } => archive::read_docker(file, name.as_deref()),
        }
    }

    /// Reads what is there as it is; `None` for a Docker archive, which has no documents that could be kept.
    pub fn tree(&self) -> Result<Option<Tree>, ImageError> {
        match self {
            Self::Layout { dir, tag } => Layout::open(dir)?.tree(tag.as_deref()).map(Some),
            Self::OciArchive { file, name } => {
                named_in_archive(name.as_deref(), |name| archive::read_oci_tree(file, name)).map(Some)
            }
            Self::DockerArchive { .. } => Ok(None),
        }
    }
}

/// The name that is part of the destination comes before all others.
fn named(own: Option<&str>, names: &[ImageRef]) -> Vec<ImageRef> {
    match own.and_then(|own| own.parse().ok()) {
        Some(own) => vec![own],
        None => names.to_vec(),
    }
}

/// Reads by a name as it is, and then in the form that engines write.
fn named_in_archive<T>(
    name: Option<&str>,
    read: impl Fn(Option<&str>) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let found = read(name);
    let (Err(ImageError::NotFound { .. }), Some(parsed)) =
        (&found, name.and_then(|name| name.parse::<ImageRef>().ok()))
    else {
        return found;
    };
    read(Some(&archive::docker_name(&parsed))).or(found)
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { dir, tag: Some(tag) } => write!(f, "oci:{dir}:{tag}"),
            Self::Layout { dir, tag: None } => write!(f, "oci:{dir}"),
            Self::OciArchive { file, name } => write!(f, "oci-archive:{file}{}", Colon(name.as_deref())),
            Self::DockerArchive { file, name } => {
                write!(f, "docker-archive:{file}{}", Colon(name.as_deref()))
            }
        }
    }
}

/// A name after its colon, if there is one.
struct Colon<'a>(Option<&'a str>);

impl fmt::Display for Colon<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, ":{name}"))
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
        check("docker-archive:x.tar:r.io/app:v1", "docker-archive:/cwd/x.tar:r.io/app:v1");
        check("oci-archive:x.tar:", "oci-archive:/cwd/x.tar");
    }

    #[test]
    fn what_is_not_known_is_named() {
        let form = "expected `oci:DIR[:TAG]`, `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`";
        check("x", &format!("`x` is no destination: {form}"));
        check("tar:x", &format!("`tar:x` is no destination: {form}"));
        check("oci:", "`oci:` names no file or folder");
    }
}
