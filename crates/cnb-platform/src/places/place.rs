//! The text that names a place, the same for every command: `registry:NAME`, `docker:NAME`, `oci:DIR` and so on.

use std::fmt;
use std::path::Path;

use cnb_image::Destination;
use cnb_image::destination::DestinationError;
use cnb_spec::image_ref::{DEFAULT_REGISTRY, ImageRef, ImageRefError, ImageRefReason};

/// The forms there are, for messages.
const FORMS: &str = "a name, `store:NAME`, `registry:NAME`, `docker:NAME`, `podman:NAME`, `oci:DIR[:TAG]`, \
                     `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`";

/// Where one image, or an index of several, is read from or put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name alone: an image of the local store. Where it is read and the store does not have it, the registry that
    /// the name begins with, if it begins with one.
    Name(ImageRef),
    /// An image of the local store, and of nothing else: `store:NAME`.
    Store(ImageRef),
    /// An image of a registry: `registry:NAME`, or `docker://NAME` as skopeo has it.
    Registry(ImageRef),
    /// An image of a Docker or Podman engine: `docker:NAME`, `podman:NAME`, by name or ID.
    Engine(EngineKind, ImageRef),
    /// A folder or file: `oci:DIR[:TAG]`, `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:NAME]`.
    Files(Destination),
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    /// Docker, as `DOCKER_HOST`, `DOCKER_CONTEXT` or its usual socket say.
    Docker,
    /// Podman, as `CONTAINER_HOST` or its usual sockets say.
    Podman,
}

/// Why a text names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no image: {reason}")]
pub struct PlaceError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// How it may have been meant.
    pub hint: Option<String>,
}

impl Place {
    /// Reads the text of a place; relative paths start at `cwd`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use cnb_platform::Place;
    /// let place = Place::parse(Path::new("/home/me"), "docker://quay.io/me/app").unwrap();
    /// assert_eq!(place.to_string(), "registry:quay.io/me/app");
    /// assert!(Place::parse(Path::new("/"), "docker:/app").is_err());
    /// ```
    pub fn parse(cwd: &Path, text: &str) -> Result<Self, PlaceError> {
        let error = |reason: String, hint: Option<String>| PlaceError { text: text.to_owned(), reason, hint };
        let (kind, rest) = text.split_once(':').unwrap_or(("", text));
        let name = |name: &str| {
            if name.is_empty() {
                let hint = format!("the forms are {FORMS}");
                return Err(error(format!("the name is missing in `{kind}:NAME`"), Some(hint)));
            }
            // The rules of references let this pass, and no registry does.
            if name.starts_with(['/', '.']) {
                return Err(error(
                    "a name does not begin with `/` or `.`".to_owned(),
                    Some(path_hint(kind, name)),
                ));
            }
            name.parse::<ImageRef>().map_err(|e| error(e.reason.to_string(), Some(near_miss(kind, name, &e))))
        };
        match kind {
            "docker" if rest.starts_with("//") => name(&rest[2..]).map(Self::Registry),
            "registry" => name(rest.strip_prefix("//").unwrap_or(rest)).map(Self::Registry),
            "docker" | "docker-daemon" => Ok(Self::Engine(EngineKind::Docker, name(rest)?)),
            "podman" | "containers-storage" => Ok(Self::Engine(EngineKind::Podman, name(rest)?)),
            "store" => name(rest).map(Self::Store),
            "oci" | "oci-archive" | "docker-archive" => match Destination::parse(cwd, text) {
                Ok(files) => Ok(Self::Files(files)),
                Err(DestinationError::NoPath(_) | DestinationError::Unknown(_)) => {
                    let what = if kind == "oci" { "DIR" } else { "FILE" };
                    let hint = format!("write `{kind}:{what}`");
                    Err(error("the path is missing".to_owned(), Some(hint)))
                }
            },
            _ => name(text).map(Self::Name),
        }
    }

    /// Returns the name of the image, where the place has one that other places can take over.
    pub fn name(&self) -> Option<ImageRef> {
        match self {
            Self::Name(name) | Self::Store(name) | Self::Registry(name) | Self::Engine(_, name) => {
                Some(name.clone())
            }
            Self::Files(Destination::Layout { .. }) => None,
            Self::Files(Destination::OciArchive { name, .. } | Destination::DockerArchive { name, .. }) => {
                name.as_deref()?.parse().ok()
            }
        }
    }

    /// Returns whether it can hold an index of images for several platforms.
    pub fn holds_indexes(&self) -> bool {
        matches!(
            self,
            Self::Registry(_) | Self::Files(Destination::Layout { .. } | Destination::OciArchive { .. })
        )
    }
}

/// Returns whether a name, as it was typed, begins with a registry.
pub(crate) fn names_registry(name: &ImageRef) -> bool {
    let typed = name.typed();
    name.registry() != DEFAULT_REGISTRY
        || typed.starts_with("docker.io/")
        || typed.starts_with(&format!("{DEFAULT_REGISTRY}/"))
}

/// Returns what may have been meant by a name that looks like a path.
fn path_hint(kind: &str, name: &str) -> String {
    if kind.is_empty() {
        return format!("for files write `oci:{name}`, `oci-archive:{name}` or `docker-archive:{name}`");
    }
    let plain = name.trim_start_matches(['/', '.']);
    format!(
        "write `registry:{plain}` for the image of a registry, or `docker:{plain}` for that of the engine"
    )
}

/// Returns what may have been meant by a name that is none.
fn near_miss(kind: &str, name: &str, error: &ImageRefError) -> String {
    if matches!(error.reason, ImageRefReason::RepositoryCharacter(_)) {
        let lower = name.to_lowercase();
        if lower != name && lower.parse::<ImageRef>().is_ok() {
            let kind = if kind.is_empty() || name.starts_with(kind) { "" } else { &format!("{kind}:") };
            return format!("write `{kind}{lower}`");
        }
    }
    format!("the forms are {FORMS}")
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.typed()),
            Self::Store(name) => write!(f, "store:{}", name.typed()),
            Self::Registry(name) => write!(f, "registry:{}", name.typed()),
            Self::Engine(kind, name) => write!(f, "{kind}:{}", name.typed()),
            Self::Files(files) => files.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = Place::parse(Path::new("/cwd"), text).unwrap();
        assert_eq!(found.to_string(), expected);
        assert_eq!(Place::parse(Path::new("/"), expected), Ok(found), "what is shown means the same");
    }

    #[test]
    fn every_place_has_its_form_and_skopeos_are_understood() {
        check("app", "app");
        check("localhost:5000/app:v1", "localhost:5000/app:v1");
        check("store:app:v1", "store:app:v1");
        check("registry:localhost:5000/app", "registry:localhost:5000/app");
        check("docker://quay.io/me/app:v1", "registry:quay.io/me/app:v1");
        check("docker:app", "docker:app");
        check("docker-daemon:app:v1", "docker:app:v1");
        check("podman:localhost/app", "podman:localhost/app");
        check("containers-storage:app", "podman:app");
        check("oci:out:v1", "oci:/cwd/out:v1");
        check("oci-archive:a.tar:app:v1", "oci-archive:/cwd/a.tar:app:v1");
        check("docker-archive:a.tar", "docker-archive:/cwd/a.tar");
    }

    #[track_caller]
    fn refused(text: &str, reason: &str, hint: &str) {
        let error = Place::parse(Path::new("/cwd"), text).unwrap_err();
        assert_eq!(error.to_string(), format!("`{text}` names no image: {reason}"));
        assert!(error.hint.as_deref().unwrap_or_default().starts_with(hint), "{:?}", error.hint);
    }

    #[test]
    fn near_misses_are_corrected() {
        let allowed = "may only have lower-case letters, digits and `_`, `-`, `.`, `/`";
        let path = "a name does not begin with `/` or `.`";
        refused(
            "docker:/app/x",
            path,
            "write `registry:app/x` for the image of a registry, or `docker:app/x`",
        );
        refused("./app.tar", path, "for files write `oci:./app.tar`, `oci-archive:./app.tar`");
        refused("oci:", "the path is missing", "write `oci:DIR`");
        refused("oci-archive:", "the path is missing", "write `oci-archive:FILE`");
        refused("registry:", "the name is missing in `registry:NAME`", "the forms are a name, ");
        refused("MyApp", &format!("the repository `MyApp` {allowed}"), "write `myapp`");
        refused("docker:MyApp", &format!("the repository `MyApp` {allowed}"), "write `docker:myapp`");
        refused("tar:x y", "the tag `x y` may only have letters, digits and `_`, `-`, `.`", "the forms are");
    }

    #[test]
    fn a_name_says_whether_it_begins_with_a_registry() {
        for (name, expected) in
            [("app", false), ("me/app", false), ("docker.io/app", true), ("localhost:5000/app", true)]
        {
            assert_eq!(names_registry(&name.parse().unwrap()), expected, "{name}");
        }
    }
}
