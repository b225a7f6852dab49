//! The app's own scripts of the build, and their result, which is kept while nothing that they read changes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cnb_buildpack::context::is_on;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::npm::{CAUSES, Runner};
use crate::package::{AFTER_INSTALL, Package};

/// The layer of the files that the scripts wrote.
const OUTPUT: &str = "build-output";
/// The layer of the caches that build tools keep inside the app.
const CACHES: &str = "build-cache";
/// Folders of the app that are such caches: kept for the next build, and not part of the image.
const TOOL_CACHES: &[&str] =
    &[".next/cache", ".angular/cache", ".parcel-cache", ".turbo", ".svelte-kit/.cache"];
/// What an install script does that has no place in a build of an image.
const USELESS: &[&str] =
    &["husky", "lefthook", "simple-git-hooks", "only-allow", "yarn-deduplicate", "check-engine"];
/// Scripts that hosts run in place of `build`, and `build` itself: the first that is written down counts.
const BUILDS: &[&str] = &["heroku-postbuild", "gcp-build", "build"];
/// Variables that tools of the build read, beside those that the user set.
const VARIABLES: &[&str] =
    &["NODE_", "CNB_NODE", "npm_config_", "VITE_", "REACT_APP_", "NEXT_PUBLIC_", "PUBLIC_"];

/// The scripts that a build runs, in order.
pub fn scripts(package: &Package, asked: Option<&str>) -> Result<Vec<String>, Failure> {
    if let Some(asked) = asked {
        if !is_on(Some(asked)) {
            return Ok(Vec::new());
        }
        if !matches!(asked.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on") {
            return named(package, asked);
        }
    }
    let build =
        BUILDS.iter().copied().find(|n| package.names_script(n)).filter(|n| package.script(n).is_some());
    let again = build.map(|name| format!("npm run {name}"));
    let useful = |name: &&str| {
        package.script(name).is_some_and(|text| {
            !USELESS.iter().any(|u| text.contains(u))
                && again.as_deref() != Some(text.trim())
                && build.and_then(|b| package.script(b)) != Some(text)
        })
    };
    Ok(AFTER_INSTALL.iter().copied().filter(useful).chain(build).map(str::to_owned).collect())
}

fn named(package: &Package, asked: &str) -> Result<Vec<String>, Failure> {
    let names: Vec<String> =
        asked.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    match names.iter().find(|n| package.script(n).is_none()) {
        None => Ok(names),
        Some(missing) => Err(Failure::new(format!("`CNB_NODE_BUILD` names a script `{missing}`"))
            .because("package.json has none of that name")
            .next("name scripts of package.json, or set it to `false` to run none")),
    }
}

/// What is needed to run the scripts of an app, or to know that they need not run.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    cx: &'a BuildContext,
    scripts: &'a [String],
    before: tree::Snapshot,
    key: String,
}

impl<'a> Steps<'a> {
    /// Looks at everything that the scripts may read.
    pub(crate) fn of(cx: &'a BuildContext, scripts: &'a [String], modules: &str) -> Result<Self, Failure> {
        let before = tree::snapshot(&cx.app_dir, &|path| {
            path == Path::new(".git") || TOOL_CACHES.iter().any(|c| path == Path::new(c))
        })?;
        let mut key = tree::Key::default().with("format", "1").with("modules", modules);
        for script in scripts {
            key = key.with("script", script);
        }
        let mut env = cx.user_env()?;
        let is_read = |name: &str| VARIABLES.iter().any(|v| name.starts_with(v));
        env.extend(
            cx.env
                .iter()
                .filter(|(n, _)| n.to_str().is_some_and(is_read))
                .map(|(n, v)| (n.clone(), v.clone())),
        );
        for (name, value) in &env {
            key = key.with(&name.to_string_lossy(), value.as_encoded_bytes());
        }
        // The result holds the permissions of folders, so it belongs to those that were there before.
        let key = key.with_snapshot("files", &before).with("modes", modes(&before)).finish();
        Ok(Self { cx, scripts, before, key })
    }

    /// Names everything that the scripts may read.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns whether an earlier build's result is there.
    pub(crate) fn is_done(&self) -> bool {
        self.cx.is_reusable(OUTPUT, LayerTypes::CACHE, &metadata(&[("key", &self.key)]))
    }

    /// Puts an earlier build's result into the app.
    pub(crate) fn restore(&self) -> Result<(), Failure> {
        self.cx.log.step(format!(
            "nothing changed: the result of `npm run {}` is used again",
            self.scripts.join(", ")
        ));
        let layer =
            self.cx
                .cached_layer(OUTPUT, LayerTypes::CACHE, &metadata(&[("key", &self.key)]), |_| Ok(None))?;
        for path in removed_paths(&layer.path)? {
            tree::remove(&self.cx.app_dir.join(path))?;
        }
        for entry in fs_err::read_dir(layer.path.join("files"))? {
            let entry = entry?;
            tree::copy(&entry.path(), &self.cx.app_dir.join(entry.file_name()))?;
        }
        self.cx.kept_layer(CACHES).map(drop)
    }

    /// Runs the scripts and keeps what they wrote; `linked` are the paths of installed packages.
    pub(crate) fn run(&self, runner: &Runner<'_>, linked: &[PathBuf]) -> Result<(), Failure> {
        let caches = self.cx.kept_layer(CACHES)?;
        for name in TOOL_CACHES {
            move_folder(&caches.join(name), &self.cx.app_dir.join(name))?;
        }
        for script in self.scripts {
            runner.script(&self.cx.app_dir, script).run(&self.cx.log, CAUSES)?;
        }
        for name in TOOL_CACHES {
            move_folder(&self.cx.app_dir.join(name), &caches.join(name))?;
        }
        let after = tree::snapshot(&self.cx.app_dir, &|path| {
            path == Path::new(".git") || linked.iter().any(|l| l == path)
        })?;
        self.cx.cached_layer(OUTPUT, LayerTypes::CACHE, &metadata(&[("key", &self.key)]), |layer| {
            let files = layer.path.join("files");
            fs_err::create_dir_all(&files)?;
            for (path, node) in &after {
                if self.before.get(path) == Some(node) {
                    continue;
                }
                let to = files.join(path);
                if matches!(node, tree::Node::Dir(_)) {
                    fs_err::create_dir_all(to)?;
                } else {
                    fs_err::create_dir_all(to.parent().unwrap_or(&files))?;
                    tree::copy(&self.cx.app_dir.join(path), &to)?;
                }
            }
            // Folders get their permissions last, the inner ones first: they may forbid writing.
            for (path, node) in after.iter().rev() {
                if let tree::Node::Dir(mode) = node
                    && files.join(path).is_dir()
                {
                    fs_err::set_permissions(files.join(path), Permissions::from_mode(*mode))?;
                }
            }
            let gone = self.before.keys().filter(|p| !after.contains_key(*p) && !linked.contains(p));
            let gone: Vec<u8> =
                gone.flat_map(|p| [p.as_os_str().as_encoded_bytes(), b"\0"].concat()).collect();
            fs_err::write(layer.path.join("removed"), gone)?;
            Ok(None)
        })?;
        Ok(())
    }
}

/// Writes down the permissions of all files and folders.
fn modes(files: &tree::Snapshot) -> Vec<u8> {
    let mode = |node: &tree::Node| match node {
        tree::Node::Dir(mode) | tree::Node::File(mode, _) => *mode,
        tree::Node::Link(_) => 0,
    };
    files.values().flat_map(|node| mode(node).to_le_bytes()).collect()
}

/// Forgets the results of earlier builds.
pub(crate) fn forget(cx: &BuildContext) -> Result<(), Failure> {
    cx.remove_layer(OUTPUT)?;
    cx.remove_layer(CACHES)
}

fn removed_paths(layer: &Path) -> Result<Vec<PathBuf>, Failure> {
    use std::os::unix::ffi::OsStringExt;
    let bytes = fs_err::read(layer.join("removed"))?;
    let paths = bytes.split(|b| *b == 0).filter(|p| !p.is_empty());
    Ok(paths.map(|p| PathBuf::from(std::ffi::OsString::from_vec(p.to_vec()))).collect())
}

fn move_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    if !from.is_dir() {
        return Ok(());
    }
    tree::remove(to)?;
    if let Some(parent) = to.parent() {
        fs_err::create_dir_all(parent)?;
    }
    tree::move_to(from, to)
}

#[cfg(test)]
mod tests {
    use super::{Package, scripts};

    #[track_caller]
    fn check(package: &str, asked: Option<&str>, expected: &[&str]) {
        let package = Package::parse(&format!(r#"{{"scripts":{package}}}"#)).unwrap();
        assert_eq!(scripts(&package, asked).unwrap(), expected);
    }

    #[test]
    fn scripts_after_installing_and_the_build_are_run() {
        check(r#"{"build":"tsc"}"#, None, &["build"]);
        check(r#"{"build":"tsc","postinstall":"prisma generate"}"#, None, &["postinstall", "build"]);
        check(r#"{"build":"tsc","gcp-build":""}"#, None, &[]);
        check(r#"{"build":"tsc","heroku-postbuild":"make"}"#, None, &["heroku-postbuild"]);
        check(r#"{"start":"x"}"#, None, &[]);
    }

    #[test]
    fn hooks_for_git_and_a_second_build_are_not_run() {
        check(r#"{"build":"tsc","prepare":"husky install"}"#, None, &["build"]);
        check(r#"{"build":"tsc","prepare":"npm run build"}"#, None, &["build"]);
        check(r#"{"build":"tsc","prepare":"tsc"}"#, None, &["build"]);
        check(r#"{"preinstall":"npx only-allow pnpm"}"#, None, &[]);
    }

    #[test]
    fn the_user_names_other_scripts_or_none() {
        check(r#"{"build":"tsc"}"#, Some("0"), &[]);
        check(r#"{"build":"tsc","b2":"x"}"#, Some("b2, build"), &["b2", "build"]);
        check(r#"{"build":"tsc"}"#, Some("true"), &["build"]);
        assert!(scripts(&Package::default(), Some("nothing")).is_err());
    }
}
