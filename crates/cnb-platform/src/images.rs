//! The images of the local store: listing, removing, cleaning up.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cnb_fs::{FsError, HostPath, atomic};
use cnb_image::ImageError;
use cnb_image::image::Image;
use cnb_image::image_store::ImageStore;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::platform::labels::{self, LifecycleMetadata};

use crate::platform::{GcReport, StoredImage};
use crate::{Failure, FailureKind, Platform, ReportProcess, parts};

impl Platform {
    pub(crate) fn store(&self) -> Result<ImageStore, Failure> {
        ImageStore::open(&self.home.images()).map_err(|e| {
            Failure::new(FailureKind::Other, "failed to open the local image store")
                .because(e)
                .hint("CNB_HOME names another place for images and caches")
        })
    }

    /// Reads an image of the local store, `None` if it has none of that name.
    pub(crate) fn stored_if_any(&self, name: &ImageRef) -> Result<Option<Image>, Failure> {
        self.store()?.get(name).map_err(|e| {
            Failure::new(FailureKind::Other, format!("failed to read the image `{}`", name.typed()))
                .because(e)
        })
    }

    /// Reads an image of the local store; a missing one is a failure that lists what is there.
    pub(crate) fn stored(&self, name: &ImageRef) -> Result<Image, Failure> {
        if let Some(image) = self.stored_if_any(name)? {
            return Ok(image);
        }
        let failed = |e| Failure::new(FailureKind::Other, "failed to list the local image store").because(e);
        let store = self.store()?;
        let known: Vec<String> = store.list().map_err(failed)?.into_iter().map(|s| s.typed).collect();
        let failure =
            Failure::new(FailureKind::Request, format!("no image `{}` in the local store", name.typed()));
        Err(match known.len() {
            0 => failure.hint("the store is empty: `cnb build` fills it"),
            1..=8 => failure.hint(format!("the store has {}", known.join(", "))),
            n => failure.hint(format!("`cnb images` lists the {n} images that are there")),
        })
    }

    /// Lists the images of the local store, by name.
    pub fn images(&self) -> Result<Vec<StoredImage>, Failure> {
        let list = self.store()?.list();
        let list = list.map_err(|e| {
            Failure::new(FailureKind::Other, "failed to list the local image store").because(e)
        })?;
        Ok(list
            .into_iter()
            .map(|stored| {
                // An image that cannot be read is listed all the same, so that it can be removed.
                let details = stored.details.ok();
                StoredImage {
                    name: stored.typed,
                    reference: stored.name.to_string(),
                    digest: stored.digest.to_string(),
                    image_id: details.as_ref().map(|d| d.id.to_string()).unwrap_or_default(),
                    size: details.as_ref().map_or(0, |d| d.size),
                    created: details.map(|d| d.created).unwrap_or_default(),
                }
            })
            .collect())
    }

    /// Removes a name; the image's blobs go with the next [`gc`](Self::gc).
    pub fn remove(&self, name: &ImageRef) -> Result<(), Failure> {
        let removed = self.store()?.untag(name);
        let failed =
            |e| Failure::new(FailureKind::Other, format!("failed to remove `{}`", name.typed())).because(e);
        if removed.map_err(failed)? { Ok(()) } else { self.stored(name).map(|_| ()) }
    }

    /// Deletes what no image needs, and what interrupted builds left.
    ///
    /// Blobs without an image, unpacked layers, caches of repositories without an image, old parts.
    pub fn gc(&self) -> Result<GcReport, Failure> {
        let failed = |e: FsError| Failure::new(FailureKind::Other, "failed to clean up").because(e);
        let store = self.store()?;
        let collected = store.gc(|| {});
        let collected =
            collected.map_err(|e| Failure::new(FailureKind::Other, "failed to clean up").because(e))?;
        let mut report = GcReport { removed: collected.blobs as u64, bytes: collected.bytes };
        let stored =
            store.list().map_err(|e| Failure::new(FailureKind::Other, "failed to clean up").because(e))?;
        let mut layers = BTreeSet::new();
        let mut builds = BTreeSet::new();
        for entry in &stored {
            builds.insert(self.home.build(&entry.name.repository()));
            if let Ok(Some(image)) = store.get(&entry.name) {
                layers.extend(image.layers().iter().map(|l| self.home.unpacked().join(l.diff_id.hex())));
            }
        }
        let runs: BTreeSet<HostPath> =
            subfolders(&self.home.runs()).into_iter().filter(is_of_living_process).collect();
        if runs.is_empty() {
            sweep(&self.home.unpacked(), &layers, &mut report).map_err(failed)?;
        }
        sweep(&self.home.runs(), &runs, &mut report).map_err(failed)?;
        sweep(&self.home.parts(), &BTreeSet::from([self.home.parts().join(parts::key())]), &mut report)
            .map_err(failed)?;
        for build in subfolders(&self.home.data.join("builds")) {
            // A build that runs holds this lock, and waiting for it would be longer than a clean-up may take.
            let lock = cnb_fs::lock::Lock::try_exclusive(build.join("lock").as_path()).map_err(failed)?;
            if lock.is_none() {
                continue;
            }
            if builds.contains(&build) {
                let keep = [build.join("lock"), build.join("layers")].into_iter().collect();
                sweep(&build, &keep, &mut report).map_err(failed)?;
            } else {
                remove(&build, &mut report).map_err(failed)?;
            }
        }
        Ok(report)
    }
}

/// Deletes the blob that `error` calls damaged, so that the next build makes it again; returns whether it did.
pub(crate) fn discard_damaged(store: &ImageStore, error: &ImageError) -> bool {
    let ImageError::Damaged { digest, .. } = error else { return false };
    // One that cannot be deleted is noticed again.
    fs::remove_file(store.blobs().path(digest).as_path()).is_ok()
}

/// The lifecycle's label of an image; empty for an image that no lifecycle built.
pub(crate) fn metadata(image: &Image) -> LifecycleMetadata {
    let label = image.config().config.labels.get(labels::LIFECYCLE_METADATA);
    label.and_then(|l| LifecycleMetadata::from_label(l)).unwrap_or_default()
}

/// The label with what the buildpacks said, as JSON: images of other lifecycles may have more or less in it.
pub(crate) struct BuildLabel(serde_json::Value);

impl BuildLabel {
    pub(crate) fn of(image: &Image) -> Self {
        let label = image.config().config.labels.get(labels::BUILD_METADATA);
        Self(label.and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default())
    }

    pub(crate) fn buildpacks(&self) -> Vec<String> {
        let text = |b: &serde_json::Value, key: &str| b[key].as_str().unwrap_or_default().to_owned();
        self.list("buildpacks").map(|b| format!("{}@{}", text(b, "id"), text(b, "version"))).collect()
    }

    /// The processes; `entrypoint` tells which is the default.
    pub(crate) fn processes(&self, entrypoint: &str) -> Vec<ReportProcess> {
        let texts = |value: &serde_json::Value| -> Vec<String> {
            match value {
                serde_json::Value::String(s) => vec![s.clone()],
                serde_json::Value::Array(items) => {
                    items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect()
                }
                _ => Vec::new(),
            }
        };
        let process = |p: &serde_json::Value| {
            let process_type = p["type"].as_str().unwrap_or_default().to_owned();
            let mut command = texts(&p["command"]);
            command.extend(texts(&p["args"]));
            ReportProcess {
                default: entrypoint == format!("/cnb/process/{process_type}"),
                process_type,
                command,
            }
        };
        self.list("processes").map(process).collect()
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &serde_json::Value> {
        self.0[key].as_array().into_iter().flatten()
    }
}

/// Returns what a layer is, by the metadata of its image.
pub(crate) fn layer_name(metadata: &LifecycleMetadata, diff_id: &str) -> String {
    for buildpack in &metadata.buildpacks {
        if let Some((name, _)) = buildpack.layers.iter().find(|(_, l)| l.launch && l.sha == diff_id) {
            return format!("{}:{name}", buildpack.key);
        }
    }
    let is = |sha: &str| sha == diff_id;
    if metadata.sbom.as_ref().is_some_and(|l| is(&l.sha)) {
        "software bill of materials"
    } else if metadata.app.iter().any(|l| is(&l.sha)) {
        "application"
    } else if is(&metadata.launcher.sha) {
        "launcher"
    } else if is(&metadata.config.sha) {
        "launcher config"
    } else if is(&metadata.process_types.sha) {
        "process types"
    } else {
        "run image"
    }
    .to_owned()
}

fn subfolders(dir: &HostPath) -> Vec<HostPath> {
    let entries = fs::read_dir(dir.as_path()).into_iter().flatten().flatten();
    entries.map(|e| HostPath::absolute(e.path())).collect()
}

/// The folder of a run is named after its process.
fn is_of_living_process(dir: &HostPath) -> bool {
    let name = dir.as_path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('-').next().is_some_and(|pid| Path::new("/proc").join(pid).exists())
}

/// Deletes everything in `dir` that `keep` does not name.
fn sweep(dir: &HostPath, keep: &BTreeSet<HostPath>, report: &mut GcReport) -> Result<(), FsError> {
    for path in subfolders(dir) {
        if !keep.contains(&path) {
            remove(&path, report)?;
        }
    }
    Ok(())
}

fn remove(path: &HostPath, report: &mut GcReport) -> Result<(), FsError> {
    report.removed += 1;
    report.bytes += crate::disk::usage(path.as_path());
    atomic::remove_tree(path.as_path())
}
