//! Export: from a finished build to an image in the store, under its names, and wherever else it goes.

use std::collections::BTreeMap;
use std::path::Path;

use cnb_cache::Kept;
use cnb_detector::Detected;
use cnb_exporter::found::{Found, FoundBuildpack, FoundLayer};
use cnb_exporter::{Export, Exported};
use cnb_fs::{FsError, GuestPath, HostPath, Kind, Owner, atomic};
use cnb_image::source::{Content, ParentOwner};
use cnb_spec::digest::DiffId;
use cnb_spec::platform::labels::{BuildpackLayers, LayerMetadata};
use cnb_spec::platform::metadata_toml::BuildMetadata;
use cnb_spec::value;

use crate::build::{API, Known, Session, threads};
use crate::enter::World;
use crate::parts::Parts;
use crate::project::Project;
use crate::{Event, Failure, FailureKind, Phase, Report, ReportLayer, ReportProcess, guest, images, publish};

/// An exported image and what the cache is to keep.
pub(crate) struct ExportedImage {
    pub exported: Exported,
    pub cached: Vec<BuildpackLayers>,
    /// The group's buildpacks: `id@version`.
    pub buildpacks: Vec<String>,
}

/// Makes the image; nothing is published yet.
#[expect(clippy::too_many_arguments, reason = "one argument for what each earlier phase gave")]
pub(crate) fn export(
    session: &Session<'_>,
    world: &World,
    detected: &Detected,
    metadata: &BuildMetadata,
    known: &Known,
    kept: &Kept,
    parts: &Parts,
    project: &Project,
) -> Result<ExportedImage, Failure> {
    let upper = world.work.upper();
    let cached = kept.buildpacks();
    // Nothing of the layer is in the overlay's upper directory: it is as it was kept, and so is its diffID.
    let unchanged = |buildpack: &FoundBuildpack, layer: &FoundLayer| -> Option<DiffId> {
        let touched = upper.join(buildpack.id.escaped()).join(&layer.name);
        if world.places.is_some() || std::fs::symlink_metadata(touched.as_path()).is_ok() {
            return None;
        }
        let sha =
            &cached.iter().find(|b| b.key == buildpack.id.as_str())?.layers.get(layer.name.to_str()?)?.sha;
        sha.parse().ok()
    };
    let export = Export {
        root: &world.root,
        layers: GuestPath::new("/layers"),
        app: session.request.workspace.clone(),
        platform_api: API,
        group: &detected.group.group,
        metadata,
        run_image: &known.base.image,
        run_image_reference: known.base.reference.clone(),
        run_image_name: known.base.run_image(),
        previous: &known.analyzed.metadata,
        previous_image: known.previous.as_ref(),
        launcher: Content::Host(parts.launcher.clone()),
        launcher_metadata: &cnb_exporter::launcher_metadata(),
        process_type: session.request.default_process.as_deref(),
        project: &project.metadata(),
        exec_env: Some(&session.request.exec_env),
        source_date_epoch: session.request.created,
        owner: guest::USER,
        // The directories above the layers are this program's own making: root's, as in a builder image.
        parents: ParentOwner::Fixed(Owner { uid: 0, gid: 0 }),
        sboms: Vec::new(),
        unchanged: &unchanged,
        extended: None,
        docker_layers: false,
        store: known.store.blobs(),
        threads: threads().get(),
    };
    let exported = cnb_exporter::export(&export, &|event| tell(session, known, &event)).map_err(|e| {
        let unknown_process = matches!(e, cnb_exporter::ExportError::UnknownProcess { .. });
        let failure = Failure::new(FailureKind::Phase(Phase::Export), "failed to export").because(e);
        if !unknown_process {
            return failure;
        }
        let types: Vec<&str> = metadata.processes.iter().map(|p| p.process_type.as_str()).collect();
        failure.hint(if types.is_empty() {
            "the buildpacks gave no process type".to_owned()
        } else {
            format!("the process types are {}", types.join(", "))
        })
    })?;
    let cached = cache_metadata(&exported.found, &exported.metadata.buildpacks);
    let buildpacks = detected.group.group.iter().map(ToString::to_string).collect();
    Ok(ExportedImage { exported, cached, buildpacks })
}

/// The cache layers that the build left, with the diffIDs of those that are in the image as well.
fn cache_metadata(found: &Found, exported: &[BuildpackLayers]) -> Vec<BuildpackLayers> {
    let of = |buildpack: &FoundBuildpack| {
        let in_image = exported.iter().find(|b| b.key == buildpack.id.as_str());
        let layers = buildpack.layers.iter().filter(|l| l.metadata.types.cache && l.has_contents).filter_map(
            |layer| {
                // The overlay keeps any name, but the state is text: such a layer is made again.
                let name = layer.name.to_str()?.to_owned();
                let types = layer.metadata.types;
                let sha =
                    in_image.and_then(|b| b.layers.get(&name)).map(|l| l.sha.clone()).unwrap_or_default();
                let data =
                    layer.metadata.metadata.as_ref().map_or(serde_json::Value::Null, value::table_to_json);
                Some((
                    name,
                    LayerMetadata { sha, data, build: types.build, launch: types.launch, cache: true },
                ))
            },
        );
        BuildpackLayers {
            key: buildpack.id.to_string(),
            version: buildpack.version.clone(),
            layers: layers.collect(),
            store: None,
        }
    };
    found.buildpacks.iter().map(of).collect()
}

fn tell(session: &Session<'_>, known: &Known, event: &cnb_exporter::Event) {
    use cnb_exporter::Event as E;
    let size = |diff_id: &DiffId| known.store.blobs().known(diff_id).map_or(0, |blob| blob.size);
    match event {
        E::LayerAdded { id, diff_id } => {
            session.event(Event::Layer { name: id, size: size(diff_id), reused: false });
        }
        E::LayerReused { id, diff_id } => {
            session.event(Event::Layer { name: id, size: size(diff_id), reused: true });
        }
        E::AppLayers { reused, total } => {
            session.debug(&format!("{reused} of {total} application layers are as before"));
        }
        E::AppLayer { id, diff_id } => session.debug(&format!("application layer {id} is {diff_id}")),
        E::SbomMissing { file, dir } => session.debug(&format!("no SBOM {file} in {dir}")),
        E::NamelessLayer { path } => session.warn(&format!("`{path}` belongs to no layer and is left out")),
        E::Label { key } => session.debug(&format!("Adding label '{key}'")),
        E::DefaultProcess { process_type: Some(process_type) } => {
            session.info(&format!("Setting default process type '{process_type}'"));
        }
        E::DefaultProcess { process_type: None } => session.info("no default process type"),
    }
}

/// Stores the image under its names, writes it wherever else it goes, and says what was made.
pub(crate) fn publish(
    session: &Session<'_>,
    known: &Known,
    made: &ExportedImage,
    metadata: &BuildMetadata,
) -> Result<Report, Failure> {
    let request = session.request;
    let image = &made.exported.image;
    let names = request.names();
    let outputs = publish::publish(session, known, image, &names)?;

    let mut toml = made.exported.report.clone();
    toml.tags = names.iter().map(ToString::to_string).collect();
    toml.digest = image.digest().to_string();
    toml.image_id = image.id().to_string();
    toml.manifest_size = image.manifest_bytes().len() as u64;
    if let Some(path) = &request.report {
        atomic::write(path.as_path(), toml.to_toml().as_bytes()).map_err(|e| {
            Failure::new(
                FailureKind::Phase(Phase::Export),
                "the image is stored, but its report could not be written",
            )
            .because(e)
        })?;
    }
    let entrypoint = image.config().config.entrypoint.first().cloned().unwrap_or_default();
    let process = |p: &cnb_spec::process::Process| ReportProcess {
        default: entrypoint == format!("/cnb/process/{}", p.process_type),
        command: p.command.iter().chain(p.args.iter().flatten()).cloned().collect(),
        process_type: p.process_type.clone(),
    };
    let known_before = |diff_id: &DiffId| {
        known.base.image.layer(diff_id).is_some()
            || known.previous.as_ref().is_some_and(|p| p.layer(diff_id).is_some())
    };
    let layers = image.layers().iter().map(|l| ReportLayer {
        name: images::layer_name(&made.exported.metadata, &l.diff_id.to_string()),
        diff_id: l.diff_id.to_string(),
        digest: l.descriptor.digest.to_string(),
        size: l.descriptor.size,
        reused: known_before(&l.diff_id),
    });
    let phases = session.phases.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    Ok(Report {
        image: request.image.typed().to_owned(),
        tags: toml.tags,
        digest: toml.digest,
        image_id: toml.image_id,
        manifest_size: toml.manifest_size,
        size: image.size(),
        run_image: known.base.name.clone(),
        buildpacks: made.buildpacks.clone(),
        processes: metadata.processes.iter().map(process).collect(),
        layers: layers.collect(),
        outputs,
        warnings: session.warned(),
        milliseconds: phases
            .iter()
            .map(|(phase, taken)| (phase.heading(), u64::try_from(taken.as_millis()).unwrap_or(u64::MAX)))
            .collect::<BTreeMap<_, _>>(),
    })
}

/// Copies the SBOM files of the build to a folder of the user's.
pub(crate) fn copy_sboms(world: &World, to: &HostPath) -> Result<(), Failure> {
    copy_tree(world, &GuestPath::new("/layers/sbom"), to.as_path()).map_err(|e| {
        Failure::new(FailureKind::Phase(Phase::Export), format!("failed to copy the SBOM files to `{to}`"))
            .because(e)
    })
}

fn copy_tree(world: &World, from: &GuestPath, to: &Path) -> Result<(), FsError> {
    std::fs::create_dir_all(to).map_err(FsError::on("create the directory", to))?;
    for entry in world.root.list(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        match entry.kind {
            Kind::Dir => copy_tree(world, &source, &target)?,
            Kind::File => atomic::write(&target, &world.root.read(&source, 256 << 20)?)?,
            // The builder makes only files and folders there.
            Kind::Link | Kind::Special => {}
        }
    }
    Ok(())
}
