//! A repository with several packages: which of them is the app, and what is built for it.

use std::path::{Path, PathBuf};

use cnb_buildpack::Failure;
use cnb_buildpack::log::Log;
use fast_glob::glob_match;

use crate::delegation::{self, Delegation};
use crate::modules;
use crate::nx;
use crate::package::{FILE, Package};
use crate::{script, start};

/// The variable that names the package to build and start.
pub const NAMED: &str = "CNB_NODE_WORKSPACE";
/// What packages are called that people look at first, the likeliest before the others.
const NAMES: &[&str] =
    &["web", "app", "www", "site", "frontend", "client", "server", "backend", "api", "main"];
/// What packages are called that are about the app and not the app.
const BESIDES: &[&str] =
    &["e2e", "docs", "doc", "storybook", "example", "examples", "test", "tests", "mobile", "native"];
/// Packages that make an app one for telephones or desktops.
const ELSEWHERE: &[&str] = &["expo", "react-native", "electron", "vscode"];
/// Packages that build a front-end.
const FRONT_ENDS: &[&str] = &[
    "vite",
    "next",
    "nuxt",
    "astro",
    "@angular/cli",
    "@angular/build",
    "@sveltejs/kit",
    "react-scripts",
    "@vue/cli-service",
    "@react-router/dev",
    "@remix-run/dev",
    "gatsby",
    "parcel",
    "@docusaurus/core",
];

/// One of several packages.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its folder within the app.
    pub dir: PathBuf,
    /// Its `package.json`.
    pub package: Package,
}

/// What is built and started.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its folder within the app; empty for the app's own.
    pub dir: PathBuf,
    /// Its `package.json`.
    pub package: Package,
    /// The packages of the repository that it needs, in the order in which they are built.
    pub needs: Vec<Member>,
    /// Whether the user named it, so that nothing else is to be built.
    pub is_named: bool,
    /// The project of Nx that it is.
    pub nx: Option<nx::Project>,
}

impl Target {
    /// It as one of several packages.
    pub fn as_member(&self) -> Member {
        Member { dir: self.dir.clone(), package: self.package.clone() }
    }

    /// It and the packages that it needs, which come before it.
    pub fn all(&self) -> Vec<Member> {
        self.needs.iter().cloned().chain([self.as_member()]).collect()
    }

    /// Whether it is the app's own folder.
    pub fn is_root(&self) -> bool {
        self.dir == Path::new("")
    }
}

/// Lists the packages of a repository that has several.
pub fn members(app: &Path, root: &Package) -> Result<Vec<Member>, Failure> {
    let pnpm = fs_err::read_to_string(app.join("pnpm-workspace.yaml")).unwrap_or_default();
    let patterns: Vec<String> = root.workspaces().into_iter().chain(in_pnpm_workspace(&pnpm)).collect();
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let is_member = |dir: &Path| {
        let dir = dir.to_string_lossy();
        let matches = |p: &str| glob_match(p.trim_start_matches("./").trim_end_matches('/'), &*dir);
        patterns.iter().any(|p| !p.starts_with('!') && matches(p))
            && !patterns.iter().any(|p| p.strip_prefix('!').is_some_and(matches))
    };
    let dirs = modules::manifests(app)?.into_iter().filter(|dir| is_member(dir));
    // One that is broken is reported by the package manager, if it matters.
    Ok(dirs.filter_map(|dir| Some(Member { package: Package::read(&app.join(&dir)).ok()?, dir })).collect())
}

/// Reads the patterns of `packages` in `pnpm-workspace.yaml`.
fn in_pnpm_workspace(text: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|l| l.trim_end() != "packages:").skip(1);
    let items = lines.map(|l| l.split(" #").next().unwrap_or_default().trim()).filter(|l| !l.is_empty());
    items
        .take_while(|l| l.starts_with('-') || l.starts_with('#'))
        .filter_map(|l| Some(l.strip_prefix('-')?.trim().trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// Decides what is built and started: the package that is `asked` for by name or folder, the one that the root's own
/// start script runs, the root itself, or else the package that starts.
pub fn target(app: &Path, root: &Package, asked: Option<&str>, log: &Log) -> Result<Target, Failure> {
    let members = members(app, root)?;
    let start = script::script(root, &[]);
    let delegated = start.as_ref().and_then(|s| delegation::read(&s.line));
    let whole =
        Target { dir: PathBuf::new(), package: root.clone(), needs: Vec::new(), is_named: false, nx: None };
    if asked.is_some() || start.is_none() || delegated.is_some() {
        let project = nx::find(app, root, asked, delegated.as_ref(), log)?;
        if project.is_some() {
            return Ok(Target { nx: project, ..whole });
        }
    }
    if let Some(asked) = asked {
        let Some(member) = find(&members, asked) else { return Err(not_there(asked, &members)) };
        return Ok(of(member, &members, true));
    }
    match &delegated {
        Some(Delegation { member: Some(name), .. }) => {
            return Ok(find(&members, name).map_or(whole, |member| of(member, &members, false)));
        }
        None if start.is_some() || start::file(root, app).is_some() || has_own_web(app) => return Ok(whole),
        _ => {}
    }
    // A root that builds a front-end of its own has packages only beside it.
    if delegated.is_none() && FRONT_ENDS.iter().any(|f| root.depends_on(f)) && root.script("build").is_some()
    {
        let build = root.script("build").and_then(delegation::read);
        if build.is_none() {
            return Ok(whole);
        }
    }
    Ok(likeliest(app, &members, log).map_or(whole, |member| of(member, &members, false)))
}

fn has_own_web(app: &Path) -> bool {
    let procfile = fs_err::read_to_string(app.join("Procfile")).unwrap_or_default();
    procfile.lines().any(|l| l.starts_with("web:"))
}

fn find<'a>(members: &'a [Member], asked: &str) -> Option<&'a Member> {
    let asked = asked.trim().trim_start_matches("./").trim_end_matches('/');
    let by_name = members.iter().find(|m| m.package.text("name") == Some(asked));
    let by_folder = || members.iter().find(|m| m.dir == Path::new(asked));
    // `web` for `apps/web` and for `@ours/web`.
    let by_last = || {
        members.iter().find(|m| {
            m.dir.file_name().is_some_and(|n| n == asked)
                || m.package.text("name").and_then(|n| n.rsplit('/').next()) == Some(asked)
        })
    };
    by_name.or_else(by_folder).or_else(by_last)
}

fn not_there(asked: &str, members: &[Member]) -> Failure {
    let failure = Failure::new(format!("`{NAMED}` names `{asked}`, which is no package of this repository"));
    if members.is_empty() {
        return failure
            .because(format!("neither `workspaces` of {FILE} nor pnpm-workspace.yaml lists packages"))
            .next("leave the variable out, list the packages there, or build a folder that stands alone by itself: `cnb build ./FOLDER`");
    }
    let names: Vec<String> = members.iter().map(shown).collect();
    failure.because(format!("the packages are {}", names.join(", "))).next("name one of these")
}

fn shown(member: &Member) -> String {
    let dir = member.dir.display();
    member.package.text("name").map_or_else(|| format!("`{dir}`"), |name| format!("`{name}` ({dir})"))
}

fn of(member: &Member, members: &[Member], is_named: bool) -> Target {
    let mut needs = Vec::new();
    collect(member, members, &mut needs, 0);
    Target { dir: member.dir.clone(), package: member.package.clone(), needs, is_named, nx: None }
}

/// Collects what a package needs of the others, the innermost first.
fn collect(member: &Member, members: &[Member], needs: &mut Vec<Member>, depth: usize) {
    let needed = members.iter().filter(|m| {
        m.dir != member.dir && m.package.text("name").is_some_and(|name| member.package.depends_on(name))
    });
    for other in needed {
        if depth < 64 && !needs.iter().any(|n| n.dir == other.dir) {
            collect(other, members, needs, depth + 1);
            if !needs.iter().any(|n| n.dir == other.dir) {
                needs.push(other.clone());
            }
        }
    }
}

/// Finds the package that starts; of several, the one whose name says most, with a warning.
fn likeliest<'a>(app: &Path, members: &'a [Member], log: &Log) -> Option<&'a Member> {
    let is_needed = |m: &Member| {
        m.package.text("name").is_some_and(|name| members.iter().any(|o| o.package.depends_on(name)))
    };
    let mut found: Vec<(usize, usize, &Member)> =
        members.iter().filter_map(|m| Some((tier(app, m, is_needed(m))?, rank(&last(m)), m))).collect();
    found.sort_by_key(|(tier, rank, member)| (*tier, *rank, &member.dir));
    let (tier, _, first) = found.first()?;
    let others: Vec<String> =
        found.iter().skip(1).filter(|(t, ..)| t == tier).map(|(.., m)| shown(m)).collect();
    if !others.is_empty() {
        log.warning(format!(
            "several packages can be started: {} is taken; name another with `{NAMED}`: {}",
            shown(first),
            others.join(", ")
        ));
    }
    Some(first)
}

/// How sure it is that a package is one to start: 0 for one that says how, 1 for a front-end, 2 for one with a file to
/// start.
fn tier(app: &Path, member: &Member, is_needed: bool) -> Option<usize> {
    let package = &member.package;
    if ELSEWHERE.iter().any(|name| package.depends_on(name)) {
        return None;
    }
    let front_end = FRONT_ENDS.iter().any(|f| package.depends_on(f)) && package.script("build").is_some();
    match script::script(package, &[]) {
        Some(script) if !script.serves_front_end() && !script.is_for_development() => Some(0),
        Some(_) if package.script("build").is_some() => Some(1),
        _ if is_needed => None,
        _ if front_end => Some(1),
        Some(_) => Some(2),
        None => start::file(package, &app.join(&member.dir)).map(|_| 2),
    }
}

fn last(member: &Member) -> String {
    member.dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Orders packages by what they are called.
pub(crate) fn rank(name: &str) -> usize {
    let parts: Vec<&str> = name.split(['-', '_', '.']).collect();
    if parts.iter().any(|p| BESIDES.contains(p)) {
        return NAMES.len() + 1;
    }
    NAMES.iter().position(|n| parts.contains(n)).unwrap_or(NAMES.len())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Log, NAMED, Package, in_pnpm_workspace, target};

    /// What is taken of a repository with these files, the packages that it needs, and what the user is told.
    fn taken(asked: Option<&str>, files: &[(&str, &str)]) -> (Result<String, String>, Vec<String>, String) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let said = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&said);
        let log = Log::new(move |line| sink.lock().unwrap().push_str(line));
        let root = Package::read(dir.path()).unwrap();
        let found = target(dir.path(), &root, asked, &log);
        let needs = found.iter().flat_map(|t| &t.needs).map(|m| m.dir.display().to_string()).collect();
        let found = found.map(|t| t.dir.display().to_string()).map_err(|f| f.to_string());
        let said = said.lock().unwrap().clone();
        (found, needs, said)
    }

    const ROOT: (&str, &str) = ("package.json", r#"{"workspaces":["apps/*","packages/**","!packages/old"]}"#);
    const WEB: (&str, &str) = (
        "apps/web/package.json",
        r#"{"name":"@o/web","scripts":{"start":"next start"},"dependencies":{"ui":"*"}}"#,
    );
    const API: (&str, &str) = ("apps/api/package.json", r#"{"name":"api","scripts":{"start":"node ."}}"#);
    const UI: (&str, &str) =
        ("packages/a/ui/package.json", r#"{"name":"ui","main":"i.js","dependencies":{"base":"*"}}"#);
    const BASE: (&str, &str) = ("packages/base/package.json", r#"{"name":"base"}"#);
    const OLD: (&str, &str) = ("packages/old/package.json", r#"{"name":"old","scripts":{"start":"node ."}}"#);

    #[test]
    fn the_package_that_starts_is_the_app_and_brings_those_that_it_needs() {
        let (found, needs, said) = taken(None, &[ROOT, WEB, UI, BASE, OLD]);
        assert_eq!(found.as_deref(), Ok("apps/web"));
        assert_eq!(needs, ["packages/base", "packages/a/ui"]);
        assert_eq!(said, "");
    }

    #[test]
    fn of_several_one_is_taken_with_a_warning_or_the_named_one() {
        let (found, _, said) = taken(None, &[ROOT, WEB, API]);
        assert_eq!(found.as_deref(), Ok("apps/web"));
        assert!(said.contains(NAMED) && said.contains("`api` (apps/api)"), "{said}");
        for name in ["api", "apps/api", "./apps/api/"] {
            assert_eq!(taken(Some(name), &[ROOT, WEB, API]).0.as_deref(), Ok("apps/api"));
        }
        assert_eq!(taken(Some("web"), &[ROOT, WEB, API]).0.as_deref(), Ok("apps/web"));
        let wrong = taken(Some("wab"), &[ROOT, WEB, API]).0.unwrap_err();
        assert!(wrong.contains("`wab`") && wrong.contains("`@o/web` (apps/web)"), "{wrong}");
    }

    #[test]
    fn the_root_decides_where_it_says_what_to_start() {
        let root = |start: &str| {
            let text = format!(r#"{{"workspaces":["apps/*"],"scripts":{{"start":"{start}"}}}}"#);
            taken(None, &[("package.json", &text), WEB, API]).0.unwrap()
        };
        assert_eq!(root("node server.js"), "");
        assert_eq!(root("npm start -w api"), "apps/api");
        assert_eq!(root("yarn workspace @o/web start"), "apps/web");
        assert_eq!(root("turbo run start"), "apps/web");
        assert_eq!(root("cd elsewhere && npm start"), "");
    }

    #[test]
    fn apps_for_telephones_and_tests_are_not_what_is_started() {
        let phone =
            ("apps/phone/package.json", r#"{"scripts":{"start":"expo start"},"dependencies":{"expo":"1"}}"#);
        let tests = ("apps/web-e2e/package.json", r#"{"name":"a","scripts":{"start":"node ."}}"#);
        assert_eq!(taken(None, &[ROOT, phone, tests, API]).0.as_deref(), Ok("apps/api"));
        assert_eq!(taken(None, &[ROOT, phone]).0.as_deref(), Ok(""));
    }

    #[test]
    fn patterns_of_pnpm_are_read() {
        let text =
            "# ours\npackages:\n  - 'apps/*' # all\n  # more\n  - \"packages/**\"\n\ncatalog:\n  a: 1\n";
        assert_eq!(in_pnpm_workspace(text), ["apps/*", "packages/**"]);
        assert_eq!(in_pnpm_workspace("catalog:\n  - a\n"), [""; 0]);
    }
}
