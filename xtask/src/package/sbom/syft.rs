//! Syft's own JSON, as its schema has it.

use serde_json::{Value, json};

use super::{Linked, Origin, Package, Subject, TOOL, VERSION, sha256};

/// The version of the schema.
const SCHEMA: &str = "16.1.0";

/// Makes the document.
pub(super) fn document(subject: &Subject, linked: &Linked) -> Value {
    let source = &subject.sha256;
    let mut relationships = Vec::new();
    for package in linked.packages.values() {
        relationships.push(relationship(source, "contains", &id(package)));
        // The parent is the one that is used.
        let uses = package.depends_on.iter().map(|key| id(&linked.packages[key]));
        relationships.extend(uses.map(|used| relationship(&used, "dependency-of", &id(package))));
    }
    json!({
        "artifacts": linked.packages.values().map(|package| artifact(package, linked)).collect::<Vec<_>>(),
        "artifactRelationships": relationships,
        "source": {
            "id": source,
            "name": subject.program,
            "version": VERSION,
            "type": "file",
            "metadata": {
                "path": subject.program,
                "digests": [{"algorithm": "sha256", "value": subject.sha256}],
                "mimeType": "application/x-sharedlib",
            },
        },
        "distro": {},
        "descriptor": {"name": TOOL, "version": VERSION},
        "schema": {
            "version": SCHEMA,
            "url": format!("https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SCHEMA}.json"),
        },
    })
}

fn artifact(package: &Package, linked: &Linked) -> Value {
    let is_crate = package.origin != Origin::Toolchain;
    let licences: Vec<Value> = Some(&package.licence)
        .filter(|licence| !licence.is_empty())
        .map(|licence| {
            json!({
                "value": licence,
                "spdxExpression": licence,
                "type": "declared",
                "urls": [],
                "locations": [],
            })
        })
        .into_iter()
        .collect();
    let mut artifact = json!({
        "id": id(package),
        "name": package.name,
        "version": package.version,
        "type": if is_crate { "rust-crate" } else { "binary" },
        "foundBy": TOOL,
        "locations": [],
        "licenses": licences,
        "language": if is_crate { "rust" } else { "" },
        "cpes": [],
        "purl": package.purl(),
    });
    if is_crate {
        let (source, checksum) = match &package.origin {
            Origin::Locked { source, checksum } => (source.as_str(), checksum.as_str()),
            Origin::Workspace | Origin::Toolchain => ("", ""),
        };
        let used = package.depends_on.iter().map(|key| &linked.packages[key]);
        artifact["metadataType"] = "rust-cargo-lock-entry".into();
        artifact["metadata"] = json!({
            "name": package.name,
            "version": package.version,
            "source": source,
            "checksum": checksum,
            "dependencies": used.filter(|p| p.origin != Origin::Toolchain).map(|p| &p.name).collect::<Vec<_>>(),
        });
    }
    artifact
}

fn relationship(parent: &str, kind: &str, child: &str) -> Value {
    json!({"parent": parent, "type": kind, "child": child})
}

/// Returns an identifier of the length that syft's own have.
fn id(package: &Package) -> String {
    sha256(package.purl().as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap()
    }

    #[test]
    fn every_relationship_joins_artifacts_or_the_source() {
        let (subject, linked) = super::super::tests::linked();
        let document = document(&subject, &linked);
        let artifacts = document["artifacts"].as_array().unwrap();
        let mut ids: BTreeSet<&str> = artifacts.iter().map(|a| text(a, "id")).collect();
        assert_eq!(ids.len(), 3, "identifiers are unique");
        ids.insert(text(&document["source"], "id"));
        let relationships = document["artifactRelationships"].as_array().unwrap();
        assert_eq!(relationships.len(), 6);
        assert!(
            relationships.iter().all(|r| ids.contains(text(r, "parent")) && ids.contains(text(r, "child")))
        );
        for key in ["distro", "descriptor", "schema", "source"] {
            assert!(document[key].is_object(), "{key}");
        }
        for artifact in artifacts {
            for key in ["id", "name", "version", "type", "foundBy", "language", "purl"] {
                assert!(artifact[key].is_string(), "{key}");
            }
            for key in ["locations", "licenses", "cpes"] {
                assert!(artifact[key].is_array(), "{key}");
            }
        }
    }

    #[test]
    fn crates_have_their_entry_of_the_lock_file() {
        let (_, linked) = super::super::tests::linked();
        let artifact = |key: &str| artifact(&linked.packages[key], &linked);
        assert_eq!(artifact("me")["metadata"]["dependencies"], json!(["a_b"]));
        assert_eq!(artifact("a_b")["metadata"]["checksum"], "12".repeat(32));
        assert_eq!(artifact("std").get("metadata"), None);
    }
}
