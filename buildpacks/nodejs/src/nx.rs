//! Projects of Nx, which have a `project.json` in place of a `package.json` of their own.

use std::path::{Path, PathBuf};

use cnb_buildpack::Failure;
use cnb_buildpack::log::Log;
use serde_json::Value;

use crate::delegation::Delegation;
use crate::modules;
use crate::package::Package;
use crate::workspaces::{NAMED, rank};

/// The file that makes a repository one of Nx, and the one that makes a folder a project.
const WORKSPACE: &str = "nx.json";
const PROJECT: &str = "project.json";
/// The program.
pub const PROGRAM: &str = "nx";

/// A project that is an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its folder within the app; empty for the app's own.
    pub dir: PathBuf,
    /// Where its build leaves the result, the likeliest folder first.
    pub outputs: Vec<PathBuf>,
}

/// What a project's build left to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// A folder of files to serve.
    Site(PathBuf),
    /// A program of Node.js.
    Program(PathBuf),
    /// A folder that Next.js serves.
    Next(PathBuf),
}

/// Finds the project to build: the one that is `asked` for or that the root's start script runs, the default one, the
/// only one, or of several the one whose name says most, with a warning. `None` where the repository is not of Nx, or
/// has no application.
pub(crate) fn find(
    app: &Path,
    root: &Package,
    asked: Option<&str>,
    start: Option<&Delegation>,
    log: &Log,
) -> Result<Option<Project>, Failure> {
    let workspace = json(&app.join(WORKSPACE));
    if workspace.is_null() || !(root.depends_on(PROGRAM) || root.depends_on("@nx/workspace")) {
        return Ok(None);
    }
    let mut projects = projects(app)?;
    let named = asked.or_else(|| start.and_then(|s| s.member.as_deref()));
    let by_default = || workspace["defaultProject"].as_str();
    if let Some(name) = named.or_else(by_default)
        && let Some(at) = projects.iter().position(|p| p.name == name || p.dir == Path::new(name))
    {
        return Ok(Some(projects.swap_remove(at)));
    }
    projects.sort_by_key(|p| (rank(&p.name), p.dir.clone()));
    if projects.len() > 1 && named.is_none() {
        let all: Vec<&str> = projects.iter().map(|p| p.name.as_str()).collect();
        log.warning(format!(
            "several projects are applications: `{}` is taken; name another with `{NAMED}`: {}",
            all[0],
            all[1..].join(", ")
        ));
    }
    Ok(projects.into_iter().next().filter(|_| asked.is_none()))
}

fn projects(app: &Path) -> Result<Vec<Project>, Failure> {
    let mut dirs = modules::folders_with(app, PROJECT)?;
    dirs.push(PathBuf::new());
    Ok(dirs.into_iter().filter_map(|dir| read(&json(&app.join(&dir).join(PROJECT)), dir)).collect())
}

/// Reads a `project.json`; `None` for libraries, tests and what has nothing to build.
fn read(project: &Value, dir: PathBuf) -> Option<Project> {
    let name = project["name"].as_str().map(str::to_owned);
    let name = name.or_else(|| dir.file_name().map(|n| n.to_string_lossy().into_owned()))?;
    let is_app = project["projectType"].as_str() == Some("application") && !name.ends_with("-e2e");
    if !is_app {
        return None;
    }
    let path = &project["targets"]["build"]["options"]["outputPath"];
    let path = path.as_str().or_else(|| path["base"].as_str());
    let outputs = path.map(PathBuf::from).into_iter();
    let usual = [Path::new("dist").join(&dir), dir.join("dist"), dir.join("build"), dir.clone()];
    Some(Project { name, outputs: outputs.chain(usual).collect(), dir })
}

/// Reads a JSON file; null for one that cannot be read, which Nx reports better.
fn json(path: &Path) -> Value {
    let text = fs_err::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

impl Project {
    /// Returns what the build left.
    pub fn built(&self, app: &Path) -> Option<Built> {
        let programs =
            ["main.js", "main.cjs", "main.mjs", "server/server.mjs", "server/index.mjs", "index.js"];
        self.outputs.iter().find_map(|out| {
            let is_file = |name: &str| app.join(out).join(name).is_file();
            if app.join(out).join(".next/BUILD_ID").is_file() {
                return Some(Built::Next(out.clone()));
            }
            // Angular puts the server beside the files for browsers, which is part of both.
            let server = programs.iter().filter(|p| p.starts_with("server/")).find(|p| is_file(p));
            if let Some(server) = server {
                return Some(Built::Program(out.join(server)));
            }
            let site =
                ["index.html", "browser/index.html", "client/index.html"].into_iter().find(|p| is_file(p));
            if let Some(index) = site.filter(|_| *out != self.dir) {
                return Some(Built::Site(out.join(index.trim_end_matches("index.html"))));
            }
            programs.iter().find(|p| is_file(p)).map(|p| Built::Program(out.join(p)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Built, Log, Package, Path, PathBuf, find};

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            fs_err::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs_err::write(dir.join(name), text).unwrap();
        }
    }

    const APP: &str = r#"{"projectType":"application"}"#;

    #[test]
    fn the_default_the_named_or_the_likeliest_project_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = Package::parse(r#"{"devDependencies":{"nx":"20"}}"#).unwrap();
        let taken = |asked: Option<&str>| {
            find(dir.path(), &root, asked, None, &Log::new(|_| {})).unwrap().map(|p| p.name)
        };
        write(dir.path(), &[("apps/api/project.json", APP), ("apps/shop/project.json", APP)]);
        assert_eq!(taken(None), None);
        write(
            dir.path(),
            &[("nx.json", "{}"), ("apps/api-e2e/project.json", APP), ("libs/a/project.json", "{}")],
        );
        assert_eq!(taken(None).as_deref(), Some("api"));
        assert_eq!(taken(Some("shop")).as_deref(), Some("shop"));
        assert_eq!(taken(Some("nothing")), None);
        write(dir.path(), &[("nx.json", r#"{"defaultProject":"shop"}"#)]);
        assert_eq!(taken(None).as_deref(), Some("shop"));
    }

    #[test]
    fn what_was_built_is_found_where_the_project_says_or_where_it_usually_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = Package::parse(r#"{"devDependencies":{"nx":"20"}}"#).unwrap();
        let options =
            r#"{"projectType":"application","targets":{"build":{"options":{"outputPath":"out/web"}}}}"#;
        write(
            dir.path(),
            &[("nx.json", "{}"), ("apps/web/project.json", options), ("apps/web/index.html", "")],
        );
        let project = find(dir.path(), &root, None, None, &Log::new(|_| {})).unwrap().unwrap();
        assert_eq!(project.built(dir.path()), None);
        write(dir.path(), &[("dist/apps/web/main.js", "")]);
        assert_eq!(project.built(dir.path()), Some(Built::Program(PathBuf::from("dist/apps/web/main.js"))));
        write(dir.path(), &[("out/web/browser/index.html", "")]);
        assert_eq!(project.built(dir.path()), Some(Built::Site(PathBuf::from("out/web/browser/"))));
        write(dir.path(), &[("out/web/.next/BUILD_ID", "x")]);
        assert_eq!(project.built(dir.path()), Some(Built::Next(PathBuf::from("out/web"))));
    }
}
