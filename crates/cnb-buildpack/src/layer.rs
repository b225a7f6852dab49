//! Layers: directories that go into the image, into the cache, or to later buildpacks (requirements C56 to C63).

use std::path::PathBuf;

use cnb_fs::toml_file;
use cnb_spec::env::Action;
use serde::{Deserialize, Serialize};

use crate::sbom::Sbom;
use crate::{BuildContext, Failure, tree};

/// What a layer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerTypes {
    /// It is part of the image.
    pub launch: bool,
    /// Later buildpacks see it.
    pub build: bool,
    /// It is kept for the next build.
    pub cache: bool,
}

impl LayerTypes {
    /// Part of the image; its contents need not come back when the previous image has the same layer.
    pub const LAUNCH: Self = Self { launch: true, build: false, cache: false };
    /// Part of the image, with contents that come back in the next build.
    pub const LAUNCH_CACHE: Self = Self { launch: true, build: false, cache: true };
    /// Kept for the next build alone.
    pub const CACHE: Self = Self { launch: false, build: false, cache: true };

    /// Whether the previous image's copy of the layer is enough, without contents (requirement C60).
    fn reusable_without_contents(self) -> bool {
        self.launch && !self.build && !self.cache
    }
}

/// Whether a cached layer had to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The layer of an earlier build is used as it was.
    Reused,
    /// The layer was filled now.
    Filled,
}

/// A layer of this buildpack.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its directory, empty or missing when the previous image's copy is reused.
    pub path: PathBuf,
    /// Whether it had to be filled.
    pub state: State,
}

/// In which of a layer's environments a variable is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// While building and at launch.
    Both,
    /// While later buildpacks build.
    Build,
    /// At launch.
    Launch,
    /// At launch of one process type.
    Process(String),
}

#[derive(Serialize)]
struct LayerToml<'a> {
    types: LayerTypes,
    metadata: &'a toml::Table,
}

#[derive(Default, Deserialize)]
struct Restored {
    #[serde(default)]
    metadata: toml::Table,
}

/// The SBOM of a layer as the layer itself keeps it, so that a reused layer still has one.
const KEPT_SBOM: &str = "sbom.cdx.json";

/// The ends of the names of SBOM files (requirement A54).
const CYCLONEDX: &str = "cdx.json";
const SPDX: &str = "spdx.json";

impl BuildContext {
    /// Returns the directory of a layer.
    pub fn layer_path(&self, name: &str) -> PathBuf {
        self.layers_dir.join(name)
    }

    /// Returns what an earlier build recorded about a layer; empty when there was none.
    pub fn restored_metadata(&self, name: &str) -> toml::Table {
        // A file that does not parse is worth no more than a missing one: the layer is made anew.
        toml_file::read_host::<Restored>(&self.layers_dir.join(format!("{name}.toml")))
            .map(|r| r.metadata)
            .unwrap_or_default()
    }

    /// Returns whether an earlier build's layer can be used as it is: same metadata, and contents where needed.
    pub fn is_reusable(&self, name: &str, types: LayerTypes, metadata: &toml::Table) -> bool {
        let path = self.layer_path(name);
        !metadata.is_empty()
            && self.restored_metadata(name) == *metadata
            && (path.is_dir() || types.reusable_without_contents())
    }

    /// Reuses a layer when an earlier build recorded equal metadata, fills it anew otherwise.
    ///
    /// The metadata is written last: a build that is cut short leaves no layer that looks complete.
    /// `fill` may return an SBOM, which then belongs to the layer, also when it is reused.
    pub fn cached_layer(
        &self,
        name: &str,
        types: LayerTypes,
        metadata: &toml::Table,
        fill: impl FnOnce(&Layer) -> Result<Option<Sbom>, Failure>,
    ) -> Result<Layer, Failure> {
        let path = self.layer_path(name);
        if self.is_reusable(name, types, metadata) {
            let layer = Layer { name: name.to_owned(), path, state: State::Reused };
            if let Some(sbom) = self.kept_sbom(name) {
                self.write_layer_sbom(name, &sbom)?;
            }
            self.write_layer_toml(name, types, metadata)?;
            return Ok(layer);
        }
        let layer = Layer { name: name.to_owned(), path, state: State::Filled };
        self.remove_layer(name)?;
        fs_err::create_dir_all(&layer.path)?;
        if let Some(sbom) = fill(&layer)? {
            fs_err::write(layer.path.join(KEPT_SBOM), sbom.to_cyclonedx())?;
            self.write_layer_sbom(name, &sbom)?;
        }
        self.write_layer_toml(name, types, metadata)?;
        Ok(layer)
    }

    /// Makes a small layer anew in each build.
    pub fn fresh_layer(&self, name: &str, types: LayerTypes) -> Result<Layer, Failure> {
        self.cached_layer(name, types, &toml::Table::new(), |_| Ok(None))
    }

    /// Keeps a directory between builds whatever is in it: a package manager's cache.
    pub fn kept_layer(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.layer_path(name);
        fs_err::create_dir_all(&path)?;
        self.write_layer_toml(name, LayerTypes::CACHE, &toml::Table::new())?;
        Ok(path)
    }

    /// Records what a layer is for and what the next build compares.
    pub fn write_layer_toml(
        &self,
        name: &str,
        types: LayerTypes,
        metadata: &toml::Table,
    ) -> Result<(), Failure> {
        self.write_toml(&format!("{name}.toml"), &LayerToml { types, metadata })
    }

    /// Removes a layer that this build has no use for.
    pub fn remove_layer(&self, name: &str) -> Result<(), Failure> {
        tree::remove(&self.layer_path(name))?;
        tree::remove(&self.layers_dir.join(format!("{name}.toml")))?;
        [CYCLONEDX, SPDX].iter().try_for_each(|format| tree::remove(&self.sbom_path(name, format)))
    }

    /// Writes the SBOM of a layer whose contents do not come back.
    pub fn write_layer_sbom(&self, name: &str, sbom: &Sbom) -> Result<(), Failure> {
        fs_err::write(self.sbom_path(name, CYCLONEDX), sbom.to_cyclonedx())?;
        Ok(fs_err::write(self.sbom_path(name, SPDX), sbom.to_spdx(name))?)
    }

    /// Returns the SBOM that a layer was filled with, in this build or an earlier one.
    pub fn kept_sbom(&self, name: &str) -> Option<Sbom> {
        // One that cannot be read was not written by this buildpack.
        let kept = fs_err::read(self.layer_path(name).join(KEPT_SBOM)).ok()?;
        Sbom::from_cyclonedx(&kept).ok()
    }

    /// Writes the SBOM of what the app's own folder holds.
    pub fn write_launch_sbom(&self, sbom: &Sbom) -> Result<(), Failure> {
        self.write_layer_sbom("launch", sbom)
    }

    fn sbom_path(&self, name: &str, format: &str) -> PathBuf {
        self.layers_dir.join(format!("{name}.sbom.{format}"))
    }
}

impl Layer {
    /// Changes a variable for those who use the layer (requirement C18).
    pub fn set_env(&self, scope: &Scope, name: &str, action: Action, value: &str) -> Result<(), Failure> {
        let dir = match scope {
            Scope::Both => self.path.join("env"),
            Scope::Build => self.path.join("env.build"),
            Scope::Launch => self.path.join("env.launch"),
            Scope::Process(kind) => self.path.join("env.launch").join(kind),
        };
        let suffix = match action {
            Action::Append => "append",
            Action::Prepend | Action::PrependPath => "prepend",
            Action::Default => "default",
            Action::Override => "override",
        };
        fs_err::create_dir_all(&dir)?;
        if action == Action::PrependPath {
            fs_err::write(dir.join(format!("{name}.delim")), ":")?;
        }
        Ok(fs_err::write(dir.join(format!("{name}.{suffix}")), value)?)
    }

    /// Adds a program that sets variables at each launch.
    pub fn add_exec_d(&self, name: &str, program: &std::path::Path) -> Result<(), Failure> {
        let dir = self.path.join("exec.d");
        fs_err::create_dir_all(&dir)?;
        fs_err::copy(program, dir.join(name))?;
        Ok(())
    }
}

/// Makes layer metadata from texts: numbers change their kind on the way through an image's label.
pub fn metadata(entries: &[(&str, &str)]) -> toml::Table {
    entries.iter().map(|&(k, v)| (k.to_owned(), toml::Value::String(v.to_owned()))).collect()
}
