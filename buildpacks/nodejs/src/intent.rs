//! Detection: whether the app is one of Node.js, or has a front-end for one of another language; and what a build
//! would do.

use std::path::Path;

use cnb_buildpack::detection::{Detection, Intent, Provide, Version};
use cnb_buildpack::log::Log;
use cnb_buildpack::{DetectContext, Failure, assets};

use crate::manager::{Kind, Manager};
use crate::package::{FILE, Package};
use crate::plan::Step;
use crate::workspaces::Target;
use crate::{plan, runtime, script, start, workspaces};

/// The name in the Build Plan under which the buildpack tells what it does for a front-end.
const FRONT_END: &str = "front-end";
/// Files that make an app without a package.json one of Node.js.
const ALONE: &[&str] = &["server.js", "server.mjs"];
/// Files that make an app one of another language, where package.json does not say what to start.
const OTHERS: &[&str] = &[
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "manage.py",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
];

pub(crate) fn detect(cx: &DetectContext) -> Result<Detection, Failure> {
    let has = |name: &str| cx.app_dir.join(name).is_file();
    let other = OTHERS.iter().find(|name| has(name));
    let own = own(cx, other.copied())?;
    let Some(folder) = assets::front_end(&cx.app_dir) else { return Ok(own) };
    let detection = Detection::intends(FRONT_END, &front_end(cx, folder))?;
    Ok(match (detection, own) {
        (Detection::Pass(mut plan), own) => {
            // For an app of another language alone: only that requires it.
            plan.provides.push(Provide { name: assets::NAME.to_owned() });
            plan.or = if let Detection::Pass(own) = own { vec![own] } else { Vec::new() };
            Detection::Pass(plan)
        }
        (fail, _) => fail,
    })
}

/// What is done for the front-end of an app of another language, which does not fail for what it cannot tell of it.
fn front_end(cx: &DetectContext, folder: &str) -> Intent {
    let (dir, manifest) = match folder {
        "." => (cx.app_dir.clone(), FILE.to_owned()),
        folder => (cx.app_dir.join(folder), format!("{folder}/{FILE}")),
    };
    let known = || -> Result<Intent, Failure> {
        let root = Package::read(&dir)?;
        let target = workspaces::target(&dir, &root, asked(cx), &Log::new(|_| {}))?;
        let steps = plan::plan(&dir, &root, &target, cx.var("CNB_NODE_BUILD"))?;
        let commands = commands(&dir, &root, &target, &steps);
        Ok(Intent { versions: versions(cx, &dir, &root), commands, ..Intent::default() })
    };
    Intent { because: format!("the front-end of `{manifest}`"), ..known().unwrap_or_default() }
}

/// The package that the user names.
fn asked(cx: &DetectContext) -> Option<&str> {
    cx.var(workspaces::NAMED).or_else(|| cx.var("BP_NODE_PROJECT_PATH"))
}

fn versions(cx: &DetectContext, dir: &Path, root: &Package) -> Vec<Version> {
    let wish = runtime::wishes(dir, &cx.env, root).into_iter().flatten().next();
    wish.map(|w| Version { of: "node".to_owned(), version: w.version, source: w.source })
        .into_iter()
        .collect()
}

fn commands(dir: &Path, root: &Package, target: &Target, steps: &[Step]) -> Vec<String> {
    let mut commands = Vec::new();
    if root.has_dependencies() || !target.is_root() {
        let manager = Manager::of(dir, root);
        let is_clean = manager.kind == Kind::Npm && manager.lock.is_some();
        commands.push(if is_clean { "npm ci".to_owned() } else { format!("{} install", manager.name()) });
    }
    commands.extend(steps.iter().map(Step::to_string));
    commands
}

/// Detects an app of Node.js itself.
fn own(cx: &DetectContext, other: Option<&str>) -> Result<Detection, Failure> {
    let has = |name: &str| cx.app_dir.join(name).is_file();
    let alone = ALONE.iter().find(|name| has(name)).filter(|_| other.is_none() && !has(FILE));
    if !has(FILE) && alone.is_none() {
        return Ok(Detection::would_need("a `package.json` (or a `server.js` alone) in the app's folder"));
    }
    let root = if has(FILE) { Package::read(&cx.app_dir)? } else { Package::default() };
    let target = workspaces::target(&cx.app_dir, &root, asked(cx), &Log::new(|_| {}))?;
    let steps = plan::plan(&cx.app_dir, &root, &target, cx.var("CNB_NODE_BUILD"))?;
    let script = script::script(&target.package, &plan::done(&steps));
    let file = start::file(&target.package, &cx.app_dir.join(&target.dir));
    if let Some(other) = other.filter(|_| script.is_none() && file.is_none()) {
        return Ok(Detection::would_need(format!("something to start in `{FILE}`, beside the `{other}`")));
    }
    // What a build leaves is not known before it; a server for developers is not what starts.
    let is_known = |s: &script::Script| steps.is_empty() || !(s.serves_front_end() || s.previews());
    let line = match script {
        _ if target.nx.is_some() => None,
        Some(script) => Some(script.line.clone()).filter(|_| is_known(&script)),
        None => file.map(|f| format!("node {f}")),
    };
    let intent = Intent {
        because: match alone {
            Some(name) => format!("a `{name}`"),
            None => format!("a `{}`", target.dir.join(FILE).display()),
        },
        versions: versions(cx, &cx.app_dir, &root),
        commands: commands(&cx.app_dir, &root, &target, &steps),
        processes: line.into_iter().map(|line| ("web".to_owned(), line)).collect(),
    };
    Detection::intends("node", &intent)
}
