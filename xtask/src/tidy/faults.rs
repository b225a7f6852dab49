//! The deliberate faults of the lifecycle are listed, each with a case that catches it, and in no build by default.

use std::collections::BTreeMap;

use cnb_spec_tests::corpus::Entry;
use cnb_spec_tests::mutations::{Mutations, problems};
use serde_json::Value;

use super::clauses::finding;
use super::{Finding, TextFile, source};

/// The list of faults.
pub const MUTATIONS: &str = "spec-tests/mutations.toml";

/// The feature with which a crate has faults.
const FEATURE: &str = "faults";

/// What code asks to know whether it has a fault.
const QUESTION: &str = "fault::is(\"";

/// Checks the list against the cases and the code; `text` is the list as it is written.
pub fn check(mutations: &Mutations, text: &str, entries: &[Entry], files: &[TextFile]) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        problems(mutations, entries).iter().map(|problem| finding(MUTATIONS, problem, text)).collect();
    let asked = asked(files);
    for (id, (path, line)) in &asked {
        if !mutations.fault.iter().any(|fault| fault.id == *id) {
            let what = format!("has the fault `{id}`: list it in {MUTATIONS} with a case that catches it");
            findings.push(Finding::new(*path, *line, what));
        }
    }
    for fault in mutations.fault.iter().filter(|fault| !asked.contains_key(fault.id.as_str())) {
        let what = "is in no code".to_owned();
        findings.push(finding(
            MUTATIONS,
            &cnb_spec_tests::clauses::Problem { of: fault.id.clone(), what },
            text,
        ));
    }
    findings
}

/// Returns the faults in our code, each with the first place where it is.
fn asked(files: &[TextFile]) -> BTreeMap<&str, (&str, usize)> {
    let mut asked = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("crates/") && source::is_ours(&file.path)) {
        for (number, line) in file.text.lines().enumerate() {
            for (at, _) in line.match_indices(QUESTION) {
                if let Some((id, _)) = line[at + QUESTION.len()..].split_once('"') {
                    asked.entry(id).or_insert((file.path.as_str(), number + 1));
                }
            }
        }
    }
    asked
}

/// Checks, in what `cargo metadata` says, that nothing but the feature itself turns faults on.
pub fn check_features(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for package in list(metadata, "packages").iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        let mut found =
            |what: String| findings.push(Finding::new(format!("crates/{name}/Cargo.toml"), 0, what));
        for (feature, enables) in package["features"].as_object().into_iter().flatten() {
            let faulty = |e: &Value| e.as_str().is_some_and(|e| e.rsplit('/').next() == Some(FEATURE));
            if feature != FEATURE && enables.as_array().is_some_and(|enables| enables.iter().any(faulty)) {
                found(format!("the feature `{feature}` turns deliberate faults on"));
            }
        }
        for dependency in &list(package, "dependencies") {
            if list(dependency, "features").iter().any(|feature| feature == FEATURE) {
                let on = dependency["name"].as_str().unwrap_or_default();
                found(format!("turns the deliberate faults of `{on}` on"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_are_in_the_list_and_in_the_code() {
        let text = "[[fault]]\nid = \"a\"\nsays = \"x\"\ncases = []\n[[fault]]\nid = \"b\"\nsays = \"x\"\ncases = []\n";
        let mutations: Mutations = toml::from_str(text).unwrap();
        let code = format!("//! X.\nif {QUESTION}a\") || {QUESTION}c\") {{}}\n");
        let file = |path: &str| TextFile { path: path.to_owned(), text: code.clone() };
        let found = check(&mutations, text, &[], &[file("crates/x/src/y.rs"), file("xtask/src/z.rs")]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = [
            "spec-tests/mutations.toml:2: `a` needs a case that catches it",
            "spec-tests/mutations.toml:6: `b` needs a case that catches it",
            "crates/x/src/y.rs:2: has the fault `c`: list it in spec-tests/mutations.toml with a case that catches it",
            "spec-tests/mutations.toml:6: `b` is in no code",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_turns_faults_on_by_itself() {
        let package = |features: Value, of_dependency: Value| {
            let dependencies = json!([{ "name": "b", "features": of_dependency }]);
            json!({ "packages": [{ "name": "a", "source": null, "features": features, "dependencies": dependencies }] })
        };
        let check = |features: Value, of_dependency: Value| {
            let found = check_features(&package(features, of_dependency));
            found.into_iter().map(|f| f.what).collect::<Vec<_>>()
        };
        assert!(check(json!({ "faults": ["b/faults"], "default": [] }), json!(["other"])).is_empty());
        let on = ["the feature `default` turns deliberate faults on"];
        assert_eq!(check(json!({ "default": ["faults"] }), json!([])), on);
        assert_eq!(check(json!({ "default": ["b/faults"] }), json!([])), on);
        assert_eq!(check(json!({}), json!(["faults"])), ["turns the deliberate faults of `b` on"]);
    }
}
