//! What is inside a layer, as a `CycloneDX` 1.5 and an SPDX 2.3 document (requirements A54, C64).
//!
//! Neither time nor serial number is written: the same contents have the same document.

mod spdx;

use serde::{Deserialize, Serialize};

/// A list of components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sbom {
    components: Vec<Component>,
}

/// One thing that is inside a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// `library` or `application`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purl: String,
    /// Its licences, each an SPDX identifier or expression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
}

/// What kind of thing a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something that starts by itself: a runtime, a server.
    Application,
    /// Something that an application uses.
    Library,
}

/// A licence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct License {
    /// An SPDX expression.
    pub expression: String,
}

impl Component {
    /// Makes a component.
    pub fn new(kind: Kind, name: &str, version: &str, purl: String) -> Self {
        Self { kind, name: name.to_owned(), version: version.to_owned(), purl, licenses: Vec::new() }
    }

    /// Adds the licence that the package declares.
    #[must_use]
    pub fn license(mut self, expression: Option<&str>) -> Self {
        // CycloneDX allows a single expression, or none.
        self.licenses = expression
            .filter(|e| is_spdx_like(e))
            .map(|e| License { expression: e.to_owned() })
            .into_iter()
            .collect();
        self
    }
}

/// Packages also write sentences into their licence field, which are no expressions: in one, names and operators
/// stand in turns.
fn is_spdx_like(text: &str) -> bool {
    let is_name = |w: &str| w.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+'));
    let words: Vec<&str> = text.split([' ', '(', ')']).filter(|w| !w.is_empty()).collect();
    let in_turns = words.iter().enumerate().all(|(n, word)| {
        let is_operator = matches!(*word, "AND" | "OR" | "WITH");
        if n % 2 == 1 { is_operator } else { !is_operator && is_name(word) }
    });
    words.len() % 2 == 1 && in_turns
}

impl FromIterator<Component> for Sbom {
    fn from_iter<T: IntoIterator<Item = Component>>(components: T) -> Self {
        let mut components: Vec<_> = components.into_iter().collect();
        components.sort();
        components.dedup();
        Self { components }
    }
}

impl Sbom {
    /// Reads what [`Sbom::to_cyclonedx`] wrote.
    pub(crate) fn from_cyclonedx(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Document {
            components: Vec<Component>,
        }
        serde_json::from_slice(json).map(|document: Document| document.components.into_iter().collect())
    }

    /// Writes the `CycloneDX` document.
    pub fn to_cyclonedx(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            bom_format: &'static str,
            spec_version: &'static str,
            version: u32,
            components: &'a [Component],
        }
        let document = Document {
            bom_format: "CycloneDX",
            spec_version: "1.5",
            version: 1,
            components: &self.components,
        };
        // Only maps with keys that are no texts and failing writers cannot be serialised; neither is here.
        let mut json = serde_json::to_string_pretty(&document).unwrap_or_default();
        json.push('\n');
        json
    }
}

/// Escapes a segment of a package URL.
pub fn purl_segment(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/' | b':') {
            out.push(char::from(b));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Component, Kind, Sbom, is_spdx_like, purl_segment};

    #[test]
    fn components_are_sorted_and_listed_once() {
        let a = Component::new(Kind::Library, "a", "1", "pkg:npm/a@1".into()).license(Some("MIT"));
        let b = Component::new(Kind::Library, "b", "1", String::new()).license(Some("see the file, please"));
        let one: Sbom = [b.clone(), a.clone(), a.clone()].into_iter().collect();
        let other: Sbom = [a, b].into_iter().collect();
        assert_eq!(one.to_cyclonedx(), other.to_cyclonedx());
        let json: serde_json::Value = serde_json::from_str(&one.to_cyclonedx()).unwrap();
        assert_eq!(json["specVersion"], "1.5");
        assert_eq!(json["components"][0]["licenses"][0]["expression"], "MIT");
        assert_eq!(json["components"][1].get("licenses"), None);
    }

    #[test]
    fn only_expressions_count_as_licences() {
        for good in ["MIT", "(MIT OR Apache-2.0)", "GPL-2.0-only WITH Classpath-exception-2.0", "LGPL-2.1+"] {
            assert!(is_spdx_like(good), "{good}");
        }
        for bad in ["", "MIT License", "SEE LICENSE IN x", "AND", "MIT OR", "BSD, 3 clauses", "custom: mine"]
        {
            assert!(!is_spdx_like(bad), "{bad}");
        }
    }

    #[test]
    fn a_document_is_read_back_whole() {
        let component = Component::new(Kind::Application, "node", "20.1.0", "pkg:generic/node@20.1.0".into())
            .license(Some("MIT"));
        let sbom = Sbom::from_iter([component]);
        assert_eq!(Sbom::from_cyclonedx(sbom.to_cyclonedx().as_bytes()).unwrap(), sbom);
    }

    #[test]
    fn package_urls_escape_what_they_must() {
        assert_eq!(purl_segment("@scope/name"), "%40scope/name");
    }
}
