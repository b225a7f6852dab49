//! SPDX 2.3 JSON.

use serde_json::{Value, json};

use super::{CREATED, Linked, Origin, Package, REPOSITORY, Subject, TOOL, VERSION, uuid};

/// What the format says where nothing is known.
const UNKNOWN: &str = "NOASSERTION";

/// Makes the document.
pub(super) fn document(subject: &Subject, linked: &Linked) -> Value {
    let root = &linked.packages[&linked.root];
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", &id(root))];
    for package in linked.packages.values() {
        let uses = package.depends_on.iter().map(|key| id(&linked.packages[key]));
        relationships.extend(uses.map(|used| relationship(&id(package), "DEPENDS_ON", &used)));
    }
    let packages = linked.packages.iter().map(|(key, p)| {
        let mut value = package(p, subject);
        if *key == linked.root {
            value["name"] = subject.program.into();
            value["primaryPackagePurpose"] = "APPLICATION".into();
            value["checksums"] = checksums(&subject.sha256);
        }
        value
    });
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{VERSION}", subject.program),
        "documentNamespace": format!("{REPOSITORY}/sbom/{}-{}", subject.program, uuid(subject, linked)),
        "creationInfo": {"created": CREATED, "creators": [format!("Tool: {TOOL}-{VERSION}")]},
        "packages": packages.collect::<Vec<_>>(),
        "relationships": relationships,
    })
}

fn package(package: &Package, subject: &Subject) -> Value {
    let download = match package.origin {
        Origin::Workspace if subject.commit.is_empty() => format!("git+{REPOSITORY}"),
        Origin::Workspace => format!("git+{REPOSITORY}@{}", subject.commit),
        Origin::Locked { .. } | Origin::Toolchain => UNKNOWN.to_owned(),
    };
    let mut value = json!({
        "SPDXID": id(package),
        "name": package.name,
        "downloadLocation": download,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": if package.licence.is_empty() { UNKNOWN } else { &package.licence },
        "copyrightText": UNKNOWN,
        "supplier": UNKNOWN,
        "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": package.purl(),
        }],
    });
    if !package.version.is_empty() {
        value["versionInfo"] = package.version.as_str().into();
    }
    if let Origin::Locked { checksum, .. } = &package.origin
        && !checksum.is_empty()
    {
        value["checksums"] = checksums(checksum);
    }
    value
}

fn checksums(sha256: &str) -> Value {
    json!([{"algorithm": "SHA256", "checksumValue": sha256}])
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Returns the identifier of a package, of the few characters that the format allows.
fn id(package: &Package) -> String {
    let text = format!("SPDXRef-Package-{}-{}", package.name, package.version);
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_relationship_joins_elements_of_the_document() {
        let (subject, linked) = super::super::tests::linked();
        let document = document(&subject, &linked);
        for (key, expected) in
            [("spdxVersion", "SPDX-2.3"), ("dataLicense", "CC0-1.0"), ("SPDXID", "SPDXRef-DOCUMENT")]
        {
            assert_eq!(document[key], expected);
        }
        assert!(document["documentNamespace"].as_str().unwrap().starts_with("https://"));
        assert!(document["creationInfo"]["creators"][0].as_str().unwrap().starts_with("Tool: "));
        let packages = document["packages"].as_array().unwrap();
        let mut ids: BTreeSet<&str> = packages.iter().map(|p| p["SPDXID"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 3, "identifiers are unique");
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        assert!(ids.iter().all(|id| id.starts_with("SPDXRef-") && id.chars().all(allowed)));
        ids.insert("SPDXRef-DOCUMENT");
        let relationships = document["relationships"].as_array().unwrap();
        assert_eq!(relationships.len(), 4);
        for relationship in relationships {
            assert!(ids.contains(relationship["spdxElementId"].as_str().unwrap()));
            assert!(ids.contains(relationship["relatedSpdxElement"].as_str().unwrap()));
        }
    }

    #[test]
    fn packages_say_where_they_are_from() {
        let (subject, linked) = super::super::tests::linked();
        let uncommitted = Subject { commit: String::new(), ..subject.clone() };
        let of = |key: &str, subject| package(&linked.packages[key], subject)["downloadLocation"].clone();
        assert_eq!(of("me", &subject), format!("git+{REPOSITORY}@c0ffee"));
        assert_eq!(of("me", &uncommitted), format!("git+{REPOSITORY}"));
        assert_eq!(of("a_b", &subject), UNKNOWN);
    }
}
