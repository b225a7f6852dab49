//! The extender: its inputs and exit codes (requirements D18 to D30).
//!
//! Dockerfiles are not applied yet: an extension that has one ends the phase with a failure that names it.
//! Without any, there is nothing to extend, and the build runs in the build image as it is.

use cnb_fs::{Root, toml_file};
use cnb_spec::env::Env;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::platform::analyzed_toml::Analyzed;
use cnb_spec::platform::group_toml::Group;

use crate::console::{Console, Level};
use crate::detector::read_analyzed;
use crate::exit::{Failure, Plain};
use crate::inputs::Inputs;
use crate::restorer::base_image;
use crate::{builder, privileges};

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    console.log(Level::Debug, "Ensuring privileges...");
    console.log(Level::Debug, "Executing command...");
    let root = Root::host().map_err(Failure::file("initialize extender"))?;
    let analyzed = read_analyzed(&root, &inputs.path("analyzed"), console)
        .map_err(Failure::file("initialize extender: failed to read analyzed file"))?;
    let group: Group = toml_file::read(&root, &inputs.path("group"))
        .map_err(Failure::file("initialize extender: reading group: failed to read group file"))?;
    let kind =
        if inputs.platform_api.extends_run_images() { inputs.text("kind") } else { "build".to_owned() };
    if !matches!(kind.as_str(), "build" | "run") {
        return Err(Failure::ExtendKind(kind));
    }
    check_base(&root, &analyzed, &kind)?;
    refuse_dockerfiles(inputs, &root, &group, &kind)?;
    if kind == "run" {
        return Ok(());
    }
    let owner = inputs.owner()?;
    privileges::ensure_owner(owner, &inputs.dirs(&["layers"]))?;
    privileges::run_as(owner)?;
    let mut env = env.clone();
    privileges::set_user_environment(&mut env, owner.uid)?;
    builder::refuse_root()?;
    builder::run(inputs, &env, console)
}

/// Fails unless the restorer prepared the image to extend.
fn check_base(root: &Root, analyzed: &Analyzed, kind: &str) -> Result<(), Failure> {
    let reference = match kind {
        "run" => analyzed.run_image.as_ref().map(|image| image.reference.as_str()),
        _ => analyzed.build_image.as_ref().map(|image| image.reference.as_str()),
    };
    let failed = |why: String| Failure::Extend {
        kind: kind.to_owned(),
        source: Plain(format!("getting {kind} image to extend: {why}")).into(),
    };
    let reference = reference.unwrap_or_default();
    let digest = reference.parse().ok().and_then(|reference: ImageRef| reference.digest().copied());
    let digest = digest.ok_or_else(|| failed(format!("`{reference}` is no reference with a digest")))?;
    let index = base_image(&digest).join("index.json");
    if root.exists(&index).map_err(Failure::file("read the base image"))? {
        return Ok(());
    }
    Err(failed(format!("there is no `{index}`, which the restorer writes")))
}

/// Fails if any extension of the group has a Dockerfile for this kind of image (D20).
fn refuse_dockerfiles(inputs: &Inputs, root: &Root, group: &Group, kind: &str) -> Result<(), Failure> {
    let generated = inputs.path("generated");
    for extension in &group.group_extensions {
        let escaped = extension.id.escaped();
        let path = if inputs.platform_api.has_extension_contexts() {
            generated.join(escaped).join(format!("{kind}.Dockerfile"))
        } else {
            generated.join(kind).join(escaped).join("Dockerfile")
        };
        if root.exists(&path).map_err(Failure::file("read the generated directory"))? {
            let text = format!(
                "this lifecycle cannot apply `{path}` yet; use a builder image that has what the extension installs"
            );
            return Err(Failure::Extend { kind: kind.to_owned(), source: Plain(text).into() });
        }
    }
    Ok(())
}
