//! The exporter: an app image from what the build left, saved under all its names, and the cache for the next
//! build (requirements B65 to B82).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::thread;

use cnb_cache::Volume;
use cnb_exporter::{Event, Export, Exported, Extended, SbomFile, extended, found, launcher_metadata};
use cnb_fs::{GuestPath, HostPath, Owner, toml_file};
use cnb_image::media::Family;
use cnb_image::source::ParentOwner;
use cnb_image::{BlobStore, Content, Image, ImageError, Ownership};
use cnb_lifecycle::images::{Images, Looked};
use cnb_lifecycle::run_image;
use cnb_spec::env::Env;
use cnb_spec::fault;
use cnb_spec::oci::ImageConfig;
use cnb_spec::platform::analyzed_toml::Analyzed;
use cnb_spec::platform::group_toml::Group;
use cnb_spec::platform::metadata_toml::BuildMetadata;
use cnb_spec::platform::project_metadata_toml::ProjectMetadata;
use cnb_spec::platform::run_toml::RunImage;

use crate::caching::Keep;
use crate::connected::Connected;
use crate::console::{Console, Level};
use crate::detector::read_analyzed;
use crate::exit::{Context, Failure, Plain};
use crate::inputs::Inputs;
use crate::names::{self, Names};
use crate::phase::Phase;
use crate::restorer::{Cache, read_group};
use crate::temporary::Temporary;
use crate::timer::Timer;
use crate::{experimental, launch_cache, retry, saving};

/// Runs the phase.
pub(crate) fn run(inputs: &Inputs, env: &Env, console: &Console) -> Result<(), Failure> {
    let mut names = Names::resolve(Phase::Exporter, inputs, env, console)?;
    let root = cnb_fs::Root::host().map_err(Failure::file("open the root directory"))?;
    let analyzed = read_analyzed(&root, &inputs.path("analyzed"), console).map_err(|e| {
        Failure::Inputs(format!("failed to read analyzed file: {}", crate::exit::describe(&e)))
    })?;
    names.run_image = analyzed.run_image.as_ref().map(|r| r.reference.clone()).unwrap_or_default();
    if names.run_image.is_empty() {
        return Err(Failure::Inputs("run image not found in analyzed metadata".to_owned()));
    }
    let checked = Names {
        // A layout is no reference, and an engine's image ID is none of a registry.
        run_image: if inputs.switch("layout") || inputs.switch("daemon") {
            String::new()
        } else {
            names.run_image.clone()
        },
        ..names.clone()
    };
    checked.check(Phase::Exporter, inputs, console)?;
    let previous = analyzed.image.as_ref().map(|i| i.reference.clone()).unwrap_or_default();
    let dirs = inputs.dirs(&["cache-dir", "launch-cache"]);
    let connected = Connected::new(inputs, env, console, names, &[previous], &dirs)?;
    let group = read_group(&connected)?;
    let cache = Cache::open(&connected)?;
    export(&connected, &group, &analyzed, cache)
}

/// Exports the image and the cache.
pub(crate) fn export(
    connected: &Connected<'_>,
    group: &Group,
    analyzed: &Analyzed,
    cache: Option<Cache>,
) -> Result<(), Failure> {
    let Connected { inputs, console, root, images, .. } = connected;
    let extended_dir = HostPath::absolute(inputs.path("extended").as_guest());
    let api = inputs.platform_api;
    let has_extended = std::fs::read_dir(extended_dir.join("run").as_path()).is_ok_and(|d| d.count() > 0);
    if has_extended && api.has_extensions() && !api.extensions_are_stable() {
        experimental::guard(experimental::DOCKERFILES, &connected.env, console)?;
    }
    let temporary = Temporary::create(&connected.env).map_err(Failure::file("create temp directory"))?;
    let store = BlobStore::open(&HostPath::absolute(temporary.path().as_guest()))
        .map_err(Failure::file("create temp directory"))?;
    let project: ProjectMetadata = toml_file::read_if_exists(root, &inputs.path("project-metadata"))
        .map_err(Failure::file("read project metadata file"))?
        .unwrap_or_default();

    let reference = &connected.names.run_image;
    if let Some(previous) = analyzed.image.as_ref().filter(|i| !i.reference.is_empty()) {
        let level = if matches!(images, Images::Engine(_)) { Level::Debug } else { Level::Info };
        console.log(level, &format!("Reusing layers from image '{}'", previous.reference));
    }
    if let Images::Layouts(_) = images {
        console.log(Level::Info, &format!("Using app image: {}", images.shown(&connected.names.image)));
    }
    let run_image = retry::open(console, || images.by_reference(reference))
        .map_err(Failure::file("create new app image"))?;
    let base = run_image.image.clone().filter(|i| !i.layers().is_empty());
    let Some(base) = base else {
        return Err(Failure::file("create new app image")(Plain("image has no layers".to_owned())));
    };
    let previous = previous_image(connected, analyzed)?;
    let name = run_image_name(connected, analyzed)?;
    let metadata_path = inputs.path("layers").join("config/metadata.toml");
    let metadata: BuildMetadata = toml_file::read(root, &metadata_path).map_err(|e| {
        Failure::export("export")(Context::new("read build metadata: failed to read build metadata file", e))
    })?;
    let extended = extended(connected, analyzed, &extended_dir, &store)?;
    let launcher = HostPath::absolute(inputs.path("launcher").as_guest());
    std::fs::metadata(launcher.as_path()).map_err(|e| {
        let text = format!(
            "creating launcher layers: failed to stat launcher at path '{launcher}': stat {launcher}"
        );
        Failure::export("export")(Context { text, source: e.into() })
    })?;
    let launch_cache = launch_cache::open(connected).map_err(Failure::file("create launch cache"))?;
    let keep = cache.map(|cache| Keep::new(connected, &store, cache)).transpose()?;

    let exporting = Exporting {
        connected,
        group,
        analyzed,
        metadata: &metadata,
        base: &base,
        run_image: &run_image,
        name,
        previous: previous.as_ref(),
        project: &project,
        extended: extended.as_ref(),
        store: &store,
        launch_cache,
    };
    if inputs.switch("parallel") && keep.is_some() {
        return in_parallel(exporting, group, keep);
    }
    let exported = exporting.run()?;
    if let Some(keep) = keep {
        keep.run(&exported.found.buildpacks, &exported.diff_ids, &|| true);
    }
    Ok(())
}

/// Exports image and cache beside each other; the cache is only committed once the image is there.
fn in_parallel(exporting: Exporting<'_>, group: &Group, keep: Option<Keep<'_>>) -> Result<(), Failure> {
    let (connected, layers) = (exporting.connected, exporting.connected.inputs.path("layers"));
    let found: Result<Vec<_>, _> =
        group.group.iter().map(|b| found::read_buildpack(&connected.root, &layers, b)).collect();
    let found = found.map_err(Failure::export("export"))?;
    let (done, outcome) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let kept = scope.spawn(move || {
            if let Some(keep) = keep {
                keep.run(&found, &BTreeMap::new(), &|| outcome.recv().unwrap_or(false));
            }
        });
        let result = exporting.run();
        // Without a receiver the cache has ended already, and asks no more.
        let _ = done.send(result.is_ok());
        kept.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map(|_| ())
    })
}

/// All that an export of the image depends on.
struct Exporting<'a> {
    connected: &'a Connected<'a>,
    group: &'a Group,
    analyzed: &'a Analyzed,
    metadata: &'a BuildMetadata,
    base: &'a Image,
    run_image: &'a Looked,
    name: RunImage,
    previous: Option<&'a Image>,
    project: &'a ProjectMetadata,
    extended: Option<&'a Extended>,
    store: &'a BlobStore,
    launch_cache: Option<Volume>,
}

impl Exporting<'_> {
    /// Returns what the label says that the run image was read by.
    fn reference(&self) -> Result<String, Failure> {
        let reference = &self.run_image.reference;
        if matches!(self.connected.images, Images::Layouts(_)) {
            return layout_reference(reference).map_err(Failure::export("export"));
        }
        Ok(reference.clone())
    }

    /// Makes the image, saves it, and writes the report.
    fn run(self) -> Result<Exported, Failure> {
        let Connected { inputs, console, root, .. } = self.connected;
        let timer = Timer::start(console, "Exporter");
        let process_type = inputs.text("process-type");
        let exec_env = inputs.exec_env()?;
        let config = Export {
            root,
            layers: inputs.path("layers"),
            app: inputs.path("app"),
            platform_api: inputs.platform_api,
            group: &self.group.group,
            metadata: self.metadata,
            run_image: self.base,
            run_image_reference: self.reference()?,
            run_image_name: self.name,
            previous: &self.analyzed.metadata,
            previous_image: self.previous,
            launcher: Content::Host(HostPath::absolute(inputs.path("launcher").as_guest())),
            launcher_metadata: &launcher_metadata(),
            process_type: Some(process_type.as_str()).filter(|t| !t.is_empty()),
            project: self.project,
            exec_env: Some(&exec_env),
            source_date_epoch: source_date_epoch(self.connected),
            owner: if fault::is("layer-owner") { Owner { uid: 0, gid: 0 } } else { self.connected.owner },
            parents: if fault::is("parent-owner") {
                ParentOwner::Fixed(self.connected.owner)
            } else {
                ParentOwner::OnDisk
            },
            sboms: sboms(self.connected)?,
            unchanged: &|_, _| None,
            extended: self.extended,
            docker_layers: true,
            store: self.store,
            threads: thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        };
        let exported = cnb_exporter::export(&config, &|event| tell(console, event))
            .map_err(Failure::export("export"))?;
        drop(timer);
        let launch = self
            .launch_cache
            .map(|volume| launch_cache::through(volume, &exported.image, self.base.layers().len()));
        let (image, cached) = launch
            .transpose()
            .map_err(Failure::export("export"))?
            .map_or_else(|| (exported.image.clone(), None), |(image, volume)| (image, Some(volume)));
        let saved = saving::save(self.connected, &image, Phase::Exporter)?;
        if let Some(volume) = cached.filter(|_| saved.is_primary_saved) {
            let failed =
                |e| Failure::export("export")(Context::new("saving image: failed to commit cache", e));
            volume.commit(None).map_err(failed)?;
        }
        saved.result?;
        let report = cnb_spec::platform::report_toml::Report {
            build_bom: exported.report.build_bom.clone(),
            ..saved.report
        };
        root.write(&inputs.path("report"), report.to_toml().as_bytes(), 0o666)
            .map_err(Failure::export("write export report"))?;
        Ok(exported)
    }
}

/// Returns the reference of what the Go program takes for the run image's manifest in a layout: that of an empty
/// image, since it opens the layout without reading it. Bytes of labels agree with its own.
fn layout_reference(reference: &str) -> Result<String, ImageError> {
    let nothing =
        ImageConfig { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..ImageConfig::default() };
    let nothing = Image::assemble(Family::Oci, nothing, Vec::new())?;
    let path = reference.split_once('@').map_or(reference, |(path, _)| path);
    Ok(format!("{path}@{}", nothing.digest()))
}

/// Reads the previous image, whose layers may be reused; one that has vanished is as none.
fn previous_image(connected: &Connected<'_>, analyzed: &Analyzed) -> Result<Option<Image>, Failure> {
    let Some(previous) = analyzed.image.as_ref().filter(|i| !i.reference.is_empty()) else { return Ok(None) };
    let looked = connected.images.by_reference(&previous.reference);
    Ok(looked.map_err(Failure::file("create new app image"))?.image)
}

/// Returns what the label calls the run image (E32).
fn run_image_name(connected: &Connected<'_>, analyzed: &Analyzed) -> Result<RunImage, Failure> {
    let Connected { inputs, console, root, .. } = connected;
    if !inputs.platform_api.has_run_toml() {
        return names::read_stack(inputs, root, console).map_err(Failure::file("read stack file"));
    }
    let offered = names::read_run(inputs, root, console).map_err(Failure::file("read run file"))?;
    let used = analyzed.run_image.as_ref().map(|r| r.image.as_str()).unwrap_or_default();
    if let Some(known) = run_image::offered(&offered, used) {
        return Ok(known);
    }
    let path = inputs.path("layers").join("config/metadata.toml");
    let metadata: BuildMetadata =
        toml_file::read(root, &path).map_err(Failure::file("read build metadata file"))?;
    Ok(run_image::unlisted(&offered, used, !metadata.extensions.is_empty()))
}

/// Reads what image extensions made of the run image (B67).
fn extended(
    connected: &Connected<'_>,
    analyzed: &Analyzed,
    dir: &HostPath,
    store: &BlobStore,
) -> Result<Option<Extended>, Failure> {
    let api = connected.inputs.platform_api;
    if !api.extends_run_images() {
        return Ok(None);
    }
    let failed = Failure::file("get extended image config");
    let read = extended::read(dir, store, true).map_err(Failure::export("export"))?;
    let extends = analyzed.run_image.as_ref().is_some_and(|r| r.extend);
    match read {
        None if extends && !matches!(connected.images, Images::Layouts(_)) => {
            Err(failed(Plain("missing extended run image".to_owned())))
        }
        Some(mut extended) if !extends => {
            // Layers that are there are added, but only a run image that is to be extended gets their config.
            extended.config = None;
            Ok(Some(extended))
        }
        other => Ok(other),
    }
}

/// Reads `SOURCE_DATE_EPOCH` (B69).
fn source_date_epoch(connected: &Connected<'_>) -> Option<i64> {
    if !connected.inputs.platform_api.honours_source_date_epoch() {
        return None;
    }
    let text = connected.env.get(OsStr::new("SOURCE_DATE_EPOCH")).filter(|v| !v.is_empty())?;
    let seconds = text.to_str().and_then(|t| t.parse().ok());
    if seconds.is_none() {
        connected.console.log(Level::Warn, "Ignoring invalid SOURCE_DATE_EPOCH");
    }
    seconds
}

/// Where the lifecycle's own SBOMs are, and where those of a launcher are unless said otherwise (B73).
const SBOM_DIR: &str = "/cnb/lifecycle";
/// The ends of names of SBOM files, in the Go program's order.
const SBOM_ENDS: [&str; 3] = ["sbom.cdx.json", "sbom.spdx.json", "sbom.syft.json"];

/// Lists the SBOMs of lifecycle and launcher that belong into the image.
fn sboms(connected: &Connected<'_>) -> Result<Vec<SbomFile>, Failure> {
    if !connected.inputs.platform_api.has_launcher_sbom() || fault::is("launcher-sbom-lost") {
        return Ok(Vec::new());
    }
    let all = connected.inputs.path("layers").join("sbom");
    let of = |component: &str, to: &GuestPath| {
        SBOM_ENDS.map(|end| SbomFile {
            from: HostPath::absolute(format!("{SBOM_DIR}/{component}.{end}")),
            to: to.join(end),
        })
    };
    let mut files = of("lifecycle", &all.join("build/buildpacksio_lifecycle")).to_vec();
    let launcher = all.join("launch/buildpacksio_lifecycle/launcher");
    let dir = connected.inputs.text("launcher-sbom");
    if dir.is_empty() || dir == SBOM_DIR {
        files.extend(of("launcher", &launcher));
        return Ok(files);
    }
    let path = HostPath::absolute(connected.inputs.path("launcher-sbom").as_guest());
    let entries = std::fs::read_dir(path.as_path()).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|e| {
        connected.console.log(Level::Warn, &format!("Failed to list contents of directory {dir}"));
        Failure::export("export")(Context::new(
            "failed to copy buildpacksio SBOMs",
            cnb_fs::FsError::on("list", path.as_path())(e),
        ))
    })?;
    connected.root.create_dir_all(&launcher).map_err(Failure::export("export"))?;
    let mut names: Vec<_> = entries.into_iter().map(|e| e.file_name()).collect();
    names.sort();
    let is_sbom =
        |name: &&std::ffi::OsString| SBOM_ENDS.iter().any(|end| name.to_string_lossy().ends_with(end));
    files.extend(
        names.iter().filter(is_sbom).map(|name| SbomFile { from: path.join(name), to: launcher.join(name) }),
    );
    Ok(files)
}

/// Says what happened, as the Go lifecycle words it (H, "export").
fn tell(console: &Console, event: Event) {
    let info = |text: String| console.log(Level::Info, &text);
    let sha = |id: &str, diff_id| console.log(Level::Debug, &format!("Layer '{id}' SHA: {diff_id}"));
    match event {
        Event::SbomMissing { file, dir } => {
            console.log(Level::Warn, &format!("Did not find SBOM {file} in {dir}"));
        }
        Event::NamelessLayer { path } => {
            console.log(Level::Warn, &format!("Ignoring {path}: a layer needs a name"));
        }
        Event::LayerAdded { id, diff_id } => {
            info(format!("Adding layer '{id}'"));
            sha(&id, diff_id);
        }
        Event::LayerReused { id, diff_id } => {
            info(format!("Reusing layer '{id}'"));
            sha(&id, diff_id);
        }
        Event::AppLayer { id, diff_id } => sha(&id, diff_id),
        Event::AppLayers { reused, total } => {
            if reused > 0 {
                info(format!("Reused {reused}/{total} app layer(s)"));
            }
            if reused < total {
                info(format!("Added {}/{total} app layer(s)", total - reused));
            }
        }
        Event::Label { key } => info(format!("Adding label '{key}'")),
        Event::DefaultProcess { process_type: Some(process_type) } => {
            info(format!("Setting default process type '{process_type}'"));
        }
        Event::DefaultProcess { process_type: None } => info("no default process type".to_owned()),
    }
}

/// Returns who owns the entries of layers.
pub(crate) fn ownership(connected: &Connected<'_>) -> Ownership {
    Ownership { content: connected.owner, parents: ParentOwner::OnDisk }
}
