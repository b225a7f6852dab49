//! Who may depend on whom: the bans of `ARCHITECTURE.md`, over everything that is linked in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Finding;

/// What a ban keeps out.
const HTTP_AND_ASYNC: &[&str] =
    &["tokio", "async-std", "smol", "hyper", "h2", "reqwest", "ureq", "isahc", "curl"];
const CREDENTIALS: &[&str] = &["cnb-registry", "cnb-daemon", "cnb-cache"];
const IO: &[&str] = &["cnb-fs", "fs-err", "rustix", "nix", "libc", "tempfile", "tokio", "tar"];
const PHASES: &[&str] = &["cnb-detector", "cnb-builder", "cnb-exporter", "cnb-extender"];

/// Which crates must never pull in which others, and why.
const BANS: &[(&[&str], &[&str], &str)] = &[
    (
        &["cnb-detector", "cnb-builder", "cnb-extender", "cnb-sandbox"],
        CREDENTIALS,
        "detect and build must not be able to reach credentials of image stores",
    ),
    (
        &[
            "cnb-spec",
            "cnb-fs",
            "cnb-dirs",
            "cnb-image",
            "cnb-cache",
            "cnb-sandbox",
            "cnb-detector",
            "cnb-builder",
            "cnb-exporter",
            "cnb-extender",
            "cnb-launcher",
        ],
        HTTP_AND_ASYNC,
        "the core is synchronous and without a network",
    ),
    (&["cnb-spec"], IO, "formats are values"),
    (&["cnb-exporter"], &["cnb-sandbox"], "exporting runs nothing"),
    (&["cnb-sandbox"], &["cnb-spec"], "it runs commands and knows nothing of buildpacks"),
    (&["cnb-launcher"], &["cnb-image", "cnb-sandbox", "clap"], "it ships inside every app image"),
    (PHASES, PHASES, "phases meet in `cnb-lifecycle` only"),
];

/// What tests alone may use.
const FOR_TESTS: &str = "cnb-testkit";

/// Packages and what is linked into them.
#[derive(Debug, Default)]
pub struct Graph {
    /// Package IDs, with the name of each.
    names: BTreeMap<String, String>,
    /// What a package links, by ID; tests and build scripts do not count.
    normal: BTreeMap<String, Vec<String>>,
    members: Vec<(String, String)>,
}

impl Graph {
    /// Reads the output of `cargo metadata`.
    pub fn new(metadata: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut graph = Self::default();
        for package in list(&metadata["packages"]) {
            graph.names.insert(text(&package["id"]), text(&package["name"]));
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let is_normal = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let deps =
                list(&node["deps"]).into_iter().filter(is_normal).map(|dep| text(&dep["pkg"])).collect();
            graph.normal.insert(text(&node["id"]), deps);
        }
        let root = text(&metadata["workspace_root"]);
        for package in list(&metadata["packages"]).iter().filter(|p| p["source"].is_null()) {
            let manifest = text(&package["manifest_path"]);
            let manifest =
                manifest.strip_prefix(&root).unwrap_or(&manifest).trim_start_matches('/').to_owned();
            graph.members.push((text(&package["id"]), manifest));
        }
        graph.members.sort();
        graph
    }

    /// Returns the names of the packages in `crates/`, sorted.
    pub fn workspace_crates(&self) -> Vec<&str> {
        let in_crates = self.members.iter().filter(|(_, manifest)| manifest.starts_with("crates/"));
        let mut names: Vec<_> = in_crates.map(|(id, _)| self.name(id)).collect();
        names.sort_unstable();
        names
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }

    /// Returns how `from` comes to link a package named `to`: the names on the shortest way, both included.
    fn way(&self, from: &str, to: &str) -> Option<Vec<&str>> {
        let mut seen = BTreeSet::from([from]);
        let mut ways = std::collections::VecDeque::from([vec![from]]);
        while let Some(way) = ways.pop_front() {
            let last = *way.last()?;
            if way.len() > 1 && self.name(last) == to {
                return Some(way.into_iter().map(|id| self.name(id)).collect());
            }
            for next in self.normal.get(last).into_iter().flatten() {
                if seen.insert(next) {
                    ways.push_back(way.iter().copied().chain([next.as_str()]).collect());
                }
            }
        }
        None
    }
}

/// Checks every ban, and that only tests use the test kit.
pub fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (id, manifest) in &graph.members {
        let name = graph.name(id);
        let bans = BANS.iter().filter(|(crates, _, _)| crates.contains(&name));
        for (_, banned, why) in bans {
            for way in banned.iter().filter_map(|b| graph.way(id, b)) {
                findings.push(Finding::new(manifest, 0, format!("pulls in {}: {why}", way[1..].join(" → "))));
            }
        }
        if graph.normal.get(id).into_iter().flatten().any(|dep| graph.name(dep) == FOR_TESTS) {
            findings.push(Finding::new(manifest, 0, format!("uses `{FOR_TESTS}` outside tests")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Makes a workspace from edges `from to`, with ` dev` or ` build` behind those that are not linked.
    fn graph(edges: &[&str]) -> Graph {
        let mut packages = BTreeSet::new();
        let mut nodes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for edge in edges {
            let words: Vec<&str> = edge.split(' ').collect();
            packages.extend([words[0], words[1]]);
            let kind = json!([{"kind": words.get(2)}]);
            nodes.entry(words[0]).or_default().push(json!({"pkg": words[1], "dep_kinds": kind}));
        }
        let package = |name: &&str| {
            let source = if name.starts_with("cnb-") { Value::Null } else { json!("registry") };
            json!({"id": name, "name": name, "source": source, "manifest_path": format!("/w/crates/{name}/Cargo.toml")})
        };
        let nodes = nodes.into_iter().map(|(id, deps)| json!({"id": id, "deps": deps}));
        Graph::new(&json!({
            "workspace_root": "/w",
            "packages": packages.iter().map(package).collect::<Vec<_>>(),
            "resolve": {"nodes": nodes.collect::<Vec<_>>()},
        }))
    }

    #[track_caller]
    fn check_edges(edges: &[&str], expected: &[&str]) {
        let found: Vec<_> = check(&graph(edges)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_ban_holds_over_any_number_of_steps() {
        check_edges(
            &["cnb-detector a", "a b", "b cnb-registry"],
            &[
                "crates/cnb-detector/Cargo.toml:1: pulls in a → b → cnb-registry: detect and build must not be able to reach credentials of image stores",
            ],
        );
        check_edges(
            &["cnb-exporter cnb-builder"],
            &["crates/cnb-exporter/Cargo.toml:1: pulls in cnb-builder: phases meet in `cnb-lifecycle` only"],
        );
    }

    #[test]
    fn tests_and_build_scripts_are_free() {
        check_edges(&["cnb-launcher clap dev", "cnb-launcher cnb-testkit dev", "cnb-spec libc build"], &[]);
        check_edges(
            &["cnb-fs cnb-testkit"],
            &["crates/cnb-fs/Cargo.toml:1: uses `cnb-testkit` outside tests"],
        );
    }

    #[test]
    fn crates_of_the_workspace_are_known_by_where_they_are() {
        assert_eq!(graph(&["cnb-b serde", "cnb-a cnb-b"]).workspace_crates(), ["cnb-a", "cnb-b"]);
    }
}
