//! `CycloneDX` 1.5 JSON.

use serde_json::{Value, json};

use super::{CREATED, Linked, Origin, Package, REPOSITORY, Subject, TOOL, VERSION, uuid};

/// Makes the document.
pub(super) fn document(subject: &Subject, linked: &Linked) -> Value {
    let is_root = |key: &&String| **key == linked.root;
    let others = linked.packages.keys().filter(|key| !is_root(key));
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", uuid(subject, linked)),
        "version": 1,
        "metadata": {
            "timestamp": CREATED,
            "tools": {"components": [{"type": "application", "name": TOOL, "version": VERSION}]},
            "component": program(subject, &linked.packages[&linked.root]),
        },
        "components": others.map(|key| component(&linked.packages[key])).collect::<Vec<_>>(),
        "dependencies": linked.packages.values().map(|package| json!({
            "ref": package.purl(),
            "dependsOn": package.depends_on.iter().map(|key| linked.packages[key].purl()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn program(subject: &Subject, package: &Package) -> Value {
    let mut component = component(package);
    component["type"] = "application".into();
    component["name"] = subject.program.into();
    component["hashes"] = json!([{"alg": "SHA-256", "content": subject.sha256}]);
    component["externalReferences"] = json!([{"type": "vcs", "url": REPOSITORY}]);
    component
}

fn component(package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": package.purl(),
        "name": package.name,
        "version": package.version,
        "purl": package.purl(),
    });
    if !package.licence.is_empty() {
        component["licenses"] = json!([{"expression": package.licence}]);
    }
    if let Origin::Locked { checksum, .. } = &package.origin
        && !checksum.is_empty()
    {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap()
    }

    #[test]
    fn every_reference_is_a_component_and_the_program_is_no_component_of_itself() {
        let (subject, linked) = super::super::tests::linked();
        let document = document(&subject, &linked);
        assert_eq!(document["bomFormat"], "CycloneDX");
        assert_eq!(document["version"], 1);
        assert!(document["serialNumber"].as_str().unwrap().starts_with("urn:uuid:"));
        let program = &document["metadata"]["component"];
        assert_eq!((&program["type"], &program["name"]), (&json!("application"), &json!("launcher")));
        let components = document["components"].as_array().unwrap();
        let refs: BTreeSet<&str> = components.iter().chain([program]).map(|c| text(c, "bom-ref")).collect();
        assert_eq!((components.len(), refs.len()), (2, 3), "references are unique");
        for component in components {
            assert_eq!(component["type"], "library");
            assert!(component["name"].is_string() && component["version"].is_string());
            assert_eq!(component["licenses"][0]["expression"], "MIT OR Apache-2.0");
        }
        let dependencies = document["dependencies"].as_array().unwrap();
        assert_eq!(dependencies.len(), 3);
        for dependency in dependencies {
            assert!(refs.contains(text(dependency, "ref")));
            assert!(
                dependency["dependsOn"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|d| refs.contains(d.as_str().unwrap()))
            );
        }
    }

    #[test]
    fn only_archives_of_registries_have_hashes() {
        let (_, linked) = super::super::tests::linked();
        assert_eq!(component(&linked.packages["a_b"])["hashes"][0]["content"], "12".repeat(32));
        assert_eq!(component(&linked.packages["std"]).get("hashes"), None);
        assert_eq!(component(&linked.packages["std"])["purl"], "pkg:generic/std@1.0.0%2Bx");
    }
}
