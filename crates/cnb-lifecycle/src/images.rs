//! Where images are: registries, an engine, or a directory of OCI layouts; with one way to read and save them.

use std::path::{Component, Path};

use cnb_daemon::{Engine, EngineError};
use cnb_fs::HostPath;
use cnb_image::layout::REF_NAME;
use cnb_image::media::Family;
use cnb_image::{Image, ImageError, Layout};
use cnb_registry::{Registry, RegistryError, RegistryErrorKind};
use cnb_spec::digest::Digest;
use cnb_spec::image_ref::{ImageRef, ImageRefError};

/// Where images are.
#[derive(Debug)]
pub enum Images {
    /// In registries.
    Registry(Registry),
    /// In a Docker or Podman engine.
    Engine(Engine),
    /// In an engine that could not be reached, which matters once something is asked of it.
    NoEngine(EngineError),
    /// In OCI layouts, `<dir>/<registry>/<repository>/<tag>` each (requirement B82).
    Layouts(HostPath),
}

/// An image that was asked for by name.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The name as it is shown: as given, or the path of a layout.
    pub name: String,
    /// The reference by which exactly this image can be read again (A16); empty when there is no image.
    pub reference: String,
    /// The image, if there is one.
    pub image: Option<Image>,
}

/// Why an image could not be read or saved.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The name is no reference.
    #[error(transparent)]
    Reference(#[from] ImageRefError),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine could not be reached.
    #[error("{0}")]
    NoEngine(String),
    /// The image or its layout cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A reference of a layout has no digest.
    #[error("parsing identifier '{0}': expected `<path>@<digest>`")]
    Identifier(String),
    /// The name of a layout would lead out of the layout directory.
    #[error("the image name '{0}' leads out of the layout directory")]
    Outside(String),
}

impl ImagesError {
    /// Returns whether another try within seconds has a chance (B22).
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Registry(error) => match error.kind {
                RegistryErrorKind::Unreachable => true,
                RegistryErrorKind::Status(code) => !matches!(code, 400 | 401 | 403 | 405 | 429),
                _ => false,
            },
            _ => false,
        }
    }
}

/// What saving an image gave.
#[derive(Debug)]
pub struct Saved {
    /// What identifies the image: a manifest digest, an image ID, or a layout with its digest.
    pub identity: Identity,
    /// The size of the manifest; `None` where there is none.
    pub manifest_size: Option<u64>,
    /// The names in the order given, with why one could not be written.
    pub names: Vec<(String, Option<ImagesError>)>,
}

/// What identifies a saved image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The digest of the manifest in a registry.
    Digest(Digest),
    /// The image ID in an engine, without `sha256:` (A16).
    ImageId(String),
    /// A layout and the digest of the manifest in it.
    Layout(String),
}

impl Images {
    /// Returns whether names are those of registries.
    pub fn are_remote(&self) -> bool {
        matches!(self, Self::Registry(_))
    }

    /// Looks for the image called `name`: a reference, an image ID, or what an earlier phase called it.
    pub fn look(&self, name: &str) -> Result<Looked, ImagesError> {
        match self {
            Self::Registry(registry) => look_in_registry(registry, name),
            Self::Engine(engine) => {
                // Inspecting does not tell every key of the config, so the ID is asked for.
                let image = engine.image(name)?;
                let id = if image.is_some() { engine.id(name)? } else { None };
                let reference = id.map(|id| id.hex()).unwrap_or_default();
                Ok(Looked { name: name.to_owned(), reference, image })
            }
            Self::NoEngine(error) => Err(ImagesError::NoEngine(error.to_string())),
            Self::Layouts(dir) => look_in_layout(&layout_path(dir, name)?, None),
        }
    }

    /// Reads the image that an earlier phase identified by `reference`.
    pub fn by_reference(&self, reference: &str) -> Result<Looked, ImagesError> {
        let Self::Layouts(_) = self else { return self.look(reference) };
        let bad = || ImagesError::Identifier(reference.to_owned());
        let (path, digest) = reference.split_once('@').ok_or_else(bad)?;
        let digest: Digest = digest.parse().map_err(|_| bad())?;
        look_in_layout(&HostPath::absolute(path), Some(&digest))
    }

    /// Returns whether all layers of the image called `name` are where it says (B29).
    pub fn is_whole(&self, name: &str, image: &Image) -> Result<bool, ImagesError> {
        match self {
            Self::Registry(registry) => Ok(registry.has_layers(&name.parse()?, image)?),
            Self::Layouts(_) => Ok(image.layers().iter().all(cnb_image::ImageLayer::is_present)),
            Self::Engine(_) | Self::NoEngine(_) => Ok(true),
        }
    }

    /// Returns what `name` is shown as when an image is saved under it.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Self::Layouts(dir) => {
                layout_path(dir, name).map_or_else(|_| name.to_owned(), |path| path.to_string())
            }
            _ => name.to_owned(),
        }
    }

    /// Saves `image` under each of `names`; one that cannot be written does not keep others from it (B75).
    ///
    /// # Errors
    /// Only when nothing could be tried at all.
    pub fn save(&self, image: &Image, names: &[String]) -> Result<Saved, ImagesError> {
        let size = image.manifest_bytes().len() as u64;
        match self {
            Self::Registry(registry) => {
                let push = |name: &String| -> Result<(), ImagesError> {
                    registry.push(image, &name.parse()?, &|_| {})?;
                    Ok(())
                };
                let names = names.iter().map(|n| (n.clone(), push(n).err())).collect();
                Ok(Saved { identity: Identity::Digest(image.digest()), manifest_size: Some(size), names })
            }
            Self::Engine(engine) => Ok(save_in_engine(engine, image, names)),
            Self::NoEngine(error) => Err(ImagesError::NoEngine(error.to_string())),
            Self::Layouts(dir) => {
                let image = &if image.family() == Family::Docker {
                    image.in_family(Family::Oci)?
                } else {
                    image.clone()
                };
                let write = |name: &String| -> Result<(), ImagesError> {
                    let reference: ImageRef = name.parse()?;
                    let layout = Layout::create(&layout_path(dir, name)?)?;
                    let stored = image.store(layout.store())?;
                    let mut descriptor = stored.descriptor();
                    let tag = reference
                        .tag()
                        .map_or_else(|| reference.digest().map(ToString::to_string), |t| Some(t.to_owned()));
                    descriptor.annotations.insert(REF_NAME.to_owned(), tag.unwrap_or_default());
                    layout.update(|index| index.manifests = vec![descriptor])?;
                    Ok(())
                };
                let results: Vec<_> = names.iter().map(|n| (self.shown(n), write(n).err())).collect();
                let first = results.first().map(|(name, _)| name.clone()).unwrap_or_default();
                let identity = Identity::Layout(format!("{first}@{}", image.digest()));
                Ok(Saved { identity, manifest_size: Some(size), names: results })
            }
        }
    }
}

/// Looks for an image in its registry; one that may not be seen is as one that is not there (B21).
pub fn look_in_registry(registry: &Registry, name: &str) -> Result<Looked, ImagesError> {
    let reference: ImageRef = name.parse()?;
    let image = match registry.image(&reference, None) {
        Ok(image) => Some(image),
        Err(e) if is_absence(e.kind) => None,
        Err(e) => return Err(e.into()),
    };
    let digest = image.as_ref().map(|i| format!("{}@{}", reference.repository(), i.digest()));
    Ok(Looked { name: name.to_owned(), reference: digest.unwrap_or_default(), image })
}

fn is_absence(kind: RegistryErrorKind) -> bool {
    matches!(
        kind,
        RegistryErrorKind::NotFound | RegistryErrorKind::Unauthorized | RegistryErrorKind::NoPlatform
    )
}

fn look_in_layout(path: &HostPath, digest: Option<&Digest>) -> Result<Looked, ImagesError> {
    let missing = Looked { name: path.to_string(), reference: String::new(), image: None };
    if !path.join("index.json").as_path().exists() {
        return Ok(missing);
    }
    let layout = Layout::open(path)?;
    let index = layout.index()?;
    let chosen = match digest {
        Some(digest) => index.manifests.iter().find(|d| d.digest == *digest),
        None => index.manifests.first(),
    };
    let Some(descriptor) = chosen else { return Ok(missing) };
    let image = layout.image(descriptor)?;
    Ok(Looked { reference: format!("{path}@{}", image.digest()), image: Some(image), ..missing })
}

/// Returns the layout of an image: `<dir>/<registry>/<repository>/<tag>`, or `…/<algorithm>/<hex>` for a digest.
///
/// A path below `dir`, as earlier phases write it, is taken as it is.
fn layout_path(dir: &HostPath, name: &str) -> Result<HostPath, ImagesError> {
    let path = Path::new(name);
    if path.starts_with(dir.as_path()) && !path.components().any(|c| c == Component::ParentDir) {
        return Ok(HostPath::absolute(path));
    }
    let reference: ImageRef = name.parse()?;
    if Path::new(reference.path())
        .components()
        .any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
    {
        return Err(ImagesError::Outside(name.to_owned()));
    }
    let last = match reference.digest() {
        Some(digest) => format!("sha256/{}", digest.hex()),
        None => reference.tag().unwrap_or_default().to_owned(),
    };
    Ok(dir.join(reference.registry()).join(reference.path()).join(last))
}

fn save_in_engine(engine: &Engine, image: &Image, names: &[String]) -> Saved {
    let parsed: Vec<(String, Result<ImageRef, ImageRefError>)> =
        names.iter().map(|n| (n.clone(), n.parse())).collect();
    let good: Vec<ImageRef> = parsed.iter().filter_map(|(_, r)| r.as_ref().ok().cloned()).collect();
    let (first, rest) = good.split_at(good.len().min(1));
    let loaded = engine.load(image, first);
    let mut results = Vec::new();
    for (name, reference) in parsed {
        let error = match (&loaded, reference) {
            (_, Err(e)) => Some(e.into()),
            (Err(e), Ok(_)) => Some(ImagesError::NoEngine(describe(e))),
            (Ok(id), Ok(reference)) if rest.contains(&reference) => {
                engine.tag(id, &reference).err().map(ImagesError::from)
            }
            (Ok(_), Ok(_)) => None,
        };
        results.push((name, error));
    }
    let id = loaded.unwrap_or_else(|_| image.id());
    Saved { identity: Identity::ImageId(id.hex()), manifest_size: None, names: results }
}

/// Returns an error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let dir = HostPath::absolute("/layout");
        assert_eq!(layout_path(&dir, name).unwrap().to_string(), expected);
    }

    #[test]
    fn a_layout_lies_where_its_name_says() {
        check("reg.test/team/app:v1", "/layout/reg.test/team/app/v1");
        check("app", "/layout/index.docker.io/library/app/latest");
        check("/layout/reg.test/team/app/v1", "/layout/reg.test/team/app/v1");
        let hex = "ab".repeat(32);
        check(&format!("r.io/app@sha256:{hex}"), &format!("/layout/r.io/app/sha256/{hex}"));
        for outside in ["/layout/../etc", "reg.test/../../etc", "/etc/app"] {
            assert!(layout_path(&HostPath::absolute("/layout"), outside).is_err(), "{outside}");
        }
    }
}
