//! Go applications with modules: one static binary per `main` package, in a layer, without the source.

mod compile;
mod environment;
pub mod go_mod;
mod linked;
mod procfile;
pub mod source;
mod switch;
pub mod targets;
mod toolchain;
pub mod version;

use std::collections::BTreeMap;
use std::path::Path;

use cnb_buildpack::detection::Version;
use cnb_buildpack::log::Log;
use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, assets};

use go_mod::GoMod;
use targets::Main;

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Go;

impl Buildpack for Go {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let file = ["go.mod", "go.work"].into_iter().find(|name| cx.app_dir.join(name).is_file());
        // What uses the standard library alone needs no module to be built.
        if file.is_none() && !source::has_program(&cx.app_dir)? {
            return Ok(Detection::would_need(
                "a `go.mod` (or `go.work`), or Go files of `package main`, in the app's folder \
                 (`go mod init <name>` makes a `go.mod`)",
            ));
        }
        let text = file.and_then(|f| fs_err::read_to_string(cx.app_dir.join(f)).ok()).unwrap_or_default();
        let go_mod = GoMod::parse(&text);
        let needs = go_mod.needs();
        let of_file = needs.zip(file).map(|(version, file)| (version.to_string(), file.to_owned()));
        let wish = version::wish(&cx.app_dir, &cx.env, &Log::new(|_| {})).map(|w| (w.text, w.source));
        let version =
            wish.or(of_file).map(|(version, source)| Version { of: "go".to_owned(), version, source });
        let asked = cx.var("CNB_GO_TARGETS").or_else(|| cx.var("BP_GO_TARGETS"));
        let targets = asked.unwrap_or("./...");
        let intent = Intent {
            because: file.map_or_else(|| "Go files of `package main`".to_owned(), |f| format!("a `{f}`")),
            versions: version.into_iter().collect(),
            commands: vec![format!("go build -trimpath {targets}")],
            processes: processes(&cx.app_dir, go_mod.module.as_deref(), asked)?,
        };
        let detection = Detection::intends("go", &intent)?;
        Ok(if assets::front_end(&cx.app_dir).is_some() { detection.or_with(assets::NAME) } else { detection })
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        compile::compile(cx)
    }
}

/// The processes that a build will most likely make: only the Go command knows what is built for this machine.
fn processes(
    app: &Path,
    module: Option<&str>,
    asked: Option<&str>,
) -> Result<BTreeMap<String, String>, Failure> {
    let wanted: Vec<&str> = asked
        .into_iter()
        .flat_map(|a| a.split([':', ',', ' ']))
        .map(|p| p.trim_start_matches("./").trim_end_matches('/'))
        .collect();
    let is_wanted = |dir: &String| asked.is_none() || wanted.contains(&dir.as_str());
    let mains: Vec<Main> = source::programs(app)?
        .into_iter()
        .filter(is_wanted)
        .map(|dir| Main { import_path: format!("{}/{dir}", module.unwrap_or("app")), dir })
        .collect();
    let chosen = if asked.is_some() { mains } else { targets::choose(&mains) };
    Ok(targets::name(&chosen, module).into_iter().map(|b| (b.process, b.name)).collect())
}
