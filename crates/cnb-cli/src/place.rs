//! Places as they are typed: caches, outputs, run images, volumes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use cnb_platform::{GuestPath, HostPath, ImageRef, Output, RunImageSource, Volume};

use crate::error::Usage;

/// Reads the value of `--cache`: `dir:PATH`, or `pack`'s `type=build;format=bind;source=PATH`.
pub(crate) fn cache(typed: &OsStr, cwd: &Path) -> Result<Vec<HostPath>, Usage> {
    let shown = typed.to_string_lossy();
    if let Some(path) = after(typed, "dir:") {
        return Ok(vec![folder(path, cwd, "--cache dir:PATH")?]);
    }
    if shown.starts_with("registry:") {
        return Err(Usage::new(format!("the cache `{shown}` is not available in this version"))
            .hint("keep the cache in a folder: `--cache dir:PATH`"));
    }
    if shown.contains('=') {
        return packs_cache(&shown, cwd);
    }
    Err(Usage::new(format!("invalid cache `{shown}`: it does not say what it is"))
        .hint(format!("for a folder write `--cache dir:{shown}`")))
}

/// Reads `pack`'s spelling; one value may describe several caches.
fn packs_cache(typed: &str, cwd: &Path) -> Result<Vec<HostPath>, Usage> {
    let invalid = |problem: &str| {
        Usage::new(format!("invalid cache `{typed}`: {problem}"))
            .hint("write `--cache dir:PATH`, or `--cache type=build;format=bind;source=PATH`")
    };
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
            ("source", Some(cache)) => cache.2 = Some(value),
            ("name", _) => {}
            _ => return Err(invalid(&format!("`{key}` is not one of type, format, name, source"))),
        }
    }
    let mut folders = Vec::new();
    for (kind, format, source) in caches {
        match (kind, format, source) {
            ("build", "bind", Some(path)) => folders.push(folder(OsStr::new(path), cwd, "--cache dir:PATH")?),
            ("build", "bind", None) => return Err(invalid("`source=PATH` is missing")),
            ("build", "volume", _) => {
                return Err(Usage::new(format!(
                    "the cache `{typed}` is a volume of an engine, and there is none"
                ))
                .hint(
                    "leave `--cache` out to keep the cache with the local store, or write `--cache dir:PATH`",
                ));
            }
            ("build", "image", _) => {
                return Err(Usage::new(format!(
                    "the cache `{typed}` is an image, which is not available in this version"
                ))
                .hint("keep the cache in a folder: `--cache dir:PATH`"));
            }
            ("launch", _, _) => {
                return Err(Usage::new(format!("the launch cache `{typed}` is not needed"))
                    .hint("leave it out: the local store keeps the layers of images"));
            }
            ("build", other, _) => return Err(invalid(&format!("`{other}` is no format"))),
            (other, _, _) => return Err(invalid(&format!("`{other}` is no type"))),
        }
    }
    Ok(folders)
}

/// Reads the value of `--output`.
pub(crate) fn output(typed: &OsStr, cwd: &Path) -> Result<Output, Usage> {
    if let Some(path) = after(typed, "oci:") {
        return Ok(Output::Layout(folder(path, cwd, "--output oci:DIR")?));
    }
    if let Some(path) = after(typed, "oci-archive:") {
        return Ok(Output::OciArchive(folder(path, cwd, "--output oci-archive:FILE")?));
    }
    if let Some(path) = after(typed, "docker-archive:") {
        return Ok(Output::DockerArchive(folder(path, cwd, "--output docker-archive:FILE")?));
    }
    let shown = typed.to_string_lossy();
    let missing = |hint: &str| {
        Usage::new(format!("the output `{shown}` is not available in this version")).hint(hint.to_owned())
    };
    Err(match shown.split(':').next() {
        Some("docker" | "docker-daemon") => {
            missing("write `--output docker-archive:FILE`, and load it with `docker load --input FILE`")
        }
        Some("podman" | "containers-storage") => {
            missing("write `--output docker-archive:FILE`, and load it with `podman load --input FILE`")
        }
        Some("registry") => {
            missing("write `--output oci:DIR`, and push it with `skopeo copy oci:DIR docker://NAME`")
        }
        _ => Usage::new(format!("invalid output `{shown}`: it does not say what it is"))
            .hint("write `--output oci:DIR`, `--output oci-archive:FILE` or `--output docker-archive:FILE`"),
    })
}

/// Reads the value of `--run-image`.
pub(crate) fn run_image(typed: &OsStr, cwd: &Path) -> Result<RunImageSource, Usage> {
    if let Some(path) = after(typed, "oci:") {
        return Ok(RunImageSource::Layout(folder(path, cwd, "--run-image oci:DIR")?));
    }
    if let Some(path) = after(typed, "oci-archive:") {
        return Ok(RunImageSource::Archive(folder(path, cwd, "--run-image oci-archive:FILE")?));
    }
    let shown = typed.to_string_lossy();
    if shown.starts_with("docker:") || shown.starts_with("docker-archive:") || shown.starts_with("registry:")
    {
        return Err(Usage::new(format!("the run image `{shown}` is not available in this version"))
            .hint("copy it with `skopeo copy docker://NAME oci:DIR`, and write `--run-image oci:DIR`"));
    }
    image(&shown).map(RunImageSource::Store)
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
        let expected =
            expected.map(|paths| paths.iter().map(HostPath::absolute).collect()).map_err(str::to_owned);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cache_is_a_folder_in_either_spelling() {
        check_cache("dir:cache", Ok(&["/home/a/cache"]));
        check_cache("type=build;format=bind;source=/var/c", Ok(&["/var/c"]));
        check_cache("format=bind;source=c", Ok(&["/home/a/c"]));
    }

    #[test]
    fn other_caches_are_refused_by_name() {
        check_cache("registry:a/b", Err("the cache `registry:a/b` is not available in this version"));
        check_cache(
            "type=build;format=volume;name=x",
            Err("the cache `type=build;format=volume;name=x` is a volume of an engine, and there is none"),
        );
        check_cache(
            "type=build;format=image;name=x",
            Err(
                "the cache `type=build;format=image;name=x` is an image, which is not available in this version",
            ),
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
        assert_eq!(out("oci:x"), Ok(Output::Layout(HostPath::absolute("/home/a/x"))));
        assert_eq!(out("oci-archive:/x.tar"), Ok(Output::OciArchive(HostPath::absolute("/x.tar"))));
        assert_eq!(
            out("docker-archive:x.tar"),
            Ok(Output::DockerArchive(HostPath::absolute("/home/a/x.tar")))
        );
        for missing in ["docker", "podman", "registry:a/b"] {
            assert_eq!(out(missing), Err(format!("the output `{missing}` is not available in this version")));
        }
        assert_eq!(out("x.tar"), Err("invalid output `x.tar`: it does not say what it is".to_owned()));
        assert_eq!(out("oci:"), Err("the path is missing in `--output oci:DIR`".to_owned()));
    }

    #[test]
    fn a_run_image_is_a_name_a_folder_or_a_file() {
        let run = |typed: &str| run_image(OsStr::new(typed), Path::new(CWD)).map_err(|e| e.to_string());
        assert_eq!(run("oci:x"), Ok(RunImageSource::Layout(HostPath::absolute("/home/a/x"))));
        assert_eq!(run("oci-archive:x"), Ok(RunImageSource::Archive(HostPath::absolute("/home/a/x"))));
        assert_eq!(run("base:1"), Ok(RunImageSource::Store("base:1".parse().unwrap())));
        assert_eq!(
            run("docker://base"),
            Err("the run image `docker://base` is not available in this version".to_owned())
        );
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
