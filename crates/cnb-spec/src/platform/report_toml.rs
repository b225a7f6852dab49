//! `report.toml`: what was written, and where.
//!
//! Written by exporter and rebaser, read by the platform.
//! Platform Interface Specification, "`report.toml` (TOML)"; requirements A30 to A32.

use super::metadata_toml::BomEntry;
use crate::gotoml::{Node, Table};

/// The contents of `report.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The names under which the image was written.
    pub tags: Vec<String>,
    /// The manifest digest; empty for an engine.
    pub digest: String,
    /// The image ID; empty for a registry.
    pub image_id: String,
    /// The manifest's size in bytes; 0 when unknown.
    pub manifest_size: u64,
    /// The bill of materials for building, before Platform API 0.9.
    pub build_bom: Vec<BomEntry>,
}

impl Report {
    /// Returns the file's text.
    pub fn to_toml(&self) -> String {
        let size = i64::try_from(self.manifest_size).ok().filter(|s| *s > 0);
        let image = Table::new()
            .with_some("tags", (!self.tags.is_empty()).then(|| Node::from(&self.tags[..])))
            .with_text("image-id", &self.image_id)
            .with_text("digest", &self.digest)
            .with_some("manifest-size", size);
        let mut table = Table::new();
        if !self.build_bom.is_empty() {
            table = table
                .with("build", Table::new().with_tables("bom", self.build_bom.iter().map(BomEntry::to_toml)));
        }
        table.with("image", image).write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_left_out() {
        let report = Report { tags: vec!["a".into()], digest: "sha256:0".into(), ..Report::default() };
        assert_eq!(report.to_toml(), "[image]\n  tags = [\"a\"]\n  digest = \"sha256:0\"\n");
    }
}
