//! What an app says about how it is served: in variables, or in the files that other platforms read.

use std::path::Path;

use cnb_buildpack::context::{is_on, var};
use cnb_spec::env::Env;

/// The variables that name the folder to serve, ours before Paketo's.
const ROOT: &[&str] = &["CNB_STATIC_ROOT", "BP_WEB_SERVER_ROOT"];
/// The variables that ask for `index.html` wherever there is no file.
const SPA: &[&str] = &["CNB_STATIC_SPA", "BP_WEB_SERVER_ENABLE_PUSH_STATE"];

/// How an app is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The folder to serve, and where it is written.
    pub root: Option<(String, String)>,
    /// Whether `index.html` is the answer where there is no file, if anything says so.
    pub spa: Option<bool>,
}

impl Settings {
    /// Reads them; a variable is over a file.
    pub fn read(app: &Path, env: &Env) -> Self {
        let of_files = static_file(app).or_else(|| static_json(app)).unwrap_or_default();
        let named = ROOT.iter().find_map(|name| Some((var(env, name)?.to_owned(), (*name).to_owned())));
        let spa = SPA.iter().find_map(|name| var(env, name)).map(|value| is_on(Some(value)));
        Self { root: named.or(of_files.root), spa: spa.or(of_files.spa) }
    }
}

/// Reads `Staticfile`, as Cloud Foundry has it: `root: public`, `pushstate: enabled`.
fn static_file(app: &Path) -> Option<Settings> {
    let text = fs_err::read_to_string(app.join("Staticfile")).ok()?;
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.split_once(':').filter(|(n, _)| n.trim() == name))?.1;
        let value = found.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        Some(value.to_owned()).filter(|v| !v.is_empty())
    };
    let root = value("root").map(|root| (inner(&root), "`root` of Staticfile".to_owned()));
    Some(Settings { root, spa: value("pushstate").map(|v| v == "enabled" || v == "true") })
}

/// Reads `static.json`, as Heroku had it: `root`, and a route from everything to one page.
fn static_json(app: &Path) -> Option<Settings> {
    let bytes = fs_err::read(app.join("static.json")).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let root = value.get("root").and_then(serde_json::Value::as_str);
    let root = root.map(|root| (inner(root), "`root` of static.json".to_owned()));
    let everything = value.get("routes").and_then(|routes| routes.get("/**"));
    Some(Settings { root, spa: everything.map(|page| page.as_str() == Some("index.html")) })
}

/// A folder as it is written for other platforms, where `/` means the app's own.
fn inner(root: &str) -> String {
    let root = root.trim_matches('/').trim_start_matches("./");
    if root.is_empty() { ".".to_owned() } else { root.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Env, Settings};

    #[test]
    fn files_of_other_platforms_are_understood_and_variables_are_over_them() {
        let dir = tempfile::tempdir().unwrap();
        let read = |env: &[(&str, &str)]| {
            let env: Env = env.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            let found = Settings::read(dir.path(), &env);
            (found.root.map(|(root, _)| root).unwrap_or_default(), found.spa)
        };
        assert_eq!(read(&[]), (String::new(), None));
        let json = r#"{"root":"dist/","routes":{"/**":"index.html"}}"#;
        fs_err::write(dir.path().join("static.json"), json).unwrap();
        assert_eq!(read(&[]), ("dist".to_owned(), Some(true)));
        fs_err::write(dir.path().join("Staticfile"), "# ours\nroot: ./site # here\npushstate: disabled\n")
            .unwrap();
        assert_eq!(read(&[]), ("site".to_owned(), Some(false)));
        let env = [("BP_WEB_SERVER_ROOT", "a"), ("CNB_STATIC_SPA", "1")];
        assert_eq!(read(&env), ("a".to_owned(), Some(true)));
        assert_eq!(read(&[("CNB_STATIC_ROOT", "b"), ("BP_WEB_SERVER_ROOT", "a")]).0, "b");
    }
}
