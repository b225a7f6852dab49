//! Rust applications with Cargo: their binaries in a layer, without the source.
//!
//! Reading order: [`manifest`], [`targets`], `cargo`, `compile` (with `times` and `source`).

mod cargo;
mod compile;
pub mod manifest;
mod source;
pub mod targets;
mod times;
mod toolchain;

use cnb_buildpack::detection::Version;
use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, assets};

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Rust;

impl Buildpack for Rust {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        if !cx.app_dir.join(manifest::FILE).is_file() {
            return Ok(Detection::would_need("a `Cargo.toml` in the app's folder (`cargo init` makes one)"));
        }
        let table = manifest::read(&cx.app_dir)?;
        let wish = manifest::wishes(&cx.app_dir, &cx.env).into_iter().flatten().next();
        let locked = if cx.app_dir.join(manifest::LOCK).is_file() { " --locked" } else { "" };
        let name = table.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str);
        let intent = Intent {
            because: format!("a `{}`", manifest::FILE),
            versions: wish
                .into_iter()
                .map(|w| Version { of: "rust".to_owned(), version: w.version, source: w.source })
                .collect(),
            commands: vec![format!("cargo build --profile release{locked}")],
            processes: name.into_iter().map(|name| ("web".to_owned(), name.to_owned())).collect(),
        };
        let detection = Detection::intends("rust", &intent)?;
        Ok(if assets::front_end(&cx.app_dir).is_some() { detection.or_with(assets::NAME) } else { detection })
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        compile::compile(cx)
    }
}
