//! The kept layers directory of one application.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cnb_fs::lock::Lock;
use cnb_fs::{FsError, HostPath, atomic};
use cnb_spec::platform::labels::BuildpackLayers;

use crate::merge::{Transfer, is_whiteout, merge};
use crate::state::State;

/// More levels than this are made into one: each costs a little of every look-up in the overlay.
const MOST_LEVELS: usize = 12;

/// The most bytes of a state file: 64 MiB, far above what any group of buildpacks writes.
const STATE_LIMIT: u64 = 64 << 20;

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The state cannot be written.
    #[error("failed to write the state of the cache `{0}`")]
    State(HostPath, #[source] serde_json::Error),
}

/// Cache layers of one application, locked for as long as this value lives.
#[derive(Debug)]
pub struct Kept {
    dir: HostPath,
    /// Where the levels lie: `dir`, or another cache that is only read.
    source: HostPath,
    state: State,
    damaged: bool,
    busy: Vec<HostPath>,
    _locks: Vec<Lock>,
}

impl Kept {
    /// Opens the cache in `dirs`: the first is written later, the first that holds anything is read.
    ///
    /// `waiting` is called when another build holds the first; others are passed over then
    /// ([`busy`](Self::busy)). A damaged cache is as an empty one.
    pub fn open(dirs: &[HostPath], waiting: impl Fn(&HostPath)) -> Result<Option<Self>, CacheError> {
        let Some(first) = dirs.first() else { return Ok(None) };
        fs::create_dir_all(first.as_path()).map_err(FsError::on("create the directory", first.as_path()))?;
        let mut locks = vec![Lock::exclusive(first.join("lock").as_path(), || waiting(first))?];
        sweep(first)?;
        let (mut state, mut damaged) = load(first)?;
        let mut source = first.clone();
        let mut busy = Vec::new();
        for other in &dirs[1..] {
            if !state.levels.is_empty() || !other.join("state.json").as_path().exists() {
                continue;
            }
            // Never waited for while the first is held: two builds that read each other's would wait forever.
            let Some(lock) = Lock::try_shared(other.join("lock").as_path())? else {
                busy.push(other.clone());
                continue;
            };
            locks.push(lock);
            let (found, bad) = load(other)?;
            damaged |= bad;
            if !found.levels.is_empty() {
                (state, source) = (found, other.clone());
            }
        }
        Ok(Some(Self { dir: first.clone(), source, state, damaged, busy, _locks: locks }))
    }

    /// Returns whether something is kept in `dir`, without waiting for a build that writes to it.
    pub fn holds_layers(dir: &HostPath) -> bool {
        load(dir).is_ok_and(|(state, _)| !state.levels.is_empty())
    }

    /// Returns the caches that were passed over, since other builds write to them at the moment.
    pub fn busy(&self) -> &[HostPath] {
        &self.busy
    }

    /// Returns whether something was there but could not be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Returns the buildpacks and their cache layers; `sha` is empty for layers that are not in the image.
    pub fn buildpacks(&self) -> &[BuildpackLayers] {
        &self.state.buildpacks
    }

    /// Returns the directories to stack, top first; empty when nothing is kept.
    pub fn levels(&self) -> Vec<HostPath> {
        self.state.levels.iter().map(|name| self.source.join(name)).collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> Result<(), CacheError> {
        let old = self.source_is_own().then(|| self.levels());
        self.state.levels.clear();
        self.state.buildpacks.clear();
        self.source = self.dir.clone();
        self.save()?;
        for level in old.unwrap_or_default() {
            atomic::remove_tree(level.as_path())?;
        }
        Ok(())
    }

    /// Makes `upper`, what a finished build changed on top of [`levels`](Self::levels), the new top level.
    ///
    /// Nothing may be mounted any more. Only the cache layers that `buildpacks` names are kept. The change
    /// takes effect with one atomic write at the end; before it, the cache is as it was.
    pub fn commit(&mut self, upper: &Path, buildpacks: Vec<BuildpackLayers>) -> Result<(), CacheError> {
        prune(upper, &cache_layers(&buildpacks))?;
        let adopted = !self.source_is_own();
        if adopted {
            self.adopt()?;
        }
        let changed = !is_empty(upper)?;
        if !changed && !adopted && buildpacks == self.state.buildpacks {
            return Ok(());
        }
        if changed {
            let name = self.new_level();
            let level = self.dir.join(&name);
            match fs::rename(upper, level.as_path()) {
                Ok(()) => self.state.levels.insert(0, name),
                // A copy has no whiteouts for what lies below, so it has to be whole by itself.
                Err(e) if e.kind() == ErrorKind::CrossesDevices => {
                    return self.replace_by_copy(upper, name, buildpacks);
                }
                Err(e) => return Err(FsError::on("rename", upper)(e).into()),
            }
        }
        self.state.buildpacks = buildpacks;
        self.save()?;
        if self.state.levels.len() > MOST_LEVELS { self.compact() } else { Ok(()) }
    }

    /// Makes a copy of `upper` on top of all levels the only level: `upper` lies on another file system.
    fn replace_by_copy(
        &mut self,
        upper: &Path,
        name: String,
        buildpacks: Vec<BuildpackLayers>,
    ) -> Result<(), CacheError> {
        let old = self.levels();
        let all: Vec<PathBuf> = std::iter::once(upper.to_path_buf()).chain(self.host_levels()).collect();
        merge(&all, self.dir.join(&name).as_path(), Transfer::Copy)?;
        self.state.levels = vec![name];
        self.state.buildpacks = buildpacks;
        self.save()?;
        for level in old {
            atomic::remove_tree(level.as_path())?;
        }
        Ok(())
    }

    /// Replaces all levels by `complete`, a layers directory that is whole by itself.
    ///
    /// For builds without an overlay: the cache layers are moved, or copied across file systems.
    pub fn replace(&mut self, complete: &Path, buildpacks: Vec<BuildpackLayers>) -> Result<(), CacheError> {
        prune(complete, &cache_layers(&buildpacks))?;
        let old = if self.source_is_own() { self.levels() } else { Vec::new() };
        let name = self.new_level();
        let level = self.dir.join(&name);
        merge(&[complete.to_path_buf()], level.as_path(), Transfer::Copy)?;
        self.source = self.dir.clone();
        self.state.levels = vec![name];
        self.state.buildpacks = buildpacks;
        self.save()?;
        for level in old {
            atomic::remove_tree(level.as_path())?;
        }
        Ok(())
    }

    fn source_is_own(&self) -> bool {
        self.source == self.dir
    }

    fn new_level(&mut self) -> String {
        self.state.next += 1;
        format!("level-{}", self.state.next)
    }

    /// Copies what was read from another cache, which stays as it is.
    fn adopt(&mut self) -> Result<(), CacheError> {
        let levels = self.host_levels();
        let name = self.new_level();
        if !levels.is_empty() {
            merge(&levels, self.dir.join(&name).as_path(), Transfer::Copy)?;
            self.state.levels = vec![name];
        }
        self.source = self.dir.clone();
        Ok(())
    }

    fn compact(&mut self) -> Result<(), CacheError> {
        let old = self.levels();
        let name = self.new_level();
        // Levels are never written in place, so the files can be shared with the old ones until those go.
        merge(&self.host_levels(), self.dir.join(&name).as_path(), Transfer::Link)?;
        self.state.levels = vec![name];
        self.save()?;
        for level in old {
            atomic::remove_tree(level.as_path())?;
        }
        Ok(())
    }

    fn host_levels(&self) -> Vec<PathBuf> {
        self.levels().iter().map(|l| l.as_path().to_path_buf()).collect()
    }

    fn save(&self) -> Result<(), CacheError> {
        let bytes = serde_json::to_vec(&self.state).map_err(|e| CacheError::State(self.dir.clone(), e))?;
        Ok(atomic::write(self.dir.join("state.json").as_path(), &bytes)?)
    }
}

/// Reads the state; the second is whether it, or a level that it names, is damaged.
fn load(dir: &HostPath) -> Result<(State, bool), CacheError> {
    let path = dir.join("state.json");
    let bytes = match cnb_fs::toml_file::read_host_bytes(path.as_path(), STATE_LIMIT) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return Ok((State::default(), false)),
        Err(e) => return Err(e.into()),
    };
    let whole = State::parse(&bytes).filter(|s| s.levels.iter().all(|l| dir.join(l).as_path().is_dir()));
    let damaged = whole.is_none();
    // Names of levels that are still there must not be given out again.
    Ok((whole.unwrap_or(State { next: highest_level(dir), ..State::default() }), damaged))
}

fn highest_level(dir: &HostPath) -> u64 {
    let names = fs::read_dir(dir.as_path()).into_iter().flatten().flatten().map(|e| e.file_name());
    names.filter_map(|n| n.to_str()?.strip_prefix("level-")?.parse().ok()).max().unwrap_or(0)
}

/// Deletes levels that no state names: a build was killed between renaming and writing the state.
fn sweep(dir: &HostPath) -> Result<(), CacheError> {
    let (state, damaged) = load(dir)?;
    if damaged {
        return Ok(());
    }
    for entry in fs::read_dir(dir.as_path()).map_err(FsError::on("list", dir.as_path()))? {
        let entry = entry.map_err(FsError::on("list", dir.as_path()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let unknown = name.starts_with("level-") && !state.levels.contains(&name);
        if unknown || name.strip_suffix(".tmp").is_some() {
            atomic::remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// The names of the cache layers, by the folder of their buildpack.
fn cache_layers(buildpacks: &[BuildpackLayers]) -> BTreeMap<String, BTreeSet<String>> {
    let layers =
        |b: &BuildpackLayers| b.layers.iter().filter(|(_, l)| l.cache).map(|(n, _)| n.clone()).collect();
    buildpacks.iter().map(|b| (b.key.replace('/', "_"), layers(b))).collect()
}

/// Deletes from `upper` what is no cache layer; whiteouts stay, since they hide what lies below.
fn prune(upper: &Path, keep: &BTreeMap<String, BTreeSet<String>>) -> Result<(), FsError> {
    for (name, path, whiteout) in entries(upper)? {
        if whiteout {
            continue;
        }
        let Some(layers) = keep.get(&name) else {
            atomic::remove_tree(&path)?;
            continue;
        };
        if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
            atomic::remove_tree(&path)?;
            continue;
        }
        for (name, path, whiteout) in entries(&path)? {
            let sbom_of = name.split_once(".sbom.").map(|(layer, _)| layer);
            if !whiteout && !layers.contains(&name) && !sbom_of.is_some_and(|l| layers.contains(l)) {
                atomic::remove_tree(&path)?;
            }
        }
        if is_empty(&path)? {
            atomic::remove_tree(&path)?;
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<(String, PathBuf, bool)>, FsError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(FsError::on("list", dir))? {
        let entry = entry.map_err(FsError::on("list", dir))?;
        let metadata = entry.metadata().map_err(FsError::on("look at", dir))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), is_whiteout(&metadata)));
    }
    Ok(found)
}

fn is_empty(dir: &Path) -> Result<bool, FsError> {
    Ok(entries(dir)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnb_spec::platform::labels::LayerMetadata;

    fn layers(names: &[(&str, bool)]) -> Vec<BuildpackLayers> {
        let layer =
            |cache| LayerMetadata { cache, launch: true, sha: "sha256:x".into(), ..LayerMetadata::default() };
        let layers = names.iter().map(|(n, cache)| ((*n).to_owned(), layer(*cache))).collect();
        vec![BuildpackLayers { key: "a/b".into(), version: "1".into(), layers, store: None }]
    }

    fn upper(dir: &Path, files: &[&str]) -> PathBuf {
        let upper = dir.join("upper");
        fs::create_dir_all(&upper).unwrap();
        for file in files {
            fs::create_dir_all(upper.join(file).parent().unwrap()).unwrap();
            fs_err::write(upper.join(file), file.as_bytes()).unwrap();
        }
        upper
    }

    fn open(dirs: &[HostPath]) -> Kept {
        Kept::open(dirs, |_| unreachable!("nobody else")).unwrap().unwrap()
    }

    #[test]
    fn only_cache_layers_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = HostPath::absolute(dir.path().join("cache"));
        let files = [
            "a_b/kept/f",
            "a_b/kept.toml",
            "a_b/kept.sbom.cdx.json",
            "a_b/dropped/f",
            "sbom/x",
            "config/metadata.toml",
        ];
        let upper = upper(dir.path(), &files);
        open(std::slice::from_ref(&cache))
            .commit(&upper, layers(&[("kept", true), ("dropped", false)]))
            .unwrap();
        let kept = open(std::slice::from_ref(&cache));
        let level = &kept.levels()[0];
        let there = |p: &str| level.join(p).as_path().exists();
        assert!(there("a_b/kept/f") && there("a_b/kept.sbom.cdx.json"));
        assert!(!there("a_b/kept.toml") && !there("a_b/dropped") && !there("sbom") && !there("config"));
        assert_eq!(kept.buildpacks(), layers(&[("kept", true), ("dropped", false)]));
    }

    #[test]
    fn a_build_that_changed_nothing_adds_no_level() {
        let dir = tempfile::tempdir().unwrap();
        let cache = [HostPath::absolute(dir.path().join("cache"))];
        open(&cache).commit(&upper(dir.path(), &["a_b/l/f"]), layers(&[("l", true)])).unwrap();
        open(&cache).commit(&upper(dir.path(), &["a_b/l.toml"]), layers(&[("l", true)])).unwrap();
        assert_eq!(open(&cache).levels().len(), 1);
    }

    #[test]
    fn many_levels_become_one_with_all_that_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let cache = [HostPath::absolute(dir.path().join("cache"))];
        for n in 0..=MOST_LEVELS {
            open(&cache)
                .commit(&upper(dir.path(), &[&format!("a_b/l/{n}")]), layers(&[("l", true)]))
                .unwrap();
        }
        let kept = open(&cache);
        assert_eq!(kept.levels().len(), 1);
        assert_eq!(fs::read_dir(kept.levels()[0].join("a_b/l").as_path()).unwrap().count(), MOST_LEVELS + 1);
        assert_eq!(fs::read_dir(cache[0].as_path()).unwrap().count(), 3, "lock, state and one level");
    }

    #[test]
    fn a_kill_before_the_state_is_written_loses_nothing_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = [HostPath::absolute(dir.path().join("cache"))];
        open(&cache).commit(&upper(dir.path(), &["a_b/l/f"]), layers(&[("l", true)])).unwrap();
        fs::create_dir_all(cache[0].join("level-2/a_b/l").as_path()).unwrap();
        let kept = open(&cache);
        assert_eq!(kept.levels().len(), 1);
        assert!(!cache[0].join("level-2").as_path().exists());
    }

    #[test]
    fn a_damaged_state_is_told_and_as_an_empty_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = [HostPath::absolute(dir.path().join("cache"))];
        open(&cache).commit(&upper(dir.path(), &["a_b/l/f"]), layers(&[("l", true)])).unwrap();
        fs_err::write(cache[0].join("state.json").as_path(), b"{").unwrap();
        let mut kept = open(&cache);
        assert!(kept.is_damaged() && kept.levels().is_empty());
        kept.commit(&upper(dir.path(), &["a_b/l/f"]), layers(&[("l", true)])).unwrap();
        drop(kept);
        assert!(!open(&cache).is_damaged());
    }

    #[test]
    fn a_second_cache_is_read_when_the_first_is_empty_and_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let main = HostPath::absolute(dir.path().join("main"));
        open(std::slice::from_ref(&main))
            .commit(&upper(dir.path(), &["a_b/l/main"]), layers(&[("l", true)]))
            .unwrap();
        let both = [HostPath::absolute(dir.path().join("branch")), main.clone()];
        let mut kept = open(&both);
        assert_eq!(kept.levels().len(), 1);
        kept.commit(&upper(dir.path(), &["a_b/l/branch"]), layers(&[("l", true)])).unwrap();
        drop(kept);
        assert_eq!(open(&both).levels().len(), 2);
        assert_eq!(open(&[main]).levels().len(), 1);
    }

    #[test]
    fn builds_that_read_each_others_caches_do_not_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let main = HostPath::absolute(dir.path().join("main"));
        open(std::slice::from_ref(&main))
            .commit(&upper(dir.path(), &["a_b/l/f"]), layers(&[("l", true)]))
            .unwrap();
        let _writer = open(std::slice::from_ref(&main));
        let other = open(&[HostPath::absolute(dir.path().join("branch")), main.clone()]);
        assert!(other.levels().is_empty() && other.busy() == [main]);
    }

    #[test]
    fn clearing_forgets_levels_and_metadata() {
        let dir = tempfile::tempdir().unwrap();
        let cache = [HostPath::absolute(dir.path().join("cache"))];
        open(&cache).commit(&upper(dir.path(), &["a_b/l/f"]), layers(&[("l", true)])).unwrap();
        open(&cache).clear().unwrap();
        let kept = open(&cache);
        assert!(kept.levels().is_empty() && kept.buildpacks().is_empty() && !kept.is_damaged());
    }
}
