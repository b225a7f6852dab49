//! What layers do to the environment of the buildpacks after theirs (requirements C15 to C17, C22).

use cnb_dirs::env_dir;
use cnb_fs::{GuestPath, Root};
use cnb_spec::env::{self, Action, BUILD_PATHS, Env};
use cnb_spec::fault;

use crate::BuildError;

/// Applies build layers, in order: first a layer's directories, then its `env`, then its `env.build`.
pub fn apply_layers(root: &Root, layers: &[GuestPath], env: &mut Env) -> Result<(), BuildError> {
    for layer in layers {
        for (name, variables) in BUILD_PATHS {
            let dir = layer.join(name);
            if root.metadata(&dir)?.is_none() {
                continue;
            }
            for variable in *variables {
                env::modify(env, variable.as_ref(), Action::PrependPath, dir.as_os_str(), ":".as_ref());
            }
        }
        for name in ["env", "env.build"] {
            let dir = layer.join(name);
            let bare = if fault::is("layer-env-default") { Action::Default } else { Action::Override };
            env_dir::apply(root, &dir, bare, env).map_err(|source| BuildError::LayerEnv { dir, source })?;
        }
    }
    Ok(())
}
