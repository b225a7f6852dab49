//! Which Python an app gets: one of this machine that fits, else a standalone build that uv can fetch, else the
//! nearest one of this machine.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::wanted::{self, Wanted};
use cnb_buildpack::{Failure, log::Log};
use cnb_spec::env::Env;
use serde::Deserialize;

use crate::project::PyProject;
use crate::version::{Range, Version};

/// A Python of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its program.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// Where its standard library lies.
    pub stdlib: PathBuf,
    /// Where the compiled modules of its standard library lie.
    pub dynload: PathBuf,
    /// Where its C headers lie.
    pub include: PathBuf,
}

/// Lists what the app asks for, in the order in which it counts.
pub fn wishes(
    app: &Path,
    asked: &[(&str, Option<&str>)],
    project: Option<&PyProject>,
) -> Vec<Option<Wanted>> {
    let runtime_txt = || {
        let wanted = Wanted::in_file(app, "runtime.txt")?;
        Wanted::new(wanted.version.trim_start_matches("python-"), wanted.source)
    };
    let pipfile = || {
        #[derive(Deserialize)]
        struct Pipfile {
            #[serde(default)]
            requires: toml::Table,
        }
        let text = fs_err::read_to_string(app.join("Pipfile")).ok()?;
        let requires = toml::from_str::<Pipfile>(&text).ok()?.requires;
        let version = requires.get("python_full_version").or_else(|| requires.get("python_version"))?;
        Wanted::new(version.as_str()?, "Pipfile")
    };
    let mut found: Vec<_> =
        asked.iter().map(|(name, value)| Wanted::new((*value).unwrap_or_default(), *name)).collect();
    found.push(Wanted::in_file(app, ".python-version"));
    found.push(runtime_txt());
    found.push(Wanted::in_version_managers(app, &["python"]));
    found.push(pipfile());
    found.push(
        project
            .and_then(PyProject::python)
            .and_then(|v| Wanted::new(v, "`requires-python` of pyproject.toml")),
    );
    found
}

/// Chooses the wish that counts, and reads it.
pub fn wish(log: &Log, wishes: Vec<Option<Wanted>>) -> Result<(Range, Option<Wanted>), Failure> {
    let Some(wanted) = wanted::choose(log, "Python", wishes) else { return Ok((Range::any(), None)) };
    let range = Range::parse(&wanted.version).ok_or_else(|| {
        Failure::new(format!("`{}` in {} is no version of Python", wanted.version, wanted.source))
            .next("write a version or a range, such as `3.12`, `3.11.7` or `>=3.10,<3.13`")
    })?;
    Ok((range, Some(wanted)))
}

/// What each Python is asked, and answers on one line.
const QUESTION: &str = "import sys,sysconfig,json,os;\
p=sysconfig.get_paths();\
print(json.dumps(dict(program=os.path.realpath(getattr(sys,'_base_executable',sys.executable) or sys.executable),\
version='%d.%d.%d'%sys.version_info[:3],stdlib=p['stdlib'],\
dynload=os.path.join(sysconfig.get_config_var('DESTSHARED') or os.path.join(p['platstdlib'],'lib-dynload')),\
include=sysconfig.get_path('include',vars={'base':sys.base_prefix,'installed_base':sys.base_prefix}))))";

/// Lists the Pythons that can be seen: on the `PATH`, and beside one that a version manager keeps.
pub fn of_this_machine(env: &Env, dir: &Path) -> Vec<Interpreter> {
    let mut found: Vec<Interpreter> = Vec::new();
    for program in programs(env) {
        if let Some(one) = ask(&program, env, dir)
            && !found.iter().any(|f| f.version == one.version)
        {
            found.push(one);
        }
    }
    found
}

/// Candidates, the one that the user's `PATH` prefers first.
fn programs(env: &Env) -> Vec<PathBuf> {
    use cnb_buildpack::context::find_program;
    let mut found = Vec::new();
    let mut add = |path: PathBuf| {
        let real = path.canonicalize().unwrap_or(path);
        if !found.contains(&real) {
            found.push(real);
        }
    };
    let first = find_program(env, "python3").or_else(|| find_program(env, "python"));
    first.clone().into_iter().for_each(&mut add);
    for minor in (8..=20).rev() {
        find_program(env, &format!("python3.{minor}")).into_iter().for_each(&mut add);
    }
    add(PathBuf::from("/usr/bin/python3"));
    // Version managers keep each Python in a folder named after its version, all in one folder.
    let versions = first
        .and_then(|p| p.canonicalize().ok())
        .and_then(|p| Some(p.parent()?.parent()?.parent()?.to_owned()))
        .filter(|dir| dir.file_name().is_some_and(|n| n == "versions" || n == "python"));
    let mut siblings: Vec<PathBuf> = versions
        .and_then(|dir| fs_err::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/python3"))
        .filter(|p| p.is_file())
        .collect();
    siblings.sort();
    siblings.into_iter().rev().for_each(&mut add);
    found
}

fn ask(program: &Path, env: &Env, dir: &Path) -> Option<Interpreter> {
    #[derive(Deserialize)]
    struct Answer {
        program: PathBuf,
        version: String,
        stdlib: PathBuf,
        dynload: PathBuf,
        include: PathBuf,
    }
    // One that does not run, such as a version manager's shim for a version that is not there, is none.
    let said = Command::new(program, dir, env).args(["-I", "-S", "-c", QUESTION]).read().ok()?;
    let answer: Answer = serde_json::from_str(said.trim()).ok()?;
    let version = Version::parse(&answer.version)?;
    let usable = version >= Version(3, 8, 0) && answer.stdlib.join("os.py").is_file();
    usable.then_some(Interpreter {
        program: answer.program,
        version,
        stdlib: answer.stdlib,
        dynload: answer.dynload,
        include: answer.include,
    })
}

/// Chooses among the Pythons of this machine: the preferred one if it fits, else the one that fits and is nearest to
/// the version that is named, since packages of the same time have wheels for that.
pub fn choose<'a>(all: &'a [Interpreter], range: &Range) -> Option<&'a Interpreter> {
    let fits = |i: &&Interpreter| range.contains(i.version);
    all.first().filter(fits).or_else(|| all.iter().filter(fits).min_by_key(|i| distance(i, range)))
}

/// The nearest to a range that none fits: another patch of the same line, else the nearest line that `allowed`
/// accepts, a newer one before an older one.
pub fn nearest<'a>(
    all: &'a [Interpreter],
    range: &Range,
    allowed: Option<&Range>,
) -> Option<&'a Interpreter> {
    let fits = |i: &&Interpreter| allowed.is_some_and(|allowed| allowed.contains(i.version));
    choose(all, &range.relaxed()).or_else(|| all.iter().filter(fits).min_by_key(|i| distance(i, range)))
}

fn distance(one: &Interpreter, range: &Range) -> (u32, bool) {
    let wish = range.named().unwrap_or(one.version);
    (one.version.1.abs_diff(wish.1), one.version < wish)
}

#[cfg(test)]
mod tests {
    use super::{Interpreter, Range, Version, choose, nearest, wishes};
    use std::path::PathBuf;

    fn python(version: &str) -> Interpreter {
        let none = PathBuf::new;
        Interpreter {
            program: none(),
            version: Version::parse(version).unwrap(),
            stdlib: none(),
            dynload: none(),
            include: none(),
        }
    }

    #[test]
    fn the_preferred_python_wins_where_it_fits_and_the_nearest_elsewhere() {
        let all = [python("3.11.7"), python("3.13.0"), python("3.12.1")];
        let chosen = |range: &str| choose(&all, &Range::parse(range).unwrap()).map(|i| i.version.to_string());
        assert_eq!(chosen(">=3.9").as_deref(), Some("3.11.7"));
        assert_eq!(chosen(">=3.12").as_deref(), Some("3.12.1"));
        assert_eq!(chosen("3.12").as_deref(), Some("3.12.1"));
        assert_eq!(chosen("3.14"), None);
    }

    #[test]
    fn the_nearest_stays_in_the_line_unless_the_project_allows_more() {
        let all = [python("3.11.7")];
        let near = |range: &str, allowed: Option<&str>| {
            let allowed = allowed.map(|a| Range::parse(a).unwrap());
            nearest(&all, &Range::parse(range).unwrap(), allowed.as_ref()).is_some()
        };
        assert!(near("3.11.2", None));
        assert!(!near("3.12", None));
        assert!(near("3.12", Some(">=3.10")));
        assert!(!near("3.12", Some(">=3.12")));
        let all = [python("3.10.1"), python("3.11.7"), python("3.13.0")];
        let near =
            |wish: &str| nearest(&all, &Range::parse(wish).unwrap(), Some(&Range::any())).unwrap().version.1;
        assert_eq!([near("3.12"), near("3.14"), near("3.9")], [13, 13, 10]);
    }

    #[test]
    fn every_place_of_a_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("runtime.txt"), "python-3.11.7\n").unwrap();
        fs_err::write(dir.path().join("Pipfile"), "[requires]\npython_version = \"3.10\"\n").unwrap();
        let read: Vec<_> = wishes(dir.path(), &[("CNB_PYTHON_VERSION", Some("3.12"))], None)
            .into_iter()
            .flatten()
            .map(|w| (w.version, w.source))
            .collect();
        let expected = [("3.12", "CNB_PYTHON_VERSION"), ("3.11.7", "runtime.txt"), ("3.10", "Pipfile")];
        assert_eq!(read, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
