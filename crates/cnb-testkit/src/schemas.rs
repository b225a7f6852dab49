//! The schemas of SBOM formats, and whether documents follow them.

use boon::{Compiler, Schemas};
use serde_json::Value;

/// A format of SBOMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `CycloneDX` 1.5.
    CycloneDx,
    /// SPDX 2.3.
    Spdx,
}

/// Where the schema of licences and that of signatures are looked for, seen from that of `CycloneDX`.
const BESIDE: &str = "http://cyclonedx.org/schema/";

impl Format {
    /// Returns the format of a document by the end of its file's name: `.cdx.json` or `.spdx.json`.
    pub fn of_file(name: &str) -> Option<Self> {
        if name.ends_with("cdx.json") {
            Some(Self::CycloneDx)
        } else {
            name.ends_with("spdx.json").then_some(Self::Spdx)
        }
    }

    /// Checks a document against the schema of its format; the error says what is wrong, and where.
    pub fn check(self, document: &[u8]) -> Result<(), String> {
        let document: Value = serde_json::from_slice(document).map_err(|e| e.to_string())?;
        let (name, resources) = match self {
            Self::CycloneDx => (
                "bom-1.5.schema.json",
                vec![
                    ("bom-1.5.schema.json", include_str!("../schemas/bom-1.5.schema.json")),
                    ("spdx.SNAPSHOT.schema.json", include_str!("../schemas/spdx.SNAPSHOT.schema.json")),
                    (
                        "jsf-0.82.SNAPSHOT.schema.json",
                        include_str!("../schemas/jsf-0.82.SNAPSHOT.schema.json"),
                    ),
                ],
            ),
            Self::Spdx => ("spdx-2.3.schema.json", vec![("spdx-2.3.schema.json", SPDX)]),
        };
        let mut compiler = Compiler::new();
        for (name, text) in resources {
            let schema: Value = serde_json::from_str(text).map_err(|e| format!("{name}: {e}"))?;
            compiler.add_resource(&format!("{BESIDE}{name}"), schema).map_err(|e| e.to_string())?;
        }
        let mut schemas = Schemas::new();
        let schema =
            compiler.compile(&format!("{BESIDE}{name}"), &mut schemas).map_err(|e| format!("{e:#}"))?;
        schemas.validate(&document, schema).map_err(|e| e.to_string())
    }
}

const SPDX: &str = include_str!("../schemas/spdx-2.3.schema.json");

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn documents_that_break_their_schema_are_told_from_those_that_do_not() {
        let cyclonedx = |more: &str| format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.5"{more}}}"#);
        let check = |format: Format, text: &str| format.check(text.as_bytes());
        assert_eq!(check(Format::CycloneDx, &cyclonedx("")), Ok(()));
        let id = r#","components":[{"type":"library","name":"a","licenses":[{"license":{"id":"MIT"}}]}]"#;
        assert_eq!(check(Format::CycloneDx, &cyclonedx(id)), Ok(()));
        assert!(check(Format::CycloneDx, &cyclonedx(&id.replace("MIT", "Mine"))).is_err());
        assert!(check(Format::CycloneDx, &cyclonedx(r#","more":1"#)).is_err());
        let spdx = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"a","dataLicense":"CC0-1.0",
                       "creationInfo":{"created":"1980-01-01T00:00:01Z","creators":["Tool: a"]}}"#;
        assert_eq!(check(Format::Spdx, spdx), Ok(()));
        assert!(check(Format::Spdx, &spdx.replace("dataLicense", "licence")).is_err());
    }

    #[test]
    fn the_name_of_a_file_tells_the_format() {
        assert_eq!(Format::of_file("launch.sbom.cdx.json"), Some(Format::CycloneDx));
        assert_eq!(Format::of_file("sbom.spdx.json"), Some(Format::Spdx));
        assert_eq!(Format::of_file("sbom.syft.json"), None);
    }
}
