//! The server of `SvelteKit`, for apps that leave the choice of an adapter to the place where they are built.
//!
//! `@sveltejs/adapter-auto` knows some places by their variables, and makes nothing that could be started anywhere else.
//! For the one that runs images it takes the adapter for Node.js, which it would install into the app.

use std::path::PathBuf;

use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::causes::CAUSES;
use crate::modules::DIR;
use crate::npm::Runner;
use crate::package::Package;

/// The variable by which the adapter knows that an image is built.
pub(crate) const VARIABLE: &str = "GCP_BUILDPACKS";
/// The layer of the adapter for Node.js.
const LAYER: &str = "svelte-adapter";
const AUTO: &str = "@sveltejs/adapter-auto";
const NODE: &str = "@sveltejs/adapter-node";

/// Whether an app leaves the choice.
pub(crate) fn leaves_choice(package: &Package) -> bool {
    package.depends_on(AUTO) && !package.depends_on(NODE)
}

/// Installs the adapter for Node.js beside the packages in the layer `all`; returns the link there, which is for the
/// build alone.
pub(crate) fn provide(cx: &BuildContext, runner: &Runner<'_>, all: &str) -> Result<Option<PathBuf>, Failure> {
    let packages = cx.layer_path(all).join(DIR);
    let known = fs_err::read_to_string(packages.join(AUTO).join("adapters.js")).unwrap_or_default();
    let Some(version) = version(&known) else { return Ok(None) };
    let package = format!("{NODE}@{version}");
    let layer = cx.cached_layer(LAYER, LayerTypes::CACHE, &metadata(&[("package", &package)]), |layer| {
        fs_err::write(layer.path.join(crate::package::FILE), "{}")?;
        let args = ["install", "--no-save", "--legacy-peer-deps", "--ignore-scripts", &package];
        runner.install(&layer.path, &args).run(&cx.log, CAUSES)?;
        Ok(None)
    })?;
    let link = packages.join(NODE);
    tree::link(&layer.path.join(DIR).join(NODE), &link)?;
    Ok(Some(link))
}

/// The version of the adapter for Node.js that fits, as the file of known places has it.
fn version(known: &str) -> Option<&str> {
    let (_, rest) = known.split_once(&format!("'{NODE}'"))?;
    rest.split_once("version: '")?.1.split('\'').next()
}

#[cfg(test)]
mod tests {
    use super::{Package, leaves_choice, version};

    #[test]
    fn the_version_is_the_one_that_is_known_to_fit() {
        let known = "{ module: '@sveltejs/adapter-vercel', version: '6' },\n\
                     { module: '@sveltejs/adapter-node',\n\t\tversion: '5'\n}";
        assert_eq!(version(known), Some("5"));
        assert_eq!(version(""), None);
    }

    #[test]
    fn an_app_that_names_the_adapter_has_chosen() {
        let package = |text: &str| Package::parse(text).unwrap();
        assert!(leaves_choice(&package(r#"{"devDependencies":{"@sveltejs/adapter-auto":"7"}}"#)));
        assert!(!leaves_choice(&package(
            r#"{"devDependencies":{"@sveltejs/adapter-auto":"7","@sveltejs/adapter-node":"5"}}"#
        )));
    }
}
