//! Django: where its settings and applications are, and its static files.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::context::is_on;
use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

use crate::source::Module;

/// A Django project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Django {
    /// Its `manage.py` within the app.
    pub manage: PathBuf,
    /// Its WSGI application, such as `shop.wsgi:application`.
    pub wsgi: Option<String>,
    /// Its ASGI application.
    pub asgi: Option<String>,
    /// Whether its settings say where static files are collected.
    pub has_static_root: bool,
}

impl Django {
    /// Finds the project, if the app is one.
    pub fn find(app: &Path, modules: &[Module]) -> Option<Self> {
        let is_manage =
            |m: &&Module| m.file.ends_with("manage.py") && m.text().contains("DJANGO_SETTINGS_MODULE");
        let manage = modules.iter().find(is_manage)?;
        let folder = manage.file.parent().unwrap_or(Path::new("")).to_owned();
        let there =
            |module: &str| app.join(&folder).join(module.replace('.', "/")).with_extension("py").is_file();
        let settings: Vec<&Module> = modules
            .iter()
            .filter(|m| {
                m.file.to_string_lossy().contains("settings") || m.text().contains("WSGI_APPLICATION")
            })
            .collect();
        let named = |name: &str| {
            let value = settings.iter().find_map(|m| m.setting(name))?;
            let (module, variable) = value.rsplit_once('.')?;
            there(module).then(|| format!("{module}:{variable}"))
        };
        let beside = |kind: &str| {
            // The package of the settings: `shop` of `shop.settings`.
            let text = manage.text();
            let quoted =
                text.split(['"', '\'']).find(|w| w.ends_with(".settings") || w.contains(".settings."))?;
            let package = quoted.split(".settings").next()?;
            let candidates = [format!("{package}.{kind}"), format!("{}.{kind}", package.split('.').next()?)];
            let module = candidates.into_iter().find(|m| there(m))?;
            Some(format!("{module}:application"))
        };
        Some(Self {
            wsgi: named("WSGI_APPLICATION").or_else(|| beside("wsgi")),
            asgi: named("ASGI_APPLICATION").or_else(|| beside("asgi")),
            has_static_root: settings.iter().any(|m| {
                m.text().lines().any(|l| l.trim_start().starts_with("STATIC_ROOT") && l.contains('='))
            }),
            manage: manage.file.clone(),
        })
    }

    /// The folder of `manage.py` within the app, empty for the app's own.
    pub fn folder(&self) -> String {
        self.manage.parent().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Collects static files into the app, unless there is nowhere to, or the user says `DISABLE_COLLECTSTATIC`.
    pub(crate) fn collect_static(&self, cx: &BuildContext, python: &Path, env: &Env) -> Result<(), Failure> {
        if !self.has_static_root || is_on(cx.var("DISABLE_COLLECTSTATIC")) {
            return Ok(());
        }
        let dir = cx.app_dir.join(self.folder());
        let output = Command::new(python, &dir, env)
            .args(["manage.py", "collectstatic", "--noinput", "--verbosity", "0"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .title("python manage.py collectstatic --noinput")
            .stream(&cx.log)?;
        if !output.success {
            cx.log.warning(
                "static files were not collected, since the settings could not be loaded here; give what they need \
                 with `--env`, or set DISABLE_COLLECTSTATIC=1 if the app needs none",
            );
        }
        Ok(())
    }
}
