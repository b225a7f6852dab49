//! What the app's own files say of it: `pyproject.toml`, `setup.py`, requirements, `Pipfile`.

use std::path::Path;

use cnb_buildpack::Failure;
use cnb_fs::toml_file;
use serde::Deserialize;

/// The name of the project's own description.
pub const FILE: &str = "pyproject.toml";

/// A `pyproject.toml`, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PyProject {
    #[serde(default)]
    pub project: Option<Project>,
    #[serde(default)]
    pub tool: toml::Table,
    #[serde(default, rename = "build-system")]
    pub build_system: Option<toml::Table>,
}

/// The table `[project]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Project {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub requires_python: Option<String>,
    #[serde(default)]
    pub dependencies: Vec<String>,
    #[serde(default)]
    pub scripts: toml::Table,
    #[serde(default)]
    pub dynamic: Vec<String>,
}

impl PyProject {
    /// Reads the app's own, `None` where there is none.
    pub fn read(app: &Path) -> Result<Option<Self>, Failure> {
        let path = app.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let read: Self = toml_file::read_host(&path)
            .map_err(|e| Failure::from(e).next("correct `pyproject.toml`, or remove it"))?;
        Ok(Some(read))
    }

    /// A table below `[tool]`.
    pub fn tool(&self, name: &str) -> Option<&toml::Table> {
        self.tool.get(name)?.as_table()
    }

    /// The Python that it asks for: `requires-python`, or Poetry's dependency `python`.
    pub fn python(&self) -> Option<&str> {
        let poetry = || self.tool("poetry")?.get("dependencies")?.get("python")?.as_str();
        self.project.as_ref().and_then(|p| p.requires_python.as_deref()).or_else(poetry)
    }

    /// The console scripts that it declares, each with `module:function`.
    pub fn scripts(&self) -> Vec<(String, String)> {
        let poetry = self.tool("poetry").and_then(|p| p.get("scripts")).and_then(toml::Value::as_table);
        let own = self.project.as_ref().map(|p| &p.scripts);
        let text = |(name, value): (&String, &toml::Value)| Some((name.clone(), value.as_str()?.to_owned()));
        own.into_iter().chain(poetry).flatten().filter_map(text).collect()
    }

    /// The project's own name.
    pub fn name(&self) -> Option<&str> {
        let poetry = || self.tool("poetry")?.get("name")?.as_str();
        self.project.as_ref().map(|p| p.name.as_str()).filter(|n| !n.is_empty()).or_else(poetry)
    }

    /// Whether it lists what it needs, which some have only for the settings of tools.
    pub fn has_dependencies(&self) -> bool {
        self.project.is_some() || self.tool("poetry").is_some_and(|p| p.contains_key("dependencies"))
    }

    /// Whether the app is a package that is to be installed itself.
    pub fn is_package(&self) -> bool {
        let says_no = |tool: &str, key: &str| {
            self.tool(tool).and_then(|t| t.get(key)).and_then(toml::Value::as_bool) == Some(false)
        };
        let says_yes =
            self.tool("uv").and_then(|t| t.get("package")).and_then(toml::Value::as_bool) == Some(true);
        let is_one = self.build_system.is_some() && (self.project.is_some() || self.tool("poetry").is_some());
        (is_one || says_yes)
            && !says_no("uv", "package")
            && !says_no("poetry", "package-mode")
            && !says_no("pdm", "distribution")
    }

    /// The build backend, such as `maturin`.
    pub fn backend(&self) -> &str {
        let backend = self.build_system.as_ref().and_then(|b| b.get("build-backend"));
        backend.and_then(toml::Value::as_str).unwrap_or_default()
    }
}

/// Returns the name of a requirement as registries compare it: lower case, `-` for `_` and `.`.
pub fn name_of(requirement: &str) -> Option<String> {
    let requirement = requirement.split('#').next().unwrap_or_default().trim();
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(requirement.len());
    let name = requirement[..end].trim();
    (!name.is_empty() && !name.starts_with('-')).then(|| normal(name))
}

/// Writes a name as registries compare it.
pub fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::{PyProject, name_of};

    fn parse(text: &str) -> PyProject {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn poetry_and_the_standard_say_the_same() {
        let standard = parse(
            "[project]\nname='a'\nrequires-python='>=3.10'\n[project.scripts]\nrun='a:main'\n[build-system]\nbuild-backend='hatchling.build'\n",
        );
        let poetry = parse(
            "[tool.poetry]\nname='a'\n[tool.poetry.dependencies]\npython='>=3.10'\n[tool.poetry.scripts]\nrun='a:main'\n[build-system]\n",
        );
        for one in [&standard, &poetry] {
            assert_eq!(one.python(), Some(">=3.10"));
            assert_eq!(one.scripts(), [("run".to_owned(), "a:main".to_owned())]);
            assert_eq!(one.name(), Some("a"));
            assert!(one.is_package() && one.has_dependencies());
        }
        assert_eq!(standard.backend(), "hatchling.build");
    }

    #[test]
    fn settings_of_tools_make_no_package() {
        let settings = parse("[tool.black]\nline-length = 100\n[build-system]\nrequires=['setuptools']\n");
        assert!(!settings.is_package() && !settings.has_dependencies());
        assert!(!parse("[project]\nname='a'\n[tool.uv]\npackage=false\n[build-system]\n").is_package());
        assert!(!parse("[project]\nname='a'\n").is_package());
    }

    #[test]
    fn names_are_compared_as_registries_do() {
        assert_eq!(name_of("Flask_Cors[async]>=1 ; python_version>'3'").as_deref(), Some("flask-cors"));
        assert_eq!(name_of("-r other.txt"), None);
        assert_eq!(name_of("# none"), None);
        assert_eq!(name_of("zope.interface @ https://x").as_deref(), Some("zope-interface"));
    }
}
