//! Which `main` packages become processes, and under which names.

use std::collections::BTreeMap;
use std::path::Path;

/// A `main` package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// Its folder within the app, empty for the app's folder itself.
    pub dir: String,
    /// The import path.
    pub import_path: String,
}

/// A binary to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The file name.
    pub name: String,
    /// The process type.
    pub process: String,
    /// The package.
    pub import_path: String,
}

/// Folders whose `main` packages are not what the app is there for.
const ASIDE: &[&str] = &[
    "testdata", "example", "examples", "test", "tests", "tool", "tools", "hack", "script", "scripts", "e2e",
];

/// Chooses the packages to build: the app's own folder and those below `cmd`; where neither has one, all others
/// but examples, tests and tools.
pub fn choose(mains: &[Main]) -> Vec<Main> {
    let first = |main: &&Main| main.dir.is_empty() || main.dir == "cmd" || main.dir.starts_with("cmd/");
    let chosen: Vec<Main> = mains.iter().filter(first).cloned().collect();
    if !chosen.is_empty() {
        return chosen;
    }
    let wanted =
        |main: &&Main| !main.dir.split('/').any(|part| ASIDE.contains(&part) || part.starts_with(['_', '.']));
    let chosen: Vec<Main> = mains.iter().filter(wanted).cloned().collect();
    if chosen.is_empty() { mains.to_vec() } else { chosen }
}

/// Names the binaries and their processes.
///
/// The only one is `web`. Of several, the first of these: the one called `web`, `server`, like the module, in the
/// app's own folder. The others have their own names. When none is `web`, the image has no default process.
pub fn name(mains: &[Main], module: Option<&str>) -> Vec<Binary> {
    let module = module.map(last_element);
    let own = |main: &Main| -> String {
        if main.dir.is_empty() {
            module.clone().unwrap_or_else(|| last_element(&main.import_path))
        } else {
            last_element(&main.dir)
        }
    };
    let mut count = BTreeMap::<String, usize>::new();
    for main in mains {
        *count.entry(own(main)).or_default() += 1;
    }
    let names: Vec<String> = mains
        .iter()
        .map(|main| {
            let name = own(main);
            if count.get(&name) > Some(&1) && !main.dir.is_empty() {
                main.dir.replace('/', "-")
            } else {
                name
            }
        })
        .collect();
    let web = if mains.len() == 1 {
        Some(0)
    } else {
        let called = |wanted: &str| names.iter().position(|n| n == wanted);
        called("web")
            .or_else(|| called("server"))
            .or_else(|| module.as_deref().and_then(called))
            .or_else(|| mains.iter().position(|m| m.dir.is_empty()))
    };
    mains
        .iter()
        .zip(names)
        .enumerate()
        .map(|(n, (main, name))| Binary {
            process: if web == Some(n) { "web".to_owned() } else { name.clone() },
            name,
            import_path: main.import_path.clone(),
        })
        .collect()
}

/// The last element of a path that is not a version such as `v2`.
fn last_element(path: &str) -> String {
    let is_version =
        |p: &str| p.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.len() > 1 && parts.last().is_some_and(|p| is_version(p)) {
        parts.pop();
    }
    let last = parts.last().copied().unwrap_or("app");
    // The name becomes a process type (requirement C66).
    last.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect()
}

/// Returns where `dir` lies within `app`, with `/` between the parts.
pub fn within(app: &Path, dir: &str) -> String {
    Path::new(dir).strip_prefix(app).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Main, choose, name};

    #[track_caller]
    fn check(dirs: &[&str], expected: &str) {
        let mains: Vec<Main> = dirs
            .iter()
            .map(|d| Main { dir: (*d).to_owned(), import_path: format!("example.com/shop/v2/{d}") })
            .collect();
        let found: Vec<String> = name(&choose(&mains), Some("example.com/shop/v2"))
            .iter()
            .map(|b| format!("{}={}", b.process, b.name))
            .collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn the_only_package_is_web() {
        check(&[""], "web=shop");
        check(&["cmd/anything"], "web=anything");
        check(&["server"], "web=server");
    }

    #[test]
    fn each_command_is_a_process_and_one_of_them_may_be_web() {
        check(&["cmd/web", "cmd/worker"], "web=web worker=worker");
        check(&["cmd/server", "cmd/worker"], "web=server worker=worker");
        check(&["cmd/shop", "cmd/shopctl"], "web=shop shopctl=shopctl");
        check(&["", "cmd/worker"], "web=shop worker=worker");
        check(&["cmd/a", "cmd/b"], "a=a b=b");
    }

    #[test]
    fn examples_and_tools_are_left_out_unless_there_is_nothing_else() {
        check(&["", "tools/gen"], "web=shop");
        check(&["svc", "examples/one", "internal/testdata/x"], "web=svc");
        check(&["examples/one"], "web=one");
    }

    #[test]
    fn packages_with_the_same_name_are_told_apart_by_their_folders() {
        check(&["cmd/a/run", "cmd/b/run"], "cmd-a-run=cmd-a-run cmd-b-run=cmd-b-run");
    }
}
