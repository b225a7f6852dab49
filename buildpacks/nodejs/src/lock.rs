//! npm's lock files: what they say of the packages that are installed.

use std::path::Path;

use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};
use serde_json::{Map, Value};

use crate::range::Range;

/// npm's lock files; the first that exists counts.
pub const OWN: &[&str] = &["npm-shrinkwrap.json", "package-lock.json"];
/// What npm would install.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    packages: Map<String, Value>,
}

/// Finds npm's lock file.
pub fn own(app: &Path) -> Option<&'static str> {
    OWN.iter().copied().find(|name| app.join(name).is_file())
}

impl Lock {
    /// Reads a lock file; one that cannot be read says nothing here, npm reports it better.
    pub fn read(path: &Path) -> Self {
        let Ok(bytes) = fs_err::read(path) else { return Self::default() };
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(&bytes) else { return Self::default() };
        match fields.remove("packages") {
            Some(Value::Object(packages)) => Self { packages },
            _ => Self::default(),
        }
    }

    /// Returns the package that provides a command, if only development needs it.
    pub fn dev_only_provider(&self, command: &str) -> Option<String> {
        let provides = |path: &str, entry: &Value| match entry.get("bin") {
            Some(Value::Object(bins)) => bins.contains_key(command),
            Some(Value::String(_)) => name_in(path).rsplit('/').next() == Some(command),
            _ => false,
        };
        let mut found = self.packages.iter().filter(|(path, entry)| top_level(path) && provides(path, entry));
        let (path, entry) = found.next()?;
        let is_dev = |entry: &Value| entry.get("dev").and_then(Value::as_bool) == Some(true);
        (is_dev(entry) && found.all(|(_, other)| is_dev(other))).then(|| name_in(path).to_owned())
    }

    /// Lists what the packages demand of Node.js.
    pub fn engines(&self) -> Vec<Range> {
        let demand = |entry: &Value| Range::parse(entry.get("engines")?.get("node")?.as_str()?);
        self.packages.iter().filter(|(path, _)| !path.is_empty()).filter_map(|(_, e)| demand(e)).collect()
    }

    /// Lists the packages.
    pub fn sbom(&self) -> Sbom {
        self.packages
            .iter()
            .filter(|(path, entry)| path.contains("node_modules/") && entry.get("link").is_none())
            .filter_map(|(path, entry)| {
                let name = entry.get("name").and_then(Value::as_str).unwrap_or_else(|| name_in(path));
                let version = entry.get("version").and_then(Value::as_str)?;
                let purl = format!("pkg:npm/{}@{}", purl_segment(name), purl_segment(version));
                let license = entry.get("license").and_then(Value::as_str);
                Some(Component::new(Kind::Library, name, version, purl).license(license))
            })
            .collect()
    }
}

/// `node_modules/a/node_modules/@s/b` is the package `@s/b`.
fn name_in(path: &str) -> &str {
    path.rsplit_once("node_modules/").map_or(path, |(_, name)| name)
}

fn top_level(path: &str) -> bool {
    path.strip_prefix("node_modules/").is_some_and(|rest| !rest.contains("node_modules/"))
}

#[cfg(test)]
mod tests {
    use super::{Lock, Value};

    fn lock() -> Lock {
        let text = r#"{
            "": {"name": "app"},
            "node_modules/typescript": {"version": "5.0.0", "dev": true, "license": "Apache-2.0", "bin": {"tsc": "bin/tsc"}},
            "node_modules/serve": {"version": "1.0.0", "bin": "cli.js"},
            "node_modules/@s/a": {"version": "1.2.0", "license": "MIT"},
            "node_modules/serve/node_modules/@s/a": {"version": "1.0.0"},
            "node_modules/local": {"resolved": "local", "link": true}
        }"#;
        let Ok(Value::Object(packages)) = serde_json::from_str(text) else { panic!() };
        Lock { packages }
    }

    #[test]
    fn commands_of_development_are_known() {
        assert_eq!(lock().dev_only_provider("tsc").as_deref(), Some("typescript"));
        assert_eq!(lock().dev_only_provider("serve"), None);
        assert_eq!(lock().dev_only_provider("node"), None);
    }

    #[test]
    fn every_installed_package_is_a_component() {
        let json = lock().sbom().to_cyclonedx();
        for purl in ["pkg:npm/%40s/a@1.2.0", "pkg:npm/%40s/a@1.0.0", "pkg:npm/typescript@5.0.0"] {
            assert!(json.contains(purl), "{json}");
        }
        assert!(!json.contains("\"local\""), "{json}");
    }
}
