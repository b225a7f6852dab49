//! The layer `jre`: a runtime that `jlink` makes of the development kit, with this machine's certificates.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::layer::{LayerTypes, Scope, metadata};
use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};
use cnb_buildpack::{BuildContext, Failure, libraries, tree};
use cnb_spec::env::Action;

use crate::jdk::Jdk;
use crate::truststore;

const LAYER: &str = "jre";

/// Memory: three quarters of what the container may use, and an end instead of a limping process.
const OPTIONS: &str = "-XX:MaxRAMPercentage=75 -XX:+ExitOnOutOfMemoryError";

/// Fills the layer, unless an earlier build of the same kit did.
pub(crate) fn install(cx: &BuildContext, jdk: &Jdk, modules: &str) -> Result<(), Failure> {
    let bundle = truststore::bundle(cx);
    let certificates =
        bundle.as_deref().map(tree::hash_file).transpose()?.map(|h| tree::hex(&h)).unwrap_or_default();
    let metadata = metadata(&[
        ("format", "3"),
        ("modules", modules),
        ("version", &jdk.version),
        ("home", &jdk.home.to_string_lossy()),
        ("arch", &cx.target.arch),
        ("certificates", &certificates),
    ]);
    cx.cached_layer(LAYER, LayerTypes::LAUNCH, &metadata, |layer| {
        link(cx, jdk, modules, &layer.path)?;
        if let Some(bundle) = &bundle {
            // Where the whole kit of an old Java was copied, its runtime is a folder of its own.
            let of_kit = layer.path.join("jre/lib/security/cacerts");
            let own = layer.path.join("lib/security/cacerts");
            let store = if layer.path.join("jre/lib").is_dir() { of_kit } else { own };
            tree::remove(&store)?;
            truststore::write(bundle, &store)?;
        }
        // Libraries of the system that the kit was built with; those for windows and sound need not be there.
        let programs = libraries::programs_below(&layer.path)?;
        libraries::carry(cx, &programs, &layer.path.join("lib/carried"))?;
        let carried = layer.path.join("lib/carried").to_string_lossy().into_owned();
        layer.set_env(&Scope::Launch, "LD_LIBRARY_PATH", Action::PrependPath, &carried)?;
        layer.set_env(&Scope::Launch, "JAVA_HOME", Action::Override, &layer.path.to_string_lossy())?;
        layer.set_env(&Scope::Launch, "JAVA_TOOL_OPTIONS", Action::Default, OPTIONS)?;
        layer.set_env(&Scope::Launch, "PORT", Action::Default, "8080")?;
        layer.set_env(&Scope::Launch, "LANG", Action::Default, "C.UTF-8")?;
        Ok(None)
    })?;
    let purl = format!("pkg:generic/openjdk@{}", purl_segment(&jdk.version));
    let component = Component::new(Kind::Application, "openjdk", &jdk.version, purl)
        .license(Some("GPL-2.0-only WITH Classpath-exception-2.0"));
    cx.write_layer_sbom(LAYER, &Sbom::from_iter([component]))
}

fn link(cx: &BuildContext, jdk: &Jdk, modules: &str, to: &Path) -> Result<(), Failure> {
    let jlink = jdk.home.join("bin/jlink");
    let output: PathBuf = cx.layers_dir.join(".jre");
    tree::remove(&output)?;
    if !jlink.is_file() {
        // Kits before Java 9 have none.
        return whole(cx, jdk, to, "there is none");
    }
    let command = Command::new(jlink, &cx.layers_dir, &cx.env)
        .args([
            "--add-modules",
            modules,
            "--strip-java-debug-attributes",
            "--no-header-files",
            "--no-man-pages",
        ])
        // Not compressed by itself: layers are, better as a whole, and Java starts sooner.
        .args(["--output"])
        .args([&output])
        .title("jlink");
    cx.log.step(format!("$ jlink (a runtime of {} modules and what they need)", modules.split(',').count()));
    let linked = command.quietly()?;
    if linked.success {
        for entry in fs_err::read_dir(&output)? {
            let entry = entry?;
            tree::move_to(&entry.path(), &to.join(entry.file_name()))?;
        }
        return tree::remove(&output);
    }
    tree::remove(&output)?;
    let said = [linked.stdout, linked.stderr].concat();
    whole(cx, jdk, to, said.lines().next().unwrap_or("it did not say why"))
}

/// Copies the whole kit, where no runtime can be made of it.
fn whole(cx: &BuildContext, jdk: &Jdk, to: &Path, because: &str) -> Result<(), Failure> {
    cx.log.warning(format!(
        "jlink could not make a runtime ({because}), so the whole kit is part of the image"
    ));
    for part in ["bin", "conf", "jre", "lib", "legal", "release"] {
        if jdk.home.join(part).exists() {
            tree::copy(&jdk.home.join(part), &to.join(part))?;
        }
    }
    tree::remove(&to.join("lib/src.zip"))
}
