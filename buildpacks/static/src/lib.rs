//! Serves a folder with an `index.html` by a small server that is part of the image.
//!
//! The buildpack's program and the server are one binary under two names; a build copies it into a layer. The
//! Node.js buildpack carries the same server for front-ends that it builds, through [`install`].

pub mod root;
pub mod server;
pub mod settings;

use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::sbom::{Component, Kind, Sbom};
use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, Process, tree};

use settings::Settings;

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Static;

impl Buildpack for Static {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let settings = Settings::read(&cx.app_dir, &cx.env);
        let Some(root) = root::find(&cx.app_dir, settings.root.as_ref())? else {
            return Ok(Detection::would_need(
                "an `index.html` in the app's folder or in `public/`, `dist/`, `build/`, `out/`, `_site/`, `htdocs/` or \
                 `www/` (`CNB_STATIC_ROOT` names another)",
            ));
        };
        let index = if root == "." { "index.html".to_owned() } else { format!("{root}/index.html") };
        let intent = Intent {
            because: settings.root.map_or_else(|| format!("a `{index}`"), |(_, source)| source),
            processes: [("web".to_owned(), format!("{} --root {root}", server::NAME))].into(),
            ..Intent::default()
        };
        Detection::intends("static", &intent)
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        let settings = Settings::read(&cx.app_dir, &cx.env);
        let root = root::find(&cx.app_dir, settings.root.as_ref())?
            .ok_or_else(|| Failure::new("there is no `index.html` any more"))?;
        let process = install(cx, &root, settings.spa.unwrap_or_default())?;
        cx.write_launch(vec![process])
    }
}

/// Puts the server into the image and returns the process that serves `root`, a path within the app directory.
///
/// With `spa`, a path without a file is answered with `index.html`, as single-page applications want it.
pub fn install(cx: &BuildContext, root: &str, spa: bool) -> Result<Process, Failure> {
    let content = tree::hex(&tree::hash_file(&cx.program)?);
    cx.cached_layer("server", LayerTypes::LAUNCH, &metadata(&[("sha256", &content)]), |layer| {
        let bin = layer.path.join("bin");
        fs_err::create_dir_all(&bin)?;
        fs_err::copy(&cx.program, bin.join(server::NAME))?;
        Ok(None)
    })?;
    let version = env!("CARGO_PKG_VERSION");
    let component = Component::new(Kind::Application, server::NAME, version, String::new());
    cx.write_layer_sbom("server", &Sbom::from_iter([component]))?;
    let shown = if root == "." { "the app's folder" } else { root };
    cx.log.step(format!("{shown} is served{}", if spa { ", index.html where there is no file" } else { "" }));
    let mut command = vec![server::NAME, "--root", root];
    if spa {
        command.push("--spa");
    }
    Ok(Process::new("web", &command).default())
}
