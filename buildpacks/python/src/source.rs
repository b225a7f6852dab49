//! What the app's modules define: read line by line, since nothing of the app is run to find out.

use std::path::{Path, PathBuf};

/// A module of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its file within the app.
    pub file: PathBuf,
    text: String,
}

/// Files that are looked at first, in this order, whatever folder they are in.
const FIRST: &[&str] = &[
    "main.py",
    "app.py",
    "application.py",
    "server.py",
    "wsgi.py",
    "asgi.py",
    "api.py",
    "run.py",
    "__init__.py",
    "index.py",
];
/// Folders without modules of the app.
const SKIPPED: &[&str] = &[
    "tests",
    "test",
    "docs",
    "node_modules",
    "venv",
    "env",
    "migrations",
    "__pycache__",
    "site-packages",
    "examples",
    "scripts",
    "alembic",
];
/// How deep modules lie at most.
const DEPTH: usize = 4;
/// How many files are read at most.
const LIMIT: usize = 2000;

/// Lists the modules of an app, likely entry points first, near ones before far ones.
pub fn modules(app: &Path) -> Vec<Module> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let entries = fs_err::read_dir(app.join(&dir)).into_iter().flatten().flatten();
        for entry in entries {
            let (path, name) =
                (dir.join(entry.file_name()), entry.file_name().to_string_lossy().into_owned());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !name.starts_with('.') && !SKIPPED.contains(&&*name) && path.components().count() < DEPTH {
                    todo.push(path);
                }
            } else if kind.is_file() && path.extension().is_some_and(|e| e == "py") && files.len() < LIMIT {
                files.push(path);
            }
        }
    }
    let rank = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = FIRST.iter().position(|f| *f == name).unwrap_or(FIRST.len());
        let is_test = name.starts_with("test_") || name.ends_with("_test.py") || name == "conftest.py";
        (is_test, path.components().count(), place, path.to_owned())
    };
    files.sort_by_key(|path| rank(path));
    let read = |file: PathBuf| {
        let text = String::from_utf8_lossy(&fs_err::read(app.join(&file)).ok()?).into_owned();
        Some(Module { file, text })
    };
    files.into_iter().filter_map(read).collect()
}

impl Module {
    /// The module's name as Python imports it; `src/` is on the path itself.
    pub fn name(&self) -> String {
        let path = self.file.strip_prefix("src").unwrap_or(&self.file).with_extension("");
        let mut parts: Vec<String> = path.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        if parts.last().is_some_and(|p| p == "__init__") && parts.len() > 1 {
            parts.pop();
        }
        parts.join(".")
    }

    /// Whether it imports a package.
    pub fn imports(&self, package: &str) -> bool {
        self.text.lines().map(str::trim_start).any(|line| {
            let rest = line.strip_prefix("import ").or_else(|| line.strip_prefix("from "));
            rest.is_some_and(|r| r.split([' ', '.', ',', ';']).next() == Some(package))
        })
    }

    /// The name of a variable of the module whose value is made by one of `makers`, such as `FastAPI`.
    pub fn variable(&self, makers: &[&str]) -> Option<String> {
        self.text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            // `app: FastAPI = FastAPI()`
            let name = name.split(':').next()?.trim_end();
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let value = value.trim_start();
            let called = value.split('(').next()?.rsplit('.').next()?.trim();
            (is_name && value.contains('(') && makers.contains(&called)).then(|| name.to_owned())
        })
    }

    /// The name of a function of the module that makes an app, such as `create_app`.
    pub fn factory(&self, makers: &[&str]) -> Option<String> {
        let mentions_one = makers.iter().any(|m| self.text.contains(&format!("{m}(")));
        let takes_nothing = |arguments: &str| {
            let inside = arguments.split(')').next().unwrap_or_default();
            inside.split(',').all(|a| a.trim().is_empty() || a.contains('=') || a.trim().starts_with('*'))
        };
        self.text.lines().find_map(|line| {
            let (name, arguments) = line.strip_prefix("def ")?.split_once('(')?;
            let known = matches!(name, "create_app" | "make_app" | "get_app" | "build_app" | "app_factory");
            (mentions_one && known && takes_nothing(arguments)).then(|| name.to_owned())
        })
    }

    /// Whether it does something when it is started.
    pub fn is_script(&self) -> bool {
        self.text.contains("__name__ ==") || self.text.contains("__name__==")
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a plain text setting: `NAME = "value"`.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (found, value) = line.split_once('=')?;
            let value = value.trim();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            (found.trim() == name).then(|| value[1..].split(quote).next()).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Module, modules};

    fn module(file: &str, text: &str) -> Module {
        Module { file: file.into(), text: text.to_owned() }
    }

    #[test]
    fn entry_points_come_first_and_tests_last() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["test_main.py", "zeta.py", "app/main.py", "main.py", "tests/app.py", ".hidden/app.py"] {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        let found: Vec<_> = modules(dir.path()).iter().map(|m| m.file.display().to_string()).collect();
        assert_eq!(found, ["main.py", "zeta.py", "app/main.py", "test_main.py"]);
    }

    #[test]
    fn apps_are_found_where_they_are_made() {
        let text = "import fastapi\nfrom flask_cors import CORS\nservice: fastapi.FastAPI = fastapi.FastAPI(title='x')\n";
        let one = module("src/api/main.py", text);
        assert_eq!(one.variable(&["FastAPI"]).as_deref(), Some("service"));
        assert_eq!(one.variable(&["Flask"]), None);
        assert_eq!(one.name(), "api.main");
        assert!(one.imports("fastapi") && !one.imports("flask"));
        assert_eq!(module("shop/__init__.py", "").name(), "shop");
    }

    #[test]
    fn a_factory_can_be_called_without_arguments() {
        let flask = |signature: &str| {
            module("a.py", &format!("def create_app({signature}):\n    app = Flask(__name__)\n"))
                .factory(&["Flask"])
        };
        assert_eq!(flask("").as_deref(), Some("create_app"));
        assert_eq!(flask("test_config=None, *args").as_deref(), Some("create_app"));
        assert_eq!(flask("config"), None);
    }

    #[test]
    fn settings_are_read_as_plain_texts() {
        let settings = module("s.py", "WSGI_APPLICATION = 'shop.wsgi.application'\nDEBUG = True\n");
        assert_eq!(settings.setting("WSGI_APPLICATION"), Some("shop.wsgi.application"));
        assert_eq!(settings.setting("DEBUG"), None);
    }
}
