//! `<layers>/sbom`: what the buildpacks told about what is in the layers (requirements B58, B60, B61, A69).

use std::ffi::OsString;
use std::io;

use cnb_fs::{FsError, GuestPath, Root};
use cnb_spec::buildpack::sbom::SbomFormat;
use cnb_spec::gojson;
use cnb_spec::id::ModuleId;
use cnb_spec::platform::metadata_toml::BomEntry;
use cnb_spec::value;
use serde::Serialize;

use crate::BuildError;

/// Where an SBOM file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into the app image.
    Launch,
    /// Nowhere but the build's report.
    Build,
    /// Into the cache.
    Cache,
}

impl Destination {
    fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Build => "build",
            Self::Cache => "cache",
        }
    }
}

/// An SBOM file to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SbomCopy {
    /// The file that the buildpack left.
    pub from: GuestPath,
    /// The buildpack.
    pub buildpack: ModuleId,
    /// The layer that it tells about, if it is one.
    pub layer: Option<OsString>,
    /// Where it goes.
    pub to: Destination,
    /// Its format.
    pub format: SbomFormat,
}

/// What all buildpacks told.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// The SBOM files.
    pub files: Vec<SbomCopy>,
    /// Legacy bill of materials of the app image.
    pub launch_bom: Vec<BomEntry>,
    /// Legacy bill of materials of the build.
    pub build_bom: Vec<BomEntry>,
}

/// Deletes what an earlier build left.
pub fn clean(root: &Root, layers: &GuestPath) -> Result<(), FsError> {
    root.remove_tree(&layers.join("sbom"))
}

impl Collected {
    /// Copies the files to `<layers>/sbom/{launch,build,cache}/<escaped id>[/<layer>]/sbom.<ext>`.
    pub fn copy_files(&self, root: &Root, layers: &GuestPath) -> Result<(), FsError> {
        for file in &self.files {
            let mut dir = layers.join("sbom").join(file.to.name()).join(file.buildpack.escaped());
            if let Some(layer) = &file.layer {
                dir = dir.join(layer);
            }
            let to = dir.join(format!("sbom.{}", file.format.extension()));
            // In parts: an SBOM may be large.
            let mut source = root.open_file(&file.from)?;
            root.write(&to, b"", 0o666)?;
            let mut target = std::fs::File::from(root.open(&to, rustix::fs::OFlags::WRONLY)?);
            io::copy(&mut source, &mut target).map_err(FsError::on("write", to.as_guest()))?;
        }
        Ok(())
    }

    /// Writes both `sbom.legacy.json`.
    pub fn write_legacy(&self, root: &Root, layers: &GuestPath) -> Result<(), BuildError> {
        for (to, entries) in [(Destination::Launch, &self.launch_bom), (Destination::Build, &self.build_bom)]
        {
            let path = layers.join("sbom").join(to.name()).join("sbom.legacy.json");
            root.write(&path, legacy_json(entries)?.as_bytes(), 0o666)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    metadata: Option<serde_json::Value>,
    buildpack: Buildpack<'a>,
}

#[derive(Serialize)]
struct Buildpack<'a> {
    id: &'a str,
    version: &'a str,
}

fn legacy_json(entries: &[BomEntry]) -> Result<String, BuildError> {
    let shown: Vec<Entry<'_>> = entries
        .iter()
        .map(|e| Entry {
            name: &e.name,
            metadata: e.metadata.as_ref().map(value::table_to_json),
            buildpack: Buildpack { id: e.buildpack.id.as_str(), version: &e.buildpack.version },
        })
        .collect();
    // Go writes `null` for a list that was never filled.
    let json = gojson::to_string(&(!shown.is_empty()).then_some(shown));
    json.map(|text| text + "\n").map_err(|e| BuildError::EncodeBom(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnb_spec::platform::metadata_toml::BomBuildpack;

    #[test]
    fn a_legacy_bill_of_materials_is_json_as_go_writes_it() {
        let entry = |metadata: Option<&str>| BomEntry {
            name: "a<b".into(),
            metadata: metadata.map(|text| toml::from_str(text).unwrap()),
            buildpack: BomBuildpack { id: "x/y".parse().unwrap(), version: "1".into() },
        };
        assert_eq!(legacy_json(&[]).unwrap(), "null\n");
        assert_eq!(
            legacy_json(&[entry(Some("v = 1")), entry(None)]).unwrap(),
            "[{\"name\":\"a\\u003cb\",\"metadata\":{\"v\":1},\"buildpack\":{\"id\":\"x/y\",\"version\":\"1\"}},\
             {\"name\":\"a\\u003cb\",\"metadata\":null,\"buildpack\":{\"id\":\"x/y\",\"version\":\"1\"}}]\n"
        );
    }
}
