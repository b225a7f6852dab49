//! What built files import by name, of the packages that production would leave out.
//!
//! Bundlers leave imports of packages in the servers that they build, whatever list of `package.json` those are in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cnb_buildpack::{Failure, tree};

use crate::modules::DIR;
use crate::package::{FILE, Package};
use crate::workspaces::Target;

/// Folders whose files run in browsers, or bring along what they need.
const ELSEWHERE: &[&str] = &[
    DIR,
    "client",
    "static",
    "assets",
    "public",
    "browser",
    "_app",
    ".next",
    ".nuxt",
    ".svelte-kit",
    ".vite",
];
/// Larger files are no one's server.
const LARGEST: u64 = 8 << 20;

/// Installed packages as Node.js finds them.
#[derive(Debug)]
pub(crate) struct Installed<'a> {
    /// The app's folder.
    pub(crate) app: &'a Path,
    /// The layer that holds all packages, as the app would.
    pub(crate) layer: &'a Path,
}

impl Installed<'_> {
    /// Lists the packages that the files below `built` import and that production does not have.
    pub(crate) fn missing(&self, built: &Path, target: &Target) -> Result<Vec<String>, Failure> {
        let mut production = BTreeSet::new();
        for member in target.all() {
            self.reach(&member.package, &self.layer.join(&member.dir), true, &mut production);
        }
        let from = self.layer.join(&target.dir);
        let mut missing = BTreeSet::new();
        for path in servers(built)? {
            let text = fs_err::read(built.join(path))?;
            for name in imported(&String::from_utf8_lossy(&text)) {
                let found = self.resolve(name, &from);
                if found.is_some_and(|dir| !production.contains(&dir)) {
                    missing.insert(name.to_owned());
                }
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// Adds what a package in `dir` needs, and what that needs.
    fn reach(&self, package: &Package, dir: &Path, is_own: bool, found: &mut BTreeSet<PathBuf>) {
        for name in package.needs(!is_own) {
            let Some(at) = self.resolve(name, dir) else { continue };
            if !found.insert(at.clone()) {
                continue;
            }
            // Packages of the app itself are links into it.
            let inner = at.strip_prefix(self.app).map_or_else(|_| at.clone(), |rel| self.layer.join(rel));
            if let Ok(package) = Package::read(&at) {
                self.reach(&package, &inner, false, found);
            }
        }
    }

    /// Finds the folder of a package as Node.js does: in the folder of packages beside, or further out.
    fn resolve(&self, name: &str, from: &Path) -> Option<PathBuf> {
        let folders = from.ancestors().take_while(|dir| dir.starts_with(self.layer));
        let candidates =
            folders.filter(|dir| dir.file_name().is_none_or(|n| n != DIR)).map(|d| d.join(DIR).join(name));
        candidates.filter(|dir| dir.join(FILE).is_file()).find_map(|dir| dir.canonicalize().ok())
    }
}

/// Lists the files that a server may be, by their paths below the folder.
fn servers(built: &Path) -> Result<Vec<PathBuf>, Failure> {
    let skip = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        ELSEWHERE.iter().any(|e| name == *e) || built.join(path).join("index.html").is_file()
    };
    let files = tree::snapshot(built, &skip)?;
    let is_script = |p: &Path| p.extension().is_some_and(|e| e == "js" || e == "mjs" || e == "cjs");
    let small = |p: &Path| built.join(p).metadata().is_ok_and(|m| m.is_file() && m.len() <= LARGEST);
    Ok(files.into_keys().filter(|p| is_script(p) && small(p)).collect())
}

/// Lists the packages that a file imports when it is loaded.
fn imported(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for word in ["from", "import", "require("] {
        for (at, _) in text.match_indices(word) {
            let rest = text[at + word.len()..].trim_start_matches(' ');
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
            let Some((name, _)) = rest[1..].split_once(quote) else { continue };
            let before = &text[..at];
            let is_statement = match word {
                "from" => before.rfind("import").max(before.rfind("export")).is_some_and(|start| {
                    begins_statement(&before[..start]) && before[start + 6..].chars().all(is_of_list)
                }),
                "import" => begins_statement(before),
                _ => true,
            };
            found.extend(package(name).filter(|_| is_statement));
        }
    }
    found
}

/// Whether a statement begins after a text: not within a comment or a string.
fn begins_statement(before: &str) -> bool {
    before.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| "\n;}/".contains(c))
}

/// Whether a character may stand between `import` and `from`.
fn is_of_list(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() || "_$,{}*".contains(c)
}

/// The package of a module: `@scope/name/inner` is one of `@scope/name`.
fn package(module: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@/._-".contains(c);
    if !module.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@') || !module.chars().all(is_plain) {
        return None;
    }
    let end = module.match_indices('/').nth(usize::from(module.starts_with('@'))).map(|(i, _)| i);
    Some(&module[..end.unwrap_or(module.len())])
}

#[cfg(test)]
mod tests {
    use super::{Installed, Package, Path, Target, imported};

    #[test]
    fn imports_by_name_are_found_in_all_their_forms() {
        let text = "import a from 'a';import{b}from\"@s/b/x\";import 'c/d';const e = require( \"e\");\
                    import './f';import g from 'node:g';export * from \"../h\"; await import('i'); // from 'the shop'";
        assert_eq!(imported(text).into_iter().collect::<Vec<_>>(), ["@s/b", "a", "c", "e"]);
        let text = "/** use\n * import { x } from 'j'\n */ throw \"import k from 'l'\";";
        assert_eq!(imported(text), [].into());
    }

    #[test]
    fn what_a_server_imports_beyond_production_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().canonicalize().unwrap().join("layer");
        let write = |path: &str, text: &str| {
            let path = layer.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("node_modules/a/package.json", r#"{"dependencies":{"b":"1"}}"#);
        write("node_modules/b/package.json", "{}");
        write("node_modules/svelte/package.json", r#"{"dependencies":{"clsx":"1"}}"#);
        write("node_modules/clsx/package.json", "{}");
        write("files/server.js", "import 'b'; import 'clsx'; import 'not-there'; import 'node:fs'");
        write("files/client/entry.js", "import 'svelte'");
        let text = r#"{"dependencies":{"a":"1"},"devDependencies":{"svelte":"1"}}"#;
        let package = Package::parse(text).unwrap();
        let target = Target { dir: "".into(), package, needs: Vec::new(), is_named: false, nx: None };
        let installed = Installed { app: Path::new("/nothing"), layer: &layer };
        assert_eq!(installed.missing(&layer.join("files"), &target).unwrap(), ["clsx"]);
    }
}
