//! The launch layers of the image, and what they do to the environment (requirements B106, B110, C16 to C22).

use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use cnb_spec::env::{Action, Env, FileName, LAUNCH_PATHS, file_name, modify};
use cnb_spec::fault;

use crate::metadata::Provider;
use crate::system::{self, SystemError, reason};

/// Why a layer could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("find buildpack directory")]
    Buildpack(#[source] SystemError),
    #[error("add layer root: failed to list files in dir '{}'", dir.display())]
    Layers { dir: PathBuf, source: SystemError },
    #[error("add layer root")]
    Root(#[source] SystemError),
    #[error("add layer env: apply env files from dir '{}'", dir.display())]
    EnvDir { dir: PathBuf, source: SystemError },
    #[error("failed to list files in dir '{}'", dir.display())]
    List { dir: PathBuf, source: SystemError },
    #[error("failed to determine if app profile script exists at path '{}': {reason}", path.display())]
    AppProfile { path: PathBuf, reason: String },
}

/// Returns the layer directories of each buildpack, sorted by name, buildpacks in the order of the build.
pub(crate) fn find(layers_dir: &Path, providers: &[Provider]) -> Result<Vec<Vec<PathBuf>>, LayerError> {
    let layers = |provider: &Provider| {
        let dir = layers_dir.join(provider.id.replace('/', "_"));
        match fs::metadata(&dir) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(LayerError::Buildpack(SystemError::new("stat", &dir, &e))),
        }
        let entries = list(&dir).map_err(|source| LayerError::Layers { dir: dir.clone(), source })?;
        // A link is no layer, even one to a directory.
        Ok(entries.into_iter().filter(|(_, kind)| kind.is_dir()).map(|(name, _)| dir.join(name)).collect())
    };
    providers.iter().map(layers).collect()
}

/// Applies the layers of one buildpack: the directories of all of them first, then their env files.
pub(crate) fn apply_env(layers: &[PathBuf], process_type: &str, env: &mut Env) -> Result<(), LayerError> {
    for layer in layers {
        for (name, variables) in LAUNCH_PATHS {
            let dir = layer.join(name);
            match fs::metadata(&dir) {
                Ok(_) => {
                    for variable in *variables {
                        modify(env, variable.as_ref(), Action::PrependPath, dir.as_os_str(), OsStr::new(""));
                    }
                }
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(LayerError::Root(SystemError::new("stat", &dir, &e))),
            }
        }
    }
    for layer in layers {
        apply_env_dir(&layer.join("env"), env)?;
        for dir in common_and_own(layer, "env.launch", process_type) {
            apply_env_dir(&dir, env)?;
        }
    }
    Ok(())
}

/// Returns the profile scripts of all layers, then the app's own as bash finds it from the app directory.
pub(crate) fn profiles<'a>(
    layers: impl Iterator<Item = &'a Path>,
    process_type: &str,
    app_dir: &Path,
) -> Result<Vec<PathBuf>, LayerError> {
    let mut profiles = Vec::new();
    for layer in layers {
        profiles.extend(files(layer, "profile.d", process_type)?);
    }
    if fault::is("profile-order") {
        profiles.reverse();
    }
    let path = app_dir.join(".profile");
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => profiles.push(".profile".into()),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(LayerError::AppProfile { path, reason: reason(&e) }),
    }
    Ok(profiles)
}

/// Returns the files in `<layer>/<name>`, then those in `<layer>/<name>/<type>`, each sorted.
pub(crate) fn files(layer: &Path, name: &str, process_type: &str) -> Result<Vec<PathBuf>, LayerError> {
    let mut found = Vec::new();
    for dir in common_and_own(layer, name, process_type) {
        let entries = list(&dir).map_err(|source| LayerError::List { dir: dir.clone(), source })?;
        found.extend(entries.into_iter().filter(|(_, kind)| !kind.is_dir()).map(|(name, _)| dir.join(name)));
    }
    Ok(found)
}

/// Returns the directory for all processes, and the one for this type; a user's command has none of its own.
fn common_and_own(layer: &Path, name: &str, process_type: &str) -> Vec<PathBuf> {
    let common = layer.join(name);
    let own = (!process_type.is_empty()).then(|| common.join(process_type));
    std::iter::once(common).chain(own).collect()
}

fn apply_env_dir(dir: &Path, env: &mut Env) -> Result<(), LayerError> {
    apply_env_files(dir, env).map_err(|source| LayerError::EnvDir { dir: dir.to_path_buf(), source })
}

fn apply_env_files(dir: &Path, env: &mut Env) -> Result<(), SystemError> {
    let read = |name: &OsStr| system::read(&dir.join(name)).map(into_os_string);
    for (name, kind) in list(dir)? {
        // A dangling link is an error, whatever its name (requirement J27).
        if kind.is_dir() || (kind.is_symlink() && leads_to_dir(&dir.join(&name))?) {
            continue;
        }
        let (variable, action) = match file_name(&name, Action::Override) {
            FileName::Value(variable, action) => (variable, action),
            FileName::Delimiter(_) | FileName::Ignored => continue,
        };
        let value = read(&name)?;
        let mut delimiter_name = variable.clone();
        delimiter_name.push(".delim");
        let delimiter = match action {
            _ if fault::is("delimiter-ignored") => None,
            Action::Append | Action::Prepend | Action::PrependPath => read(&delimiter_name).ok(),
            Action::Default | Action::Override => None,
        };
        // A delimiter that is there wins over the `:` of the path action.
        let action =
            if delimiter.is_some() && action == Action::PrependPath { Action::Prepend } else { action };
        modify(env, &variable, action, &value, &delimiter.unwrap_or_default());
    }
    Ok(())
}

fn leads_to_dir(link: &Path) -> Result<bool, SystemError> {
    fs::metadata(link).map(|target| target.is_dir()).map_err(|e| SystemError::new("stat", link, &e))
}

/// Lists a directory sorted by name, links not followed; a missing one is empty.
fn list(dir: &Path) -> Result<Vec<(OsString, FileType)>, SystemError> {
    let entries = || -> io::Result<Vec<_>> {
        fs::read_dir(dir)?.map(|entry| entry.and_then(|e| Ok((e.file_name(), e.file_type()?)))).collect()
    };
    match entries() {
        Ok(mut entries) => {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            if fault::is("launch-layer-order") {
                entries.reverse();
            }
            Ok(entries)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(SystemError::new("open", dir, &e)),
    }
}

fn into_os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Makes `files` below a directory, each with its name's last letter as content unless given.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            io::Write::write_all(&mut fs::File::create(path).unwrap(), content.as_bytes()).unwrap();
        }
        dir
    }

    fn provider(id: &str) -> Provider {
        Provider { id: id.into(), api: cnb_spec::api::BuildpackApi::LATEST }
    }

    #[track_caller]
    fn check_env(files: &[(&str, &str)], process_type: &str, name: &str, expected: Option<&str>) {
        let dir = tree(files);
        let mut env = Env::new();
        for layers in find(dir.path(), &[provider("a/x"), provider("b")]).unwrap() {
            apply_env(&layers, process_type, &mut env).unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let found = env.get(OsStr::new(name)).map(|v| v.to_str().unwrap().replace(root, ""));
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn later_layers_and_buildpacks_come_first_in_path() {
        let files = [("a_x/1/bin/f", ""), ("a_x/2/bin/f", ""), ("b/1/bin/f", ""), ("c/1/bin/f", "")];
        check_env(&files, "web", "PATH", Some("/b/1/bin:/a_x/2/bin:/a_x/1/bin"));
        check_env(&files, "web", "LD_LIBRARY_PATH", None);
    }

    #[test]
    fn env_files_see_the_directories_of_every_layer_of_their_buildpack() {
        let files = [("b/1/env/PATH.append", ":x"), ("b/2/bin/f", "")];
        check_env(&files, "web", "PATH", Some("/b/2/bin:x"));
    }

    #[test]
    fn more_specific_directories_come_later() {
        let files = [("b/1/env.launch/web/A", "3"), ("b/1/env.launch/A", "2"), ("b/1/env/A", "1")];
        check_env(&files, "web", "A", Some("3"));
        check_env(&files, "worker", "A", Some("2"));
        check_env(&files, "", "A", Some("2"));
    }

    #[test]
    fn a_delimiter_counts_for_its_directory_and_also_for_the_path_action() {
        check_env(
            &[("b/1/env/A", "1"), ("b/1/env.launch/A.append", "2"), ("b/1/env/A.delim", "-")],
            "",
            "A",
            Some("12"),
        );
        check_env(
            &[("a_x/1/env/A", "1"), ("b/1/env/A.", "2"), ("b/1/env/A.delim", "-")],
            "",
            "A",
            Some("2-1"),
        );
        check_env(&[("a_x/1/env/A", "1"), ("b/1/env/A.", "2")], "", "A", Some("2:1"));
    }

    #[test]
    fn a_link_to_a_directory_is_no_layer_and_one_to_a_file_holds_a_value() {
        let dir = tree(&[("b/1/env/A", "1"), ("value", "2")]);
        symlink("1", dir.path().join("b/2")).unwrap();
        symlink("../../../value", dir.path().join("b/1/env/B")).unwrap();
        symlink("..", dir.path().join("b/1/env/C")).unwrap();
        let layers = find(dir.path(), &[provider("b")]).unwrap();
        assert_eq!(layers, [[dir.path().join("b/1")]]);
        let mut env = Env::new();
        apply_env(&layers[0], "", &mut env).unwrap();
        assert_eq!(env, Env::from([("A".into(), "1".into()), ("B".into(), "2".into())]));
    }

    #[test]
    fn a_dangling_link_in_an_env_directory_is_an_error() {
        let dir = tree(&[("b/1/env/A", "1")]);
        symlink("nowhere", dir.path().join("b/1/env/B")).unwrap();
        let error = apply_env(&[dir.path().join("b/1")], "", &mut Env::new()).unwrap_err();
        let error = crate::failure::chain(&error);
        assert!(error.starts_with("add layer env: apply env files from dir '"), "{error}");
        assert!(error.ends_with("/b/1/env/B: no such file or directory"), "{error}");
    }

    #[test]
    fn profiles_are_common_ones_then_those_of_the_type_and_the_apps_own_last() {
        let dir = tree(&[
            ("l/profile.d/b", ""),
            ("l/profile.d/web/a", ""),
            ("l/profile.d/10", ""),
            ("app/.profile", ""),
        ]);
        let layer = dir.path().join("l");
        let found = profiles([layer.as_path()].into_iter(), "web", &dir.path().join("app")).unwrap();
        let expected = ["profile.d/10", "profile.d/b", "profile.d/web/a"].map(|p| layer.join(p));
        assert_eq!(found[..3], expected);
        assert_eq!(found[3..], [PathBuf::from(".profile")]);
        assert_eq!(profiles(std::iter::empty(), "", dir.path()).unwrap(), [] as [PathBuf; 0]);
    }
}
