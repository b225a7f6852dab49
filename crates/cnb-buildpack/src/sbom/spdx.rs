//! The same list as an SPDX 2.3 document in JSON.
#![expect(clippy::struct_field_names, reason = "the fields are SPDX's own")]

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Component, Sbom};
use crate::tree;

/// What is not known, in SPDX's words.
const NOT_SAID: &str = "NOASSERTION";
/// The time of every document, since the same contents have the same document.
const CREATED: &str = "1980-01-01T00:00:01Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package<'a>>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: &'static str,
    creators: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version_info: &'a str,
    primary_package_purpose: &'static str,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'a str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef<'a> {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: &'static str,
    relationship_type: &'static str,
    related_spdx_element: String,
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";

impl Sbom {
    /// Writes the SPDX document; `name` is what it is about.
    pub fn to_spdx(&self, name: &str) -> String {
        let packages: Vec<_> =
            self.components.iter().enumerate().map(|(number, c)| package(number, c)).collect();
        let relationships = packages
            .iter()
            .map(|p| Relationship {
                spdx_element_id: DOCUMENT,
                relationship_type: "DESCRIBES",
                related_spdx_element: p.id.clone(),
            })
            .collect();
        let document = Document {
            spdx_version: "SPDX-2.3",
            data_license: "CC0-1.0",
            id: DOCUMENT,
            name,
            // A name for the contents, which nothing answers at.
            document_namespace: format!(
                "urn:cnb:spdx:{name}:{}",
                tree::hex(&Sha256::digest(self.to_cyclonedx()))
            ),
            creation_info: CreationInfo {
                created: CREATED,
                creators: [format!("Tool: cnb-{}", env!("CARGO_PKG_VERSION"))],
            },
            packages,
            relationships,
        };
        // Only maps with keys that are no texts and failing writers cannot be serialised; neither is here.
        let mut json = serde_json::to_string_pretty(&document).unwrap_or_default();
        json.push('\n');
        json
    }
}

fn package(number: usize, component: &Component) -> Package<'_> {
    let purl = (!component.purl.is_empty()).then(|| ExternalRef {
        reference_category: "PACKAGE-MANAGER",
        reference_type: "purl",
        reference_locator: &component.purl,
    });
    Package {
        id: format!("SPDXRef-Package-{number}"),
        name: &component.name,
        version_info: &component.version,
        primary_package_purpose: match component.kind {
            super::Kind::Application => "APPLICATION",
            super::Kind::Library => "LIBRARY",
        },
        download_location: NOT_SAID,
        files_analyzed: false,
        license_concluded: NOT_SAID,
        license_declared: component.licenses.first().map_or(NOT_SAID, |l| &l.expression),
        copyright_text: NOT_SAID,
        external_refs: purl.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Component, Kind, Sbom};

    #[test]
    fn every_component_is_a_package_that_the_document_describes() {
        let with = Component::new(Kind::Library, "a", "1", "pkg:npm/a@1".into()).license(Some("MIT"));
        let without = Component::new(Kind::Application, "b", "", String::new());
        let sbom: Sbom = [with, without].into_iter().collect();
        let json: serde_json::Value = serde_json::from_str(&sbom.to_spdx("modules")).unwrap();
        let package = |name| json["packages"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap();
        assert_eq!(package("a")["licenseDeclared"], "MIT");
        assert_eq!(package("a")["externalRefs"][0]["referenceLocator"], "pkg:npm/a@1");
        assert_eq!(package("b")["licenseDeclared"], "NOASSERTION");
        assert_eq!(package("b").get("externalRefs"), None);
        let described: Vec<_> =
            json["relationships"].as_array().unwrap().iter().map(|r| &r["relatedSpdxElement"]).collect();
        assert_eq!(
            described,
            json["packages"].as_array().unwrap().iter().map(|p| &p["SPDXID"]).collect::<Vec<_>>()
        );
        assert_eq!(sbom.to_spdx("modules"), sbom.to_spdx("modules"));
        assert_ne!(
            json["documentNamespace"],
            serde_json::from_str::<serde_json::Value>(&Sbom::default().to_spdx("modules")).unwrap()["documentNamespace"]
        );
    }
}
