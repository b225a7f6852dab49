//! The app's own scripts of the build, and their result, which is kept while nothing that they read changes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::causes::SCRIPT_CAUSES;
use crate::npm::Runner;
use crate::plan::Step;

/// The layer of the files that the scripts wrote.
const OUTPUT: &str = "build-output";
/// The folder of that layer with the files.
const FILES: &str = "files";
/// The layer of the caches that build tools keep inside the app.
const CACHES: &str = "build-cache";
/// Folders of the app that are such caches: kept for the next build, and not part of the image.
const TOOL_CACHES: &[&str] =
    &[".next/cache", ".angular/cache", ".parcel-cache", ".turbo", ".svelte-kit/.cache"];
/// Variables that tools of the build read, beside those that the user set.
const VARIABLES: &[&str] =
    &["NODE_", "CNB_NODE", "npm_config_", "VITE_", "REACT_APP_", "NEXT_PUBLIC_", "PUBLIC_"];

/// What is needed to run the scripts of an app, or to know that they need not run.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    cx: &'a BuildContext,
    plan: &'a [Step],
    before: tree::Snapshot,
    key: String,
}

impl<'a> Steps<'a> {
    /// Looks at everything that the scripts may read.
    pub(crate) fn of(cx: &'a BuildContext, steps: &'a [Step], modules: &str) -> Result<Self, Failure> {
        let before = tree::snapshot(&cx.app_dir, &|path| {
            path == Path::new(".git") || caches(steps).any(|c| path == c)
        })?;
        let mut key = tree::Key::default().with("format", "1").with("modules", modules);
        for step in steps {
            key = key.with("step", step.to_string());
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
        Ok(Self { cx, plan: steps, before, key })
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
        let steps: Vec<String> = self.plan.iter().map(|s| format!("`{s}`")).collect();
        self.cx.log.step(format!("nothing changed: the result of {} is used again", steps.join(", ")));
        let layer =
            self.cx
                .cached_layer(OUTPUT, LayerTypes::CACHE, &metadata(&[("key", &self.key)]), |_| Ok(None))?;
        for path in removed_paths(&layer.path)? {
            tree::remove(&self.cx.app_dir.join(path))?;
        }
        for entry in fs_err::read_dir(layer.path.join(FILES))? {
            let entry = entry?;
            tree::copy(&entry.path(), &self.cx.app_dir.join(entry.file_name()))?;
        }
        self.cx.kept_layer(CACHES).map(drop)
    }

    /// Runs one command, and again with what users would try next where that is known to help.
    fn step(&self, command: &Command) -> Result<(), Failure> {
        let (says, option) = OLD_HASH;
        let output = command.stream(&self.cx.log)?;
        let options = self.cx.var("NODE_OPTIONS").unwrap_or_default();
        if output.success {
            return Ok(());
        }
        if !output.says(says) || options.contains(option) {
            return Err(command.failure(&output, SCRIPT_CAUSES));
        }
        self.cx.log.warning(format!(
            "an old build tool wants a hash that OpenSSL no longer offers; it runs again with `NODE_OPTIONS={option}`"
        ));
        let again = command.clone().env("NODE_OPTIONS", format!("{options} {option}").trim());
        again.run(&self.cx.log, SCRIPT_CAUSES)
    }

    /// Runs the scripts and keeps what they wrote; `linked` are the paths of installed packages.
    pub(crate) fn run(&self, runner: &Runner<'_>, linked: &[PathBuf]) -> Result<(), Failure> {
        let kept = self.cx.kept_layer(CACHES)?;
        for name in caches(self.plan) {
            move_folder(&kept.join(&name), &self.cx.app_dir.join(&name))?;
        }
        for step in self.plan {
            self.step(&runner.step(step)?)?;
        }
        for name in caches(self.plan) {
            move_folder(&self.cx.app_dir.join(&name), &kept.join(&name))?;
        }
        let after = tree::snapshot(&self.cx.app_dir, &|path| {
            path == Path::new(".git") || linked.iter().any(|l| l == path)
        })?;
        self.cx.cached_layer(OUTPUT, LayerTypes::CACHE, &metadata(&[("key", &self.key)]), |layer| {
            let files = layer.path.join(FILES);
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

/// What Node.js says where a script wants a hash that its OpenSSL no longer offers, and the option that brings it back.
const OLD_HASH: (&str, &str) = ("ERR_OSSL_EVP_UNSUPPORTED", "--openssl-legacy-provider");

/// The files that the scripts wrote, by their paths below this folder.
pub(crate) fn files(cx: &BuildContext) -> PathBuf {
    cx.layer_path(OUTPUT).join(FILES)
}

/// Lists the folders of the app that are caches: below the app's own folder and those in which a step runs.
fn caches(steps: &[Step]) -> impl Iterator<Item = PathBuf> {
    let mut dirs: Vec<&Path> = steps.iter().map(Step::dir).chain([Path::new("")]).collect();
    dirs.sort_unstable();
    dirs.dedup();
    dirs.into_iter().flat_map(|dir| TOOL_CACHES.iter().map(|name| dir.join(name)))
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
