//! A package manager other than npm: fetched as a package of the registry, into a layer that is not part of the image.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, download, tree};

use crate::manager::{Kind, Manager};
use crate::npm::Runner;
use crate::runtime::scratch;

/// The layer of the manager.
const LAYER: &str = "manager";

/// A manager that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// Which one.
    pub(crate) manager: Manager,
    /// The folder with its program under its own name.
    pub(crate) bin: PathBuf,
}

impl Tool {
    /// Fetches the manager of an app; `None` for npm, which is there.
    pub(crate) fn find(
        cx: &BuildContext,
        manager: &Manager,
        runner: &Runner<'_>,
        node: &Path,
    ) -> Result<Option<Self>, Failure> {
        if manager.kind == Kind::Npm {
            cx.remove_layer(LAYER)?;
            return Ok(None);
        }
        let own = manager.own_program.as_deref().unwrap_or_default();
        let metadata = metadata(&[
            ("format", "1"),
            ("package", &manager.registry_package(&cx.target.arch)),
            ("own", own),
            ("node", &node.to_string_lossy()),
        ]);
        let types = LayerTypes { build: true, cache: true, launch: false };
        let layer = cx.cached_layer(LAYER, types, &metadata, |layer| {
            let bin = layer.path.join("bin");
            fs_err::create_dir_all(&bin)?;
            let program = if own.is_empty() {
                fetch(cx, manager, runner, &layer.path)?;
                layer.path.join("package").join(manager.program_in_package())
            } else {
                // Its place in the app is the same in each build.
                cx.app_dir.join(own)
            };
            if manager.kind == Kind::Bun {
                tree::link(&program, &bin.join("bun"))?;
                tree::link(Path::new("bun"), &bin.join("bunx"))?;
            } else {
                script(node, &program, &bin.join(manager.name()))?;
            }
            Ok(None)
        })?;
        cx.log.step(format!("packages are managed by {} {}", manager.name(), manager.version));
        Ok(Some(Self { manager: manager.clone(), bin: layer.path.join("bin") }))
    }

    /// Makes a command that installs in `dir`.
    pub(crate) fn command(
        &self,
        cx: &BuildContext,
        runner: &Runner<'_>,
        dir: &Path,
        args: &[&str],
    ) -> Result<Command, Failure> {
        let cache = cx.kept_layer("manager-cache")?;
        let mut env = runner.install_env();
        for (name, folder) in [
            ("npm_config_store_dir", "pnpm-store"),
            ("npm_config_cache_dir", "pnpm-cache"),
            ("YARN_CACHE_FOLDER", "yarn"),
            ("YARN_GLOBAL_FOLDER", "yarn-global"),
            ("BUN_INSTALL_CACHE_DIR", "bun"),
        ] {
            env.insert(name.into(), cache.join(folder).into());
        }
        let registry = env.get(OsStr::new("npm_config_registry")).cloned();
        for (name, value) in [
            // Packages in folders, wherever the app would have them: only so every tool finds them.
            ("YARN_NODE_LINKER", "node-modules"),
            ("YARN_NM_MODE", "classic"),
            ("YARN_ENABLE_GLOBAL_CACHE", "false"),
            ("YARN_ENABLE_TELEMETRY", "0"),
            ("YARN_ENABLE_PROGRESS_BARS", "0"),
            ("YARN_ENABLE_COLORS", "0"),
            ("YARN_IGNORE_PATH", "1"),
            ("npm_config_manage_package_manager_versions", "false"),
            ("COREPACK_ENABLE_STRICT", "0"),
            ("CI", "1"),
        ] {
            env.insert(name.into(), value.into());
        }
        if let Some(registry) = registry {
            env.insert("YARN_NPM_REGISTRY_SERVER".into(), registry.clone());
            env.insert("YARN_REGISTRY".into(), registry);
        }
        let name = self.manager.name();
        Ok(Command::new(self.bin.join(name), dir, &env)
            .args(args)
            .title(format!("{name} {}", args.join(" "))))
    }
}

fn fetch(cx: &BuildContext, manager: &Manager, runner: &Runner<'_>, to: &Path) -> Result<(), Failure> {
    let package = manager.registry_package(&cx.target.arch);
    let dir = scratch(cx, ".manager")?;
    // npm checks the integrity that the registry publishes.
    let said = runner.install(&dir, &["pack", &package, "--silent"]).read().map_err(|failure| {
        Failure::new(format!("{} {} could not be fetched", manager.name(), manager.version))
            .because(failure.to_string().replace("\nnext step: ", "; "))
            .next("name a version that the package registry has in `packageManager` of package.json")
    })?;
    let archive = dir.join(said.trim().lines().last().unwrap_or_default());
    download::unpack(&cx.env, &archive, &to.join("package"))?;
    tree::remove(&dir)
}

/// Writes a script that starts a program of Node.js.
fn script(node: &Path, program: &Path, to: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::write(to, format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", node.display(), program.display()))?;
    Ok(fs_err::set_permissions(to, std::fs::Permissions::from_mode(0o755))?)
}
