//! The run image of a build: a given one, or a minimal one of the host's own libraries.

use std::fs::File;
use std::path::Path;

use cnb_fs::{HostPath, Owner, Root, atomic, toml_file};
use cnb_image::unpack::{self, Limits};
use cnb_image::{
    BlobSource, Content, Entry, EntryKind, Image, ImageError, ImageLayer, ImageStore, LayerSource,
    make_layers, media,
};
use cnb_spec::digest::DiffId;
use cnb_spec::oci::{History, ImageConfig, RootFs, RuntimeConfig};
use cnb_spec::platform::labels;
use cnb_spec::platform::run_toml::RunImage;
use cnb_spec::target::host_arch;
use serde::{Deserialize, Serialize};

use crate::build::{Session, threads};
use crate::host::run_base::{self, BaseContent, BasePlan, Libc, Stamp};
use crate::{Failure, FailureKind, Phase, guest, places};

/// The time of everything that is made reproducibly (requirement E25).
const CREATED: &str = "1980-01-01T00:00:01Z";

/// The most bytes of the file that remembers the derived image: 16 MiB.
const KEPT_LIMIT: u64 = 16 << 20;

/// A run image and what it is called.
#[derive(Debug)]
pub(crate) struct Base {
    pub image: Image,
    /// The name that was given, or that of the derived image.
    pub name: String,
    /// The name with the digest of its manifest.
    pub reference: String,
    /// Its layers where they were read, if that is a registry: others of its repositories can mount them from there.
    pub origins: Vec<ImageLayer>,
}

impl Base {
    /// What the labels of the app image say of it.
    pub(crate) fn run_image(&self) -> RunImage {
        RunImage { image: self.name.clone(), mirrors: Vec::new() }
    }
}

/// Returns the run image of a build.
pub(crate) fn choose(session: &Session<'_>, store: &ImageStore) -> Result<Base, Failure> {
    let Some(source) = &session.request.run_image else {
        return derived(session, store).map_err(|e| {
            Failure::new(FailureKind::Phase(Phase::Analyze), "failed to make a run image from the host")
                .because(e)
        });
    };
    let places = &session.places;
    let place = places.resolved(source)?;
    // Its name in the labels is one that others can read it by.
    let name = place.name().map_or_else(|| place.to_string(), |name| name.to_string());
    let image = places.read(&place, None).map_err(in_analysis)?;
    let image = places.packed(&place, image).map_err(in_analysis)?;
    let origins = image.layers().iter().filter(|layer| matches!(layer.blob, BlobSource::Remote(_)));
    let origins = origins.cloned().collect();
    // What the app image refers to must be in the store; what is there already is not copied.
    let image = image.store(store.blobs()).map_err(|e| {
        Failure::new(FailureKind::Phase(Phase::Analyze), format!("failed to use the run image `{name}`"))
            .because(e)
    })?;
    let config = image.config();
    if config.architecture != host_arch() {
        let message = format!(
            "the run image `{name}` is for {}, and this machine is {}",
            config.architecture,
            host_arch()
        );
        return Err(Failure::new(FailureKind::Phase(Phase::Analyze), message)
            .hint("use a run image for this architecture"));
    }
    check_libc(session, &image, &name)?;
    let reference = places::reference(&place, &image);
    Ok(Base { image, name, reference, origins })
}

/// Makes what failed about an image a failure of the phase, unless the request or the user is the reason.
pub(crate) fn in_analysis(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Other => Failure { kind: FailureKind::Phase(Phase::Analyze), ..failure },
        _ => failure,
    }
}

/// Refuses a run image that cannot run what is linked on this host.
fn check_libc(session: &Session<'_>, image: &Image, name: &str) -> Result<(), Failure> {
    let failed = || {
        Failure::new(
            FailureKind::Phase(Phase::Analyze),
            format!("failed to look into the run image `{name}`"),
        )
    };
    let host = Root::host().map_err(|e| failed().because(e))?;
    let Some(host) = run_base::libc_of(&host).map_err(|e| failed().because(e))? else { return Ok(()) };
    match run_base::compare(host, libc_of_image(session, image).map_err(|e| failed().because(e))?) {
        Ok(()) => Ok(()),
        Err(e) if e.image.is_none() => {
            session.warn(&format!("the run image `{name}` has no C library: only static programs run on it"));
            Ok(())
        }
        Err(e) => {
            let hint = e.remedy();
            Err(Failure::new(
                FailureKind::Phase(Phase::Analyze),
                format!("the run image `{name}` cannot run what is built here"),
            )
            .because(e)
            .hint(hint))
        }
    }
}

fn libc_of_image(
    session: &Session<'_>,
    image: &Image,
) -> Result<Option<Libc>, Box<dyn std::error::Error + Send + Sync>> {
    let unpacked = session.platform.home.unpacked();
    std::fs::create_dir_all(unpacked.as_path())?;
    let owner = rustix::process::geteuid().is_root().then_some(guest::HOST_USER);
    // The topmost layer that has one decides.
    for layer in image.layers().iter().rev() {
        let dir = unpacked.join(layer.diff_id.hex());
        if !dir.as_path().exists() {
            unpack::unpack(layer, &dir, Limits::GENEROUS, owner)?;
        }
        let root = Root::new(File::open(dir.as_path())?.into(), None);
        if let Some(libc) = run_base::libc_of(&root)? {
            return Ok(Some(libc));
        }
    }
    Ok(None)
}

/// The derived image of the last build, as long as nothing it was made from has changed.
#[derive(Serialize, Deserialize)]
struct Kept {
    stamp: Stamp,
    diff_id: DiffId,
    config: ImageConfig,
}

fn derived(
    session: &Session<'_>,
    store: &ImageStore,
) -> Result<Base, Box<dyn std::error::Error + Send + Sync>> {
    let file = session.platform.home.data.join("base.json");
    if let Some(base) = kept(&file, store)? {
        return Ok(base);
    }
    session.debug("making a run image from the host's libraries");
    let plan = run_base::plan(Path::new("/"))?;
    let entries = plan.entries.iter().map(entry).collect();
    let made = make_layers(store.blobs(), &[LayerSource::Entries(entries)], threads().get())?;
    let made = made.first().ok_or("no layer was made")?;
    let config = config(&plan, made.diff_id);
    let image =
        Image::assemble(media::Family::Oci, config.clone(), vec![ImageLayer::made(store.blobs(), made)])?;
    let kept = Kept { stamp: plan.stamp, diff_id: made.diff_id, config };
    atomic::write(file.as_path(), &serde_json::to_vec(&kept)?)?;
    Ok(named(image))
}

/// Reads what the last build derived; `None` when it is to be made again.
fn kept(file: &HostPath, store: &ImageStore) -> Result<Option<Base>, ImageError> {
    let Ok(bytes) = toml_file::read_host_bytes(file.as_path(), KEPT_LIMIT) else { return Ok(None) };
    let Ok(kept) = serde_json::from_slice::<Kept>(&bytes) else { return Ok(None) };
    let Some(blob) = store.blobs().known(&kept.diff_id) else { return Ok(None) };
    if !kept.stamp.holds() {
        return Ok(None);
    }
    let layer = ImageLayer::stored(store.blobs(), kept.diff_id, blob);
    Image::assemble(media::Family::Oci, kept.config, vec![layer]).map(|image| Some(named(image)))
}

fn named(image: Image) -> Base {
    let label = |key: &str| image.config().config.labels.get(key).cloned().unwrap_or_default();
    let (distro, version) = (label(labels::BASE_DISTRO_NAME), label(labels::BASE_DISTRO_VERSION));
    let tag = if version.is_empty() { distro } else { format!("{distro}-{version}") };
    let reference = format!("cnb.local/host/run@{}", image.digest());
    Base { image, name: format!("cnb.local/host/run:{tag}"), reference, origins: Vec::new() }
}

fn entry(entry: &run_base::BaseEntry) -> Entry {
    let kind = match &entry.content {
        BaseContent::Dir => EntryKind::Dir,
        BaseContent::Link(target) => EntryKind::Link(target.clone()),
        BaseContent::File { host, .. } => EntryKind::File(Content::Host(host.clone())),
        BaseContent::Generated(bytes) => EntryKind::File(Content::Bytes(bytes.clone().into())),
    };
    let path = entry.guest.as_guest().to_path_buf();
    Entry { path, mode: entry.mode, owner: Owner { uid: entry.uid, gid: entry.gid }, kind }
}

fn config(plan: &BasePlan, diff_id: DiffId) -> ImageConfig {
    let mut labels = plan.labels.clone();
    labels.insert("org.opencontainers.image.base.digest".to_owned(), diff_id.to_string());
    ImageConfig {
        architecture: plan.arch.to_owned(),
        author: String::new(),
        created: CREATED.to_owned(),
        docker_version: String::new(),
        history: vec![History {
            created: CREATED.to_owned(),
            created_by: "Libraries of the build host".to_owned(),
            ..History::default()
        }],
        os: "linux".to_owned(),
        rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
        config: RuntimeConfig {
            env: plan.env.iter().map(|(k, v)| format!("{k}={v}")).collect(),
            labels,
            user: plan.user.to_owned(),
            ..RuntimeConfig::default()
        },
        os_version: String::new(),
        variant: String::new(),
        os_features: Vec::new(),
    }
}
