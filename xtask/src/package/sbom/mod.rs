//! SBOM documents of a program, in the formats of the specification.
//!
//! The bundled buildpacks describe layers with `cnb_buildpack::sbom`, a plain list; these documents also say
//! what uses what, and who made the program. Nothing in them changes from one run to the next: identifiers are
//! hashes of what they identify, and the time is that of the archive's entries.

mod cyclonedx;
mod spdx;
mod syft;

use cnb_spec::buildpack::sbom::SbomFormat;

use super::linked::{Linked, Origin, Package};
use super::{VERSION, sha256};

/// When documents say that they were made: the time of everything in the archive.
const CREATED: &str = "1980-01-01T00:00:01Z";

/// Who documents say made them.
const TOOL: &str = "cargo-xtask-package";

/// Where the source is.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// What a document is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The name of the program.
    pub(super) program: &'static str,
    /// Its SHA-256, in hexadecimal.
    pub(super) sha256: String,
    /// The commit that it was built from; empty when there is none.
    pub(super) commit: String,
}

/// Writes the document in a format.
pub(super) fn document(format: SbomFormat, subject: &Subject, linked: &Linked) -> String {
    let document = match format {
        SbomFormat::CycloneDx => cyclonedx::document(subject, linked),
        SbomFormat::Spdx => spdx::document(subject, linked),
        SbomFormat::Syft => syft::document(subject, linked),
    };
    // Keys are sorted: the maps of `serde_json` are, unless somebody asks for another order.
    format!("{document:#}\n")
}

/// Returns a UUID of our own making (version 8 of RFC 9562) for a document about `subject`.
fn uuid(subject: &Subject, linked: &Linked) -> String {
    let hash = sha256(format!("{subject:?} {linked:?}").as_bytes());
    format!("{}-{}-8{}-a{}-{}", &hash[..8], &hash[8..12], &hash[12..15], &hash[15..18], &hash[18..30])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub(super) fn linked() -> (Subject, Linked) {
        let subject = Subject { program: "launcher", sha256: "ab".repeat(32), commit: "c0ffee".into() };
        let package = |name: &str, origin, deps: &[&str]| Package {
            name: name.to_owned(),
            version: "1.0.0+x".to_owned(),
            licence: "MIT OR Apache-2.0".to_owned(),
            origin,
            depends_on: deps.iter().map(|d| (*d).to_owned()).collect(),
        };
        let locked =
            Origin::Locked { source: "registry+https://example.com/i".into(), checksum: "12".repeat(32) };
        let packages = BTreeMap::from([
            ("me".to_owned(), package("me", Origin::Workspace, &["a_b", "std"])),
            ("a_b".to_owned(), package("a_b", locked, &["std"])),
            ("std".to_owned(), package("std", Origin::Toolchain, &[])),
        ]);
        (subject, Linked { root: "me".to_owned(), packages })
    }

    #[test]
    fn documents_are_the_same_each_time_and_differ_by_program() {
        let (subject, linked) = linked();
        let other = Subject { program: "lifecycle", ..subject.clone() };
        for format in SbomFormat::ALL {
            let text = document(format, &subject, &linked);
            assert_eq!(text, document(format, &subject, &linked));
            assert_ne!(text, document(format, &other, &linked));
            assert!(text.starts_with("{\n") && text.ends_with("}\n"));
        }
    }

    #[test]
    fn identifiers_are_uuids() {
        let (subject, linked) = linked();
        let uuid = uuid(&subject, &linked);
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!((&uuid[14..15], &uuid[19..20]), ("8", "a"));
    }
}
