//! What the buildpack reads of `package.json`.

use std::collections::BTreeMap;
use std::path::Path;

use cnb_buildpack::Failure;
use serde_json::{Map, Value};

use crate::manager::CHOOSE_SCRIPTS;

/// The file that makes an app one of Node.js.
pub const FILE: &str = "package.json";

/// Scripts that npm runs after it installed; they are run as a part of the build here.
pub const AFTER_INSTALL: &[&str] =
    &["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];
/// What decides which packages are installed.
const DEPENDENCY_FIELDS: &[&str] = &[
    "name",
    "version",
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bundledDependencies",
    "overrides",
    "resolutions",
    "pnpm",
    "trustedDependencies",
    "workspaces",
    "bin",
];
/// The fields that name packages by version or place.
const LISTS: &[&str] = &["dependencies", "devDependencies", "optionalDependencies"];

/// A `package.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Package {
    fields: Map<String, Value>,
}

impl Package {
    /// Reads the `package.json` of a folder.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let text = fs_err::read_to_string(dir.join(FILE))?;
        Self::parse(&text)
    }

    /// Reads a `package.json`; the failure names line and column.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |reason: String| {
            Failure::new(format!("failed to read `{FILE}`")).because(reason).next("correct the file")
        };
        // Editors on Windows put a byte order mark there, and npm does not mind.
        let text = text.trim_start_matches('\u{feff}');
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        match value {
            Value::Object(fields) => Ok(Self { fields }),
            _ => Err(wrong("it holds no object at line 1 column 1".to_owned())),
        }
    }

    /// Returns a field that is a text and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str).filter(|t| !t.trim().is_empty())
    }

    /// Returns the range of Node.js versions that the app asks for.
    pub fn engine(&self) -> Option<&str> {
        self.fields.get("engines")?.get("node")?.as_str().filter(|t| !t.trim().is_empty())
    }

    /// Returns whether it tells pnpm which packages may run scripts when they are installed.
    pub fn chooses_scripts(&self) -> bool {
        let settings = self.fields.get("pnpm").and_then(Value::as_object);
        settings.is_some_and(|s| CHOOSE_SCRIPTS.iter().any(|name| s.contains_key(*name)))
    }

    /// Returns the file that it names as Prisma's schema.
    pub fn prisma_schema(&self) -> Option<&str> {
        self.fields.get("prisma")?.get("schema")?.as_str()
    }

    /// Returns the version of Node.js that Volta keeps for the app.
    pub fn volta(&self) -> Option<&str> {
        self.fields.get("volta")?.get("node")?.as_str()
    }

    /// Returns a script that is not empty.
    pub fn script(&self, name: &str) -> Option<&str> {
        self.fields.get("scripts")?.get(name)?.as_str().filter(|t| !t.trim().is_empty())
    }

    /// Returns whether a script is written down, even as an empty one.
    pub fn names_script(&self, name: &str) -> bool {
        self.fields.get("scripts").and_then(|s| s.get(name)).is_some()
    }

    /// Returns whether a package is a development dependency and no other.
    pub fn is_dev_only(&self, name: &str) -> bool {
        let has = |list: &str| self.fields.get(list).is_some_and(|l| l.get(name).is_some());
        has("devDependencies") && !has("dependencies") && !has("optionalDependencies")
    }

    /// Returns whether a package is a direct dependency of any kind.
    pub fn depends_on(&self, name: &str) -> bool {
        LISTS.iter().any(|list| self.fields.get(*list).is_some_and(|l| l.get(name).is_some()))
    }

    /// Returns whether there are any packages to install.
    pub fn has_dependencies(&self) -> bool {
        self.has_workspaces()
            || LISTS
                .iter()
                .any(|l| self.fields.get(*l).and_then(Value::as_object).is_some_and(|l| !l.is_empty()))
    }

    /// Returns whether there are any packages to install for production.
    pub fn has_production_dependencies(&self) -> bool {
        let lists = LISTS.iter().filter(|l| **l != "devDependencies");
        self.has_workspaces() || lists.filter_map(|l| self.fields.get(*l)?.as_object()).any(|l| !l.is_empty())
    }

    /// Returns whether there are development dependencies.
    pub fn has_dev_dependencies(&self) -> bool {
        self.fields.get("devDependencies").and_then(Value::as_object).is_some_and(|l| !l.is_empty())
    }

    /// Lists the names of the packages that it needs when it runs, with `peers` also those that it expects beside it.
    pub fn needs(&self, peers: bool) -> impl Iterator<Item = &str> {
        let lists = ["dependencies", "optionalDependencies", "peerDependencies"];
        let lists = lists.into_iter().take(if peers { 3 } else { 2 });
        let lists = lists.filter_map(|l| self.fields.get(l)?.as_object());
        lists.flat_map(|l| l.keys().map(String::as_str))
    }

    /// Lists the names of the development dependencies.
    pub fn dev_dependencies(&self) -> impl Iterator<Item = &str> {
        let list = self.fields.get("devDependencies").and_then(Value::as_object);
        list.into_iter().flat_map(|l| l.keys().map(String::as_str))
    }

    /// Lists the commands that the package brings; `name` is its own.
    pub fn commands(&self, name: &str) -> Vec<String> {
        match self.fields.get("bin") {
            Some(Value::Object(bins)) => bins.keys().cloned().collect(),
            Some(Value::String(_)) => name.rsplit('/').next().map(str::to_owned).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Returns whether it is the root of several packages.
    pub fn has_workspaces(&self) -> bool {
        self.fields.get("workspaces").is_some_and(|w| !w.is_null())
    }

    /// Lists the patterns of the folders of its packages.
    pub fn workspaces(&self) -> Vec<String> {
        let listed = self.fields.get("workspaces");
        let listed = listed.and_then(|w| w.as_array().or_else(|| w.get("packages")?.as_array()));
        listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns the dependencies that are files or folders of the app.
    pub fn local_dependencies(&self) -> Vec<String> {
        let versions = LISTS.iter().filter_map(|l| self.fields.get(*l)?.as_object()).flat_map(Map::values);
        let local = |v: &str| {
            let path = v.strip_prefix("file:").or_else(|| v.strip_prefix("link:"));
            path.or_else(|| Some(v).filter(|v| v.starts_with("./") || v.starts_with("../")))
                .map(str::to_owned)
        };
        versions.filter_map(Value::as_str).filter_map(local).collect()
    }

    /// Returns those fields that decide what is installed, as one text.
    pub fn dependency_fields(&self) -> String {
        let wanted: BTreeMap<&str, &Value> =
            DEPENDENCY_FIELDS.iter().filter_map(|&f| Some((f, self.fields.get(f)?))).collect();
        serde_json::to_string(&wanted).unwrap_or_default()
    }

    /// Returns the text of a copy in which installing runs no script of the app itself.
    pub fn for_install(&self) -> String {
        let mut fields = self.fields.clone();
        if let Some(Value::Object(scripts)) = fields.get_mut("scripts") {
            scripts.retain(|name, _| !AFTER_INSTALL.contains(&name.as_str()));
        }
        // Both may forbid the version that there is.
        fields.remove("devEngines");
        fields.remove("packageManager");
        Value::Object(fields).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Package;

    #[test]
    fn a_malformed_file_is_refused_with_line_and_column() {
        let failure = Package::parse("{\n  \"name\": \"a\",\n}").unwrap_err().to_string();
        assert!(failure.contains("`package.json`") && failure.contains("line 3 column 1"), "{failure}");
        assert!(Package::parse("[]").is_err());
    }

    #[test]
    fn dependencies_are_told_from_development_ones() {
        let package = Package::parse(
            r#"{"dependencies":{"a":"1","l":"file:./lib"},"devDependencies":{"b":"1","a":"1"},"scripts":{"build":" "}}"#,
        )
        .unwrap();
        assert!(package.is_dev_only("b") && !package.is_dev_only("a"));
        assert_eq!(package.local_dependencies(), ["./lib"]);
        assert_eq!(package.script("build"), None);
        assert!(package.names_script("build"));
    }

    #[test]
    fn installing_runs_no_script_of_the_app() {
        let package = Package::parse(r#"{"scripts":{"postinstall":"x","start":"y"}}"#).unwrap();
        assert_eq!(package.for_install(), r#"{"scripts":{"start":"y"}}"#);
        assert_eq!(package.dependency_fields(), Package::default().dependency_fields());
    }
}
