//! Which binaries of a package or workspace the image gets, and what their processes are called.

use serde::Deserialize;

/// What `cargo metadata --no-deps` says.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    #[serde(default)]
    workspace_default_members: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    #[serde(default)]
    default_run: Option<String>,
    targets: Vec<Target>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Dependency {
    name: String,
}

/// A binary to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Its name.
    pub name: String,
    /// The package that it is of.
    pub package: String,
    /// The type of its process.
    pub process: String,
    /// Whether its package uses Rocket, which has variables of its own.
    pub rocket: bool,
}

/// Packages that make a program a server.
const SERVERS: &[&str] = &[
    "actix-web",
    "axum",
    "rocket",
    "warp",
    "hyper",
    "poem",
    "tide",
    "salvo",
    "tonic",
    "ntex",
    "gotham",
    "rouille",
    "tiny_http",
    "viz",
    "loco-rs",
    "dropshot",
];

impl Metadata {
    /// Lists the binaries: those of the packages and with the names that are asked for, else all of the default
    /// members; those that need features are built where these are asked for.
    pub fn binaries(&self, packages: &[&str], names: &[&str], features: bool) -> Vec<Binary> {
        let is_default = |p: &&Package| {
            self.workspace_default_members.is_empty() || self.workspace_default_members.contains(&p.id)
        };
        let all = self.packages.iter();
        let chosen: Vec<&Package> = if packages.is_empty() && names.is_empty() {
            all.filter(is_default).collect()
        } else {
            all.filter(|p| packages.is_empty() || packages.contains(&p.name.as_str())).collect()
        };
        let mut found: Vec<(&Package, &Target)> = Vec::new();
        for package in chosen {
            let wanted = |t: &&Target| {
                t.kind.iter().any(|k| k == "bin")
                    && (names.is_empty() || names.contains(&t.name.as_str()))
                    && (features || !names.is_empty() || t.required_features.is_empty())
            };
            found.extend(package.targets.iter().filter(wanted).map(|t| (package, t)));
        }
        let web = web(&found);
        let process = |target: &Target| {
            if web == Some(&target.name) { "web".to_owned() } else { process_type(&target.name) }
        };
        found
            .iter()
            .map(|(package, target)| Binary {
                name: target.name.clone(),
                package: package.name.clone(),
                process: process(target),
                rocket: package.dependencies.iter().any(|d| d.name == "rocket"),
            })
            .collect()
    }
}

/// Which of several binaries is the web process: the only one; the one that is called so, or that `cargo run` would
/// start; the only one that is named as its package, or whose package has a server in it.
fn web<'a>(found: &[(&'a Package, &'a Target)]) -> Option<&'a str> {
    let mut names = found.iter().map(|(_, t)| t.name.as_str());
    if let [(_, only)] = found {
        return Some(&only.name);
    }
    if let Some(named) =
        ["web", "server", "app", "api", "backend"].iter().find_map(|n| names.clone().find(|x| x == n))
    {
        return Some(named);
    }
    if let Some(run) = found.iter().find_map(|(p, _)| p.default_run.as_deref())
        && let Some(name) = names.find(|n| *n == run)
    {
        return Some(name);
    }
    let only = |wanted: &dyn Fn(&Package, &Target) -> bool| {
        let mut fits = found.iter().filter(|(p, t)| wanted(p, t));
        match (fits.next(), fits.next()) {
            (Some((_, only)), None) => Some(only.name.as_str()),
            _ => None,
        }
    };
    let serves = |p: &Package| p.dependencies.iter().any(|d| SERVERS.contains(&d.name.as_str()));
    only(&|p, t| p.name == t.name)
        .or_else(|| only(&|p, _| serves(p)))
        .or_else(|| only(&|p, t| serves(p) && p.name == t.name))
}

/// A process type has letters, digits, `.`, `_` and `-` alone.
fn process_type(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    fn metadata(packages: &[(&str, &[&str], &[&str])]) -> Metadata {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, bins, dependencies)| {
                let targets: Vec<_> = bins.iter().map(|b| serde_json::json!({"name": b, "kind": ["bin"]})).collect();
                let dependencies: Vec<_> = dependencies.iter().map(|d| serde_json::json!({"name": d})).collect();
                serde_json::json!({"id": name, "name": name, "targets": targets, "dependencies": dependencies})
            })
            .collect();
        serde_json::from_value(serde_json::json!({"packages": packages})).unwrap()
    }

    #[track_caller]
    fn check(metadata: &Metadata, expected: &[(&str, &str)]) {
        let found = metadata.binaries(&[], &[], false);
        let found: Vec<_> = found.iter().map(|b| (b.name.as_str(), b.process.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_web_process_is_the_one_that_users_would_start() {
        check(&metadata(&[("hello", &["hello"], &[])]), &[("hello", "web")]);
        check(&metadata(&[("shop", &["shop", "seed"], &[])]), &[("shop", "web"), ("seed", "seed")]);
        check(&metadata(&[("shop", &["server", "shop"], &[])]), &[("server", "web"), ("shop", "shop")]);
        check(&metadata(&[("a", &["a"], &[]), ("b", &["b"], &["axum"])]), &[("a", "a"), ("b", "web")]);
        check(&metadata(&[("a", &["a"], &[]), ("b", &["b"], &[])]), &[("a", "a"), ("b", "b")]);
        check(&metadata(&[("library", &[], &[])]), &[]);
    }

    #[test]
    fn packages_and_binaries_can_be_named() {
        let all = metadata(&[("a", &["a", "x"], &[]), ("b", &["b"], &["rocket"])]);
        let names = |packages: &[&str], bins: &[&str]| {
            all.binaries(packages, bins, false).into_iter().map(|b| (b.name, b.rocket)).collect::<Vec<_>>()
        };
        assert_eq!(names(&["b"], &[]), [("b".to_owned(), true)]);
        assert_eq!(names(&[], &["x"]), [("x".to_owned(), false)]);
        assert_eq!(names(&["b"], &["x"]), []);
    }
}
