//! Detection: whether the app is one of Node.js, or has a front-end for one of another language; and what a build
//! would do.

use cnb_buildpack::detection::{BuildPlan, Detection, Intent, Provide, Version};
use cnb_buildpack::log::Log;
use cnb_buildpack::{DetectContext, Failure, assets};

use crate::manager::{Kind, Manager};
use crate::package::{FILE, Package};
use crate::{plan, runtime, script, start, workspaces};

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
    if assets::front_end(&cx.app_dir).is_none() {
        return Ok(own);
    }
    let plan =
        BuildPlan { provides: vec![Provide { name: assets::NAME.to_owned() }], ..BuildPlan::default() };
    let or = match own {
        Detection::Pass(own) => vec![own],
        Detection::Fail(_) => Vec::new(),
    };
    Ok(Detection::Pass(BuildPlan { or, ..plan }))
}

/// Detects an app of Node.js itself.
fn own(cx: &DetectContext, other: Option<&str>) -> Result<Detection, Failure> {
    let has = |name: &str| cx.app_dir.join(name).is_file();
    let alone = ALONE.iter().find(|name| has(name)).filter(|_| other.is_none() && !has(FILE));
    if !has(FILE) && alone.is_none() {
        return Ok(Detection::would_need("a `package.json` (or a `server.js` alone) in the app's folder"));
    }
    let root = if has(FILE) { Package::read(&cx.app_dir)? } else { Package::default() };
    let asked = cx.var(workspaces::NAMED).or_else(|| cx.var("BP_NODE_PROJECT_PATH"));
    let target = workspaces::target(&cx.app_dir, &root, asked, &Log::new(|_| {}))?;
    let steps = plan::plan(&cx.app_dir, &root, &target, cx.var("CNB_NODE_BUILD"))?;
    let script = script::script(&target.package, &plan::done(&steps));
    let file = start::file(&target.package, &cx.app_dir.join(&target.dir));
    if let Some(other) = other.filter(|_| script.is_none() && file.is_none()) {
        return Ok(Detection::would_need(format!("something to start in `{FILE}`, beside the `{other}`")));
    }
    let wish = runtime::wishes(&cx.app_dir, &cx.env, &root).into_iter().flatten().next();
    let mut commands = Vec::new();
    if root.has_dependencies() || !target.is_root() {
        let manager = Manager::of(&cx.app_dir, &root);
        let is_clean = manager.kind == Kind::Npm && manager.lock.is_some();
        commands.push(if is_clean { "npm ci".to_owned() } else { format!("{} install", manager.name()) });
    }
    commands.extend(steps.iter().map(plan::Step::to_string));
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
        versions: wish
            .into_iter()
            .map(|w| Version { of: "node".to_owned(), version: w.version, source: w.source })
            .collect(),
        commands,
        processes: line.into_iter().map(|line| ("web".to_owned(), line)).collect(),
    };
    Detection::intends("node", &intent)
}
