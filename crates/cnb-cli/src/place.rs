//! Places as they are typed: caches, outputs, run images, volumes, registries.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use cnb_platform::{Cache, EngineKind, GuestPath, HostPath, ImagePlatform, ImageRef, Output, Place, Volume};
use cnb_registry::credentials::login::{self, LoginFile};

use crate::error::{CliError, Usage};
use crate::world::World;

/// The registry that is meant where none is named.
const HUB: &str = "docker.io";

/// Reads the value of `--cache`: `dir:PATH`, `registry:NAME`, or `pack`'s `type=build;format=bind;source=PATH`.
pub(crate) fn cache(typed: &OsStr, cwd: &Path) -> Result<Vec<Cache>, Usage> {
    let shown = typed.to_string_lossy();
    if let Some(path) = after(typed, "dir:") {
        return Ok(vec![Cache::Dir(folder(path, cwd, "--cache dir:PATH")?)]);
    }
    if let Some(name) = shown.strip_prefix("registry:") {
        return Ok(vec![cache_image(name)?]);
    }
    if shown.contains('=') {
        return packs_cache(&shown, cwd);
    }
    Err(Usage::new(format!("invalid cache `{shown}`: it does not say what it is"))
        .hint(format!("for a folder write `--cache dir:{shown}`")))
}

fn cache_image(typed: &str) -> Result<Cache, Usage> {
    let name: ImageRef =
        typed.parse().map_err(|e| Usage::new(format!("invalid cache `registry:{typed}`: {e}")))?;
    if name.digest().is_some() {
        return Err(Usage::new(format!("invalid cache `registry:{typed}`: a digest cannot be written to"))
            .hint("name a tag: `--cache registry:NAME:TAG`"));
    }
    Ok(Cache::Registry(name))
}

/// Reads `pack`'s spelling; one value may describe several caches.
fn packs_cache(typed: &str, cwd: &Path) -> Result<Vec<Cache>, Usage> {
    let invalid = |problem: &str| {
        Usage::new(format!("invalid cache `{typed}`: {problem}"))
            .hint("write `--cache dir:PATH`, or `--cache registry:NAME`")
    };
    // Each is its type, its format, and its source or name.
    let mut caches: Vec<(&str, &str, Option<&str>)> = Vec::new();
    for field in typed.split(';').map(str::trim).filter(|f| !f.is_empty()) {
        let (key, value) =
            field.split_once('=').ok_or_else(|| invalid(&format!("`{field}` is not `key=value`")))?;
        if key == "type" {
            caches.push((value, "volume", None));
            continue;
        }
        if caches.is_empty() {
            caches.push(("build", "volume", None));
        }
        match (key, caches.last_mut()) {
            ("format", Some(cache)) => cache.1 = value,
            ("source" | "name", Some(cache)) => cache.2 = Some(value),
            _ => return Err(invalid(&format!("`{key}` is not one of type, format, name, source"))),
        }
    }
    let mut found = Vec::new();
    for (kind, format, source) in caches {
        match (kind, format, source) {
            ("build", "bind", Some(path)) => {
                found.push(Cache::Dir(folder(OsStr::new(path), cwd, "--cache dir:PATH")?));
            }
            ("build", "bind", None) => return Err(invalid("`source=PATH` is missing")),
            ("build", "volume", _) => {
                return Err(Usage::new(format!(
                    "the cache `{typed}` is a volume of an engine, and there is none"
                ))
                .hint(
                    "leave `--cache` out to keep the cache with the local store, or write `--cache dir:PATH`",
                ));
            }
            ("build", "image", Some(name)) => found.push(cache_image(name)?),
            ("build", "image", None) => return Err(invalid("`name=IMAGE` is missing")),
            ("launch", _, _) => {
                return Err(Usage::new(format!("the launch cache `{typed}` is not needed"))
                    .hint("leave it out: the local store keeps the layers of images"));
            }
            ("build", other, _) => return Err(invalid(&format!("`{other}` is no format"))),
            (other, _, _) => return Err(invalid(&format!("`{other}` is no type"))),
        }
    }
    Ok(found)
}

/// Reads the value of `--output`: an engine, or any place but the local store, where the image goes anyway.
pub(crate) fn output(typed: &OsStr, cwd: &Path) -> Result<Output, Usage> {
    const FORMS: &str = "write `docker`, `podman`, `registry:NAME`, `oci:DIR`, `oci-archive:FILE` or \
                         `docker-archive:FILE`";
    match typed.to_str() {
        Some("docker") => return Ok(Output::Engine(EngineKind::Docker)),
        Some("podman") => return Ok(Output::Engine(EngineKind::Podman)),
        _ => {}
    }
    let shown = typed.to_string_lossy();
    if !shown.contains(':') {
        return Err(Usage::new(format!("invalid output `{shown}`: it does not say what it is")).hint(FORMS));
    }
    match place(typed, cwd)? {
        Place::Store(_) => Err(Usage::new(format!("the output `{shown}` is not needed"))
            .hint("the image is in the local store anyway; `--tag NAME` gives it another name")),
        Place::Name(_) => {
            Err(Usage::new(format!("invalid output `{shown}`: it does not say what it is")).hint(FORMS))
        }
        place => Ok(Output::Place(place)),
    }
}

/// Reads the place of an image.
pub(crate) fn place(typed: &OsStr, cwd: &Path) -> Result<Place, Usage> {
    let Some(text) = typed.to_str() else {
        return Err(Usage::new(format!("`{}` is not UTF-8", typed.to_string_lossy())));
    };
    Place::parse(cwd, text).map_err(|error| {
        // What can only be a name is refused as names are everywhere.
        if !text.contains([':', '/'])
            && let Err(usage) = image(text)
        {
            return usage;
        }
        let usage = Usage::new(error.to_string());
        match error.hint {
            Some(hint) => usage.hint(hint),
            None => usage,
        }
    })
}

/// Reads a platform: `OS/ARCH` or `OS/ARCH/VARIANT`.
pub(crate) fn platform(typed: &str) -> Result<ImagePlatform, Usage> {
    let parts: Vec<&str> = typed.split('/').collect();
    let (os, architecture, variant) = match parts.as_slice() {
        [os, arch] => (os, arch, ""),
        [os, arch, variant] => (os, arch, *variant),
        _ => (&"", &"", ""),
    };
    if os.is_empty() || architecture.is_empty() || (parts.len() == 3 && variant.is_empty()) {
        return Err(Usage::new(format!("invalid platform `{typed}`"))
            .hint("write `OS/ARCH` or `OS/ARCH/VARIANT`: `linux/amd64`, `linux/arm/v7`"));
    }
    Ok(ImagePlatform {
        os: (*os).to_owned(),
        architecture: (*architecture).to_owned(),
        variant: variant.to_owned(),
        ..ImagePlatform::default()
    })
}

/// Reads the name of an image.
pub(crate) fn image(typed: &str) -> Result<ImageRef, Usage> {
    typed.parse().map_err(|error: cnb_platform::ImageRefError| {
        // The reason alone: what comes before it only repeats the name.
        let usage = Usage::new(format!("invalid image name `{typed}`: {}", error.reason));
        let lower = typed.to_lowercase();
        match lower.parse::<ImageRef>() {
            Ok(_) => usage.hint(format!("write `{lower}`")),
            Err(_) => usage,
        }
    })
}

/// Reads the value of `--volume`: `HOST:GUEST`, and `:ro` or `:rw` after it; `writable` where neither is there.
pub(crate) fn volume(typed: &OsStr, cwd: &Path, writable: bool) -> Result<Volume, Usage> {
    let shown = typed.to_string_lossy();
    let invalid = |problem: &str| {
        Usage::new(format!("invalid volume `{shown}`: {problem}"))
            .hint("write `HOST:GUEST`, `HOST:GUEST:ro` or `HOST:GUEST:rw`, where GUEST is an absolute path")
    };
    let parts: Vec<&[u8]> = typed.as_bytes().split(|b| *b == b':').collect();
    let (host, guest, writable) = match parts.as_slice() {
        [host, guest] => (host, guest, writable),
        [host, guest, b"ro"] => (host, guest, false),
        [host, guest, b"rw"] => (host, guest, true),
        [_, _, _] => return Err(invalid("its last part is neither `ro` nor `rw`")),
        [_] => return Err(invalid("it does not say where the folder appears")),
        _ => return Err(invalid("it has too many parts")),
    };
    if host.is_empty() {
        return Err(invalid("HOST is empty"));
    }
    let guest = guest_path(Path::new(OsStr::from_bytes(guest)))
        .ok_or_else(|| invalid("GUEST must be an absolute path below `/`, without `..`"))?;
    Ok(Volume { host: HostPath::new(cwd, OsStr::from_bytes(host)), guest, writable })
}

/// Returns the registry that is meant; none means Docker Hub, as for docker.
pub(crate) fn registry(typed: Option<&str>) -> Result<String, Usage> {
    let typed = typed.unwrap_or(HUB);
    login::registry(typed).ok_or_else(|| {
        let usage = Usage::new(format!("`{typed}` is not a registry"));
        match typed.split_once('/').and_then(|(host, _)| login::registry(host)) {
            Some(host) => usage.hint(format!("name the registry alone: `{host}`")),
            None => usage.hint("write its host, and its port if it has one: `registry.example.com:5000`"),
        }
    })
}

/// Returns a registry's name as people know it.
pub(crate) fn shown(registry: &str) -> &str {
    if login::registry(HUB).as_deref() == Some(registry) { HUB } else { registry }
}

/// Chooses the file with the logins; `typed` is the value of `--authfile`.
pub(crate) fn login_file(typed: Option<&Path>, world: &World) -> Result<LoginFile, CliError> {
    let named = match (typed, &world.cwd) {
        (None, _) => None,
        (Some(path), _) if path.as_os_str().is_empty() => {
            return Err(Usage::new("the path after `--authfile` is empty").into());
        }
        (Some(path), Ok(cwd)) => Some(HostPath::new(cwd, path)),
        (Some(_), Err(e)) => return Err(CliError::CurrentFolder(e.kind().into())),
    };
    Ok(LoginFile::choose(&world.env, named.as_ref())?)
}

/// Takes `path` as one of the guest; it must be absolute, below `/`, and without `..`.
pub(crate) fn guest_path(path: &Path) -> Option<GuestPath> {
    let mut plain = path.is_absolute();
    let mut names = 0;
    for component in path.components() {
        match component {
            Component::ParentDir => plain = false,
            Component::Normal(_) => names += 1,
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    (plain && names > 0).then(|| GuestPath::new(path.components().collect::<std::path::PathBuf>()))
}

fn after<'a>(typed: &'a OsStr, scheme: &str) -> Option<&'a OsStr> {
    typed.as_bytes().strip_prefix(scheme.as_bytes()).map(OsStr::from_bytes)
}

fn folder(path: &OsStr, cwd: &Path, form: &str) -> Result<HostPath, Usage> {
    if path.is_empty() {
        return Err(Usage::new(format!("the path is missing in `{form}`")));
    }
    Ok(HostPath::new(cwd, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CWD: &str = "/home/a";

    #[track_caller]
    fn check_cache(typed: &str, expected: Result<&[&str], &str>) {
        let found = cache(OsStr::new(typed), Path::new(CWD)).map_err(|e| e.to_string());
        let expected = expected
            .map(|paths| paths.iter().map(|path| Cache::Dir(HostPath::absolute(path))).collect())
            .map_err(str::to_owned);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cache_is_a_folder_in_either_spelling() {
        check_cache("dir:cache", Ok(&["/home/a/cache"]));
        check_cache("type=build;format=bind;source=/var/c", Ok(&["/var/c"]));
        check_cache("format=bind;source=c", Ok(&["/home/a/c"]));
    }

    #[test]
    fn a_cache_is_an_image_in_either_spelling() {
        let name = Cache::Registry("r.io/a/cache".parse().unwrap());
        for typed in ["registry:r.io/a/cache", "type=build;format=image;name=r.io/a/cache"] {
            assert_eq!(cache(OsStr::new(typed), Path::new(CWD)).ok(), Some(vec![name.clone()]), "{typed}");
        }
        let digest = format!("registry:r.io/a/b@sha256:{}", "0".repeat(64));
        let error = cache(OsStr::new(&digest), Path::new(CWD)).unwrap_err().to_string();
        assert!(error.ends_with("a digest cannot be written to"), "{error}");
    }

    #[test]
    fn other_caches_are_refused_by_name() {
        check_cache(
            "type=build;format=volume;name=x",
            Err("the cache `type=build;format=volume;name=x` is a volume of an engine, and there is none"),
        );
        check_cache(
            "type=build;format=image",
            Err("invalid cache `type=build;format=image`: `name=IMAGE` is missing"),
        );
        check_cache(
            "type=launch;format=bind;source=x",
            Err("the launch cache `type=launch;format=bind;source=x` is not needed"),
        );
        check_cache("format=bind", Err("invalid cache `format=bind`: `source=PATH` is missing"));
        check_cache(
            "type=build;where=x",
            Err("invalid cache `type=build;where=x`: `where` is not one of type, format, name, source"),
        );
        check_cache("type=build;bind", Err("invalid cache `type=build;bind`: `bind` is not `key=value`"));
        check_cache("type=nix;format=bind", Err("invalid cache `type=nix;format=bind`: `nix` is no type"));
        check_cache(
            "type=build;format=nix",
            Err("invalid cache `type=build;format=nix`: `nix` is no format"),
        );
        check_cache("/tmp/c", Err("invalid cache `/tmp/c`: it does not say what it is"));
        check_cache("dir:", Err("the path is missing in `--cache dir:PATH`"));
    }

    #[test]
    fn an_output_says_what_it_is() {
        let out = |typed: &str| output(OsStr::new(typed), Path::new(CWD)).map_err(|e| e.to_string());
        assert_eq!(out("docker"), Ok(Output::Engine(EngineKind::Docker)));
        assert_eq!(out("podman"), Ok(Output::Engine(EngineKind::Podman)));
        let shown = |typed: &str| match out(typed) {
            Ok(Output::Place(place)) => place.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(shown("oci:x"), "oci:/home/a/x");
        assert_eq!(shown("oci-archive:/x.tar"), "oci-archive:/x.tar");
        assert_eq!(shown("docker-archive:x.tar"), "docker-archive:/home/a/x.tar");
        assert_eq!(shown("registry:r.io/a/b:1"), "registry:r.io/a/b:1");
        assert_eq!(shown("docker:a/b:1"), "docker:a/b:1");
        assert_eq!(out("x.tar"), Err("invalid output `x.tar`: it does not say what it is".to_owned()));
        assert_eq!(out("store:app"), Err("the output `store:app` is not needed".to_owned()));
        assert!(out("oci:").is_err());
    }

    #[test]
    fn a_platform_has_two_or_three_parts() {
        let read = |typed: &str| platform(typed).map(|p| (p.os, p.architecture, p.variant)).ok();
        let parts = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(read("linux/amd64"), parts("linux", "amd64", ""));
        assert_eq!(read("linux/arm/v7"), parts("linux", "arm", "v7"));
        for typed in ["linux", "", "/amd64", "linux/", "linux/arm/", "a/b/c/d"] {
            assert_eq!(read(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_volume_has_two_paths_and_a_mode() {
        let mount = |typed: &str| volume(OsStr::new(typed), Path::new(CWD), false).map_err(|e| e.to_string());
        let expected = |host: &str, writable| {
            Ok(Volume { host: HostPath::absolute(host), guest: GuestPath::new("/g"), writable })
        };
        assert_eq!(mount("/h:/g"), expected("/h", false));
        assert_eq!(mount("h:/g:ro"), expected("/home/a/h", false));
        assert_eq!(mount("/h:/g/:rw"), expected("/h", true));
        let rows = [
            ("/h", "it does not say where the folder appears"),
            ("/h:/g:x", "its last part is neither `ro` nor `rw`"),
            ("/h:/g:ro:rw", "it has too many parts"),
            (":/g", "HOST is empty"),
            ("/h:g", "GUEST must be an absolute path below `/`, without `..`"),
            ("/h:/a/../b", "GUEST must be an absolute path below `/`, without `..`"),
            ("/h:/", "GUEST must be an absolute path below `/`, without `..`"),
        ];
        for (typed, problem) in rows {
            assert_eq!(mount(typed), Err(format!("invalid volume `{typed}`: {problem}")));
        }
    }

    #[test]
    fn a_name_in_capitals_is_refused_with_the_right_one() {
        let error = image("MyApp").unwrap_err();
        assert_eq!(error.advice(), Some("write `myapp`"));
        assert!(error.to_string().starts_with("invalid image name `MyApp`: "), "{error}");
        assert_eq!(image("a@b").unwrap_err().advice(), None);
    }
}
