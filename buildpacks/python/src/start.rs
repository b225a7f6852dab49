//! What the image starts, by what the app's modules define and what is installed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::django::Django;
use crate::project::PyProject;
use crate::source::Module;

/// How an app is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The line for the shell; `$PORT` is set.
    pub line: String,
    /// What of the app tells so, for the user.
    pub because: String,
    /// The package of a server that has to be installed for it, since the app lists none.
    pub server: Option<&'static str>,
}

impl Start {
    fn new(line: String, because: impl Into<String>) -> Self {
        Self { line, because: because.into(), server: None }
    }

    fn with(mut self, server: Option<&'static str>) -> Self {
        self.server = server;
        self
    }
}

/// What is known of an app before anything is installed.
#[derive(Debug)]
pub struct App<'a> {
    /// Its folder.
    pub dir: &'a Path,
    /// Its modules, in the order of [`crate::source::modules`].
    pub modules: &'a [Module],
    /// What it lists as needed, or imports.
    pub packages: &'a BTreeSet<String>,
    /// Its `pyproject.toml`.
    pub project: Option<&'a PyProject>,
}

/// Frameworks whose apps are started by an ASGI server, and what makes an app of theirs.
const ASGI: &[(&str, &[&str])] = &[
    ("fastapi", &["FastAPI"]),
    ("starlette", &["Starlette"]),
    ("litestar", &["Litestar"]),
    ("quart", &["Quart"]),
    ("blacksheep", &["Application"]),
    ("connexion", &["AsyncApp", "FlaskApp", "App"]),
    ("falcon", &["falcon.asgi.App"]),
];
/// Frameworks whose apps are started by a WSGI server.
const WSGI: &[(&str, &[&str])] = &[
    ("flask", &["Flask", "APIFlask", "OpenAPI"]),
    ("falcon", &["App", "API"]),
    ("bottle", &["Bottle"]),
    ("pyramid", &["make_wsgi_app"]),
];
/// Threads of one gunicorn worker: an app that keeps something in memory works, and so does one that waits.
const GUNICORN: &str =
    "exec gunicorn --bind 0.0.0.0:$PORT --worker-tmp-dir /dev/shm --threads 8 --access-logfile -";
/// Scripts that are started as they are.
const SCRIPTS: &[&str] = &[
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "application.py",
    "index.py",
    "bot.py",
    "src/main.py",
    "src/app.py",
    "app/main.py",
    "hello.py",
];

impl App<'_> {
    fn needs(&self, package: &str) -> bool {
        self.packages.contains(package)
    }

    /// Decides, `None` where nothing of the app tells.
    pub fn start(&self) -> Option<Start> {
        self.django()
            .or_else(|| self.streamlit())
            .or_else(|| self.asgi())
            .or_else(|| self.wsgi())
            .or_else(|| self.dash())
            .or_else(|| self.gradio())
            .or_else(|| self.script())
            .or_else(|| self.console_script())
            .or_else(|| self.package())
            .or_else(|| self.only_module())
    }

    fn django(&self) -> Option<Start> {
        let django = Django::find(self.dir, self.modules)?;
        let because = format!("`{}` of Django", django.manage.display());
        let folder = django.folder();
        let chdir = if folder.is_empty() { String::new() } else { format!("cd {folder} && ") };
        if let Some(wsgi) = &django.wsgi {
            let server = (!self.needs("gunicorn")).then_some("gunicorn");
            if server.is_some()
                && self.needs("uvicorn")
                && let Some(asgi) = &django.asgi
            {
                return Some(Start::new(format!("{chdir}{}", uvicorn(asgi)), because));
            }
            return Some(Start::new(format!("{chdir}{GUNICORN} {wsgi}"), because).with(server));
        }
        let asgi = django.asgi.as_ref()?;
        let server = (!self.needs("uvicorn")).then_some("uvicorn");
        Some(Start::new(format!("{chdir}{}", uvicorn(asgi)), because).with(server))
    }

    fn streamlit(&self) -> Option<Start> {
        if !self.needs("streamlit") {
            return None;
        }
        let known = ["streamlit_app.py", "Home.py", "app.py", "main.py", "Hello.py"];
        let uses = |m: &&Module| m.imports("streamlit");
        let by_name = known.iter().find_map(|name| self.modules.iter().find(|m| m.file == Path::new(name)));
        let module = by_name.filter(uses).or_else(|| self.modules.iter().find(uses))?;
        let line = format!(
            "exec streamlit run {} --server.port $PORT --server.address 0.0.0.0 --server.headless true --browser.gatherUsageStats false",
            quoted(&module.file.to_string_lossy())
        );
        Some(Start::new(line, format!("`{}` of Streamlit", module.file.display())))
    }

    fn asgi(&self) -> Option<Start> {
        let (module, app, framework) = self.find(ASGI)?;
        if framework == "falcon" {
            return None;
        }
        let because = format!(
            "`{}` in `{}` ({framework})",
            app.split(' ').next().unwrap_or(&app),
            module.file.display()
        );
        let target = format!("{}:{app}", module.name());
        if self.needs("hypercorn") && !self.needs("uvicorn") {
            return Some(Start::new(format!("exec hypercorn --bind 0.0.0.0:$PORT {target}"), because));
        }
        let has_server = self.needs("uvicorn") || self.needs("fastapi-cli");
        Some(Start::new(uvicorn(&target), because).with((!has_server).then_some("uvicorn")))
    }

    fn wsgi(&self) -> Option<Start> {
        let (module, app, framework) = self.find(WSGI)?;
        let is_factory = app.ends_with("--factory");
        let app = app.trim_end_matches(" --factory");
        let because = format!("`{app}` in `{}` ({framework})", module.file.display());
        let call = if is_factory { "()" } else { "" };
        let target = format!("{}:{app}{call}", module.name());
        if self.needs("waitress") && !self.needs("gunicorn") {
            let factory = if is_factory { "--call " } else { "" };
            let line = format!("exec waitress-serve --listen=0.0.0.0:$PORT {factory}{}:{app}", module.name());
            return Some(Start::new(line, because));
        }
        let server = (!self.needs("gunicorn")).then_some("gunicorn");
        Some(Start::new(format!("{GUNICORN} {}", quoted(&target)), because).with(server))
    }

    /// Finds the first module that makes an app of one of the frameworks; a factory ends with ` --factory`.
    fn find(&self, frameworks: &'static [(&str, &[&str])]) -> Option<(&Module, String, &'static str)> {
        let used = || frameworks.iter().filter(|(package, _)| self.needs(package));
        for module in self.modules {
            for (package, makers) in used() {
                if let Some(variable) =
                    module.variable(makers).filter(|_| module.imports(package) || *package != "falcon")
                {
                    return Some((module, variable, package));
                }
            }
        }
        for module in self.modules {
            for (package, makers) in used() {
                if let Some(factory) = module.factory(makers) {
                    return Some((module, format!("{factory} --factory"), package));
                }
            }
        }
        // `app = create_app()` in a module beside the factory.
        for module in self.modules {
            let made = module.variable(&["create_app", "make_app", "get_app", "build_app"]);
            if let (Some(variable), Some((package, _))) = (made, used().next()) {
                return Some((module, variable, package));
            }
        }
        None
    }

    fn dash(&self) -> Option<Start> {
        if !self.needs("dash") {
            return None;
        }
        let module = self.modules.iter().find(|m| m.variable(&["Dash"]).is_some())?;
        let because = format!("`{}` of Dash", module.file.display());
        let server = (!self.needs("gunicorn")).then_some("gunicorn");
        let variable = module.variable(&["Dash"])?;
        let exposed = module.text().lines().find_map(|l| {
            let (name, value) = l.split_once('=')?;
            (value.trim() == format!("{variable}.server")).then(|| name.trim().to_owned())
        });
        let target = match exposed {
            Some(name) => format!("{}:{name}", module.name()),
            None => format!("{}:{variable}.server", module.name()),
        };
        Some(Start::new(format!("{GUNICORN} {target}"), because).with(server))
    }

    fn gradio(&self) -> Option<Start> {
        if !self.needs("gradio") {
            return None;
        }
        let module = self.modules.iter().find(|m| m.imports("gradio"))?;
        let file = quoted(&module.file.to_string_lossy());
        let line = format!("GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT exec python {file}");
        Some(Start::new(line, format!("`{}` of Gradio", module.file.display())))
    }

    fn script(&self) -> Option<Start> {
        let there = |name: &&&str| self.dir.join(name).is_file();
        let name = SCRIPTS.iter().find(there)?;
        if self.needs("sanic")
            && let Some(module) = self.modules.iter().find(|m| m.variable(&["Sanic"]).is_some())
        {
            let variable = module.variable(&["Sanic"])?;
            let line = format!("exec sanic {}:{variable} --host 0.0.0.0 --port $PORT", module.name());
            return Some(Start::new(line, format!("`{variable}` in `{}` (sanic)", module.file.display())));
        }
        Some(Start::new(format!("exec python {name}"), format!("`{name}`")))
    }

    fn console_script(&self) -> Option<Start> {
        let scripts = self.project?.scripts();
        let named = self.project?.name().and_then(|n| scripts.iter().find(|(s, _)| s == n));
        let preferred = ["web", "start", "serve", "server", "app", "main", "run"];
        let by_habit = || preferred.iter().find_map(|p| scripts.iter().find(|(s, _)| s == p));
        let (name, target) = named.or_else(by_habit).or_else(|| scripts.first())?;
        let (module, function) = target.split_once(':')?;
        let function = function.split('[').next().unwrap_or(function).trim();
        let line =
            format!("exec python -c 'import sys; from {module} import {function} as f; sys.exit(f())'");
        Some(Start::new(line, format!("the script `{name}` of pyproject.toml")))
    }

    fn package(&self) -> Option<Start> {
        let module = self
            .modules
            .iter()
            .find(|m| m.file.ends_with("__main__.py") && m.file.components().count() > 1)?;
        let name = module.name();
        let package = name.strip_suffix(".__main__").unwrap_or(&name);
        Some(Start::new(format!("exec python -m {package}"), format!("`{}`", module.file.display())))
    }

    fn only_module(&self) -> Option<Start> {
        let top = |m: &&Module| m.file.components().count() == 1 && m.file != Path::new("setup.py");
        let mut all = self.modules.iter().filter(top);
        let one = match (all.next(), all.next()) {
            (Some(only), None) => only,
            _ => self.modules.iter().filter(top).find(|m| m.is_script())?,
        };
        let file = one.file.to_string_lossy();
        Some(Start::new(format!("exec python {}", quoted(&file)), format!("`{file}`")))
    }
}

fn uvicorn(target: &str) -> String {
    let (target, factory) = match target.strip_suffix(" --factory") {
        Some(target) => (target, " --factory"),
        None => (target, ""),
    };
    format!("exec uvicorn {target}{factory} --host 0.0.0.0 --port $PORT --proxy-headers")
}

/// Writes a word for the shell.
fn quoted(word: &str) -> String {
    if word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b':')) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::App;
    use crate::project::PyProject;
    use crate::source::modules;

    /// The line and the server for an app with these files and packages.
    fn start(files: &[(&str, &str)], packages: &[&str]) -> (String, Option<&'static str>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let packages: BTreeSet<String> = packages.iter().map(|p| (*p).to_owned()).collect();
        let project = PyProject::read(dir.path()).unwrap();
        let modules = modules(dir.path());
        let app = App { dir: dir.path(), modules: &modules, packages: &packages, project: project.as_ref() };
        app.start().map(|s| (s.line, s.server)).unwrap_or_default()
    }

    #[test]
    fn frameworks_are_started_by_the_server_that_they_list_or_are_given_one() {
        let fastapi = [("app/main.py", "from fastapi import FastAPI\napi = FastAPI()\n")];
        let uvicorn = "exec uvicorn app.main:api --host 0.0.0.0 --port $PORT --proxy-headers";
        assert_eq!(start(&fastapi, &["fastapi"]), (uvicorn.to_owned(), Some("uvicorn")));
        assert_eq!(start(&fastapi, &["fastapi", "uvicorn"]), (uvicorn.to_owned(), None));
        let flask = [("hello.py", "from flask import Flask\napp = Flask(__name__)\n")];
        let (line, server) = start(&flask, &["flask"]);
        assert!(line.ends_with(" hello:app"), "{line}");
        assert_eq!(server, Some("gunicorn"));
        let factory = [(
            "flaskr/__init__.py",
            "from flask import Flask\ndef create_app(test=None):\n    app = Flask('x')\n",
        )];
        assert!(start(&factory, &["flask", "gunicorn"]).0.ends_with(" 'flaskr:create_app()'"));
        assert_eq!(
            start(&factory, &["flask", "waitress"]).0,
            "exec waitress-serve --listen=0.0.0.0:$PORT --call flaskr:create_app"
        );
    }

    #[test]
    fn django_is_started_by_its_wsgi_application() {
        let files = [
            ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"),
            ("shop/settings.py", "WSGI_APPLICATION = 'shop.wsgi.application'\n"),
            ("shop/wsgi.py", "application = get_wsgi_application()\n"),
        ];
        let (line, server) = start(&files, &["django"]);
        assert!(line.ends_with(" shop.wsgi:application"), "{line}");
        assert_eq!(server, Some("gunicorn"));
    }

    #[test]
    fn what_is_no_web_framework_is_started_as_it_is() {
        assert_eq!(start(&[("main.py", "print()")], &[]).0, "exec python main.py");
        assert_eq!(start(&[("odd name.py", "print()")], &[]).0, "exec python 'odd name.py'");
        assert_eq!(start(&[("pkg/__main__.py", "")], &[]).0, "exec python -m pkg");
        let scripts = [
            (
                "pyproject.toml",
                "[project]\nname = 'tool'\n[project.scripts]\nother = 'a:b'\ntool = 'pkg.cli:main'\n",
            ),
            ("pkg/cli.py", ""),
        ];
        assert!(start(&scripts, &[]).0.contains("from pkg.cli import main as f"));
        assert_eq!(start(&[("a.py", ""), ("b.py", "")], &[]).0, "");
    }

    #[test]
    fn data_apps_listen_where_they_are_told() {
        let streamlit = [("streamlit_app.py", "import streamlit as st\n")];
        assert!(
            start(&streamlit, &["streamlit"])
                .0
                .starts_with("exec streamlit run streamlit_app.py --server.port $PORT")
        );
        let gradio = [("app.py", "import gradio as gr\n")];
        assert_eq!(
            start(&gradio, &["gradio"]).0,
            "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT exec python app.py"
        );
        let dash = [("app.py", "from dash import Dash\napp = Dash()\nserver = app.server\n")];
        assert!(start(&dash, &["dash"]).0.ends_with(" app:server"));
    }
}
