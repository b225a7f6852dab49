//! The client: blocking, cheap to clone, usable from several threads. It owns the runtime that nobody sees.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use cnb_image::blob_store::DOCUMENT_LIMIT;
use cnb_image::layout::choose;
use cnb_image::media::{self, Document};
use cnb_image::{BlobSource, Image, ImageError, ImageLayer, Origin, Remote, Tree};
use cnb_spec::digest::Digest;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::{Descriptor, Index, Platform};
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::Method;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::auth::Access;
use crate::credentials::Auth;
use crate::download::Download;
use crate::error::{Fault, RegistryError, RegistryErrorKind};
use crate::manifest::Headed;
use crate::settings::Settings;
use crate::transport::{Call, Place, Transport};

/// Threads of the runtime: they move bytes between sockets and memory and encrypt them.
const THREADS: usize = 2;

/// A client of all registries; blocking, cheap to clone, usable from several threads.
///
/// Must not be used within another asynchronous runtime.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    transport: Arc<Transport>,
    runtime: OnceLock<Result<Mutex<Option<Runtime>>, String>>,
    handle: OnceLock<tokio::runtime::Handle>,
}

/// What a transfer does, for progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A blob is there already, by check or mount.
    Exists(Descriptor),
    /// Bytes of a blob went out or came in; after a broken connection some may be counted again.
    Bytes(Digest, u64),
    /// A blob is complete.
    Sent(Descriptor),
}

/// What a push left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

impl Registry {
    /// Makes a client; no connection is opened yet, and no thread is started before the first request.
    ///
    /// # Errors
    /// When a proxy in the settings is no URL.
    pub fn new(settings: Settings) -> Result<Self, RegistryError> {
        let transport =
            Transport::new(settings).map_err(|f| f.while_doing("use the settings for registries"))?;
        let transport = Arc::new(transport);
        Ok(Self(Arc::new(Inner { transport, runtime: OnceLock::new(), handle: OnceLock::new() })))
    }

    /// Reads manifest (through an index, for `platform`) and config; the layers stay where they are.
    ///
    /// Without a platform, an index gives its image for Linux on this machine's architecture.
    ///
    /// # Errors
    /// [`RegistryError::is_missing`] tells an image that is not there from one that cannot be read.
    pub fn image(&self, name: &ImageRef, platform: Option<&Platform>) -> Result<Image, RegistryError> {
        let action = || format!("read the image `{name}`");
        let places = self.run(&action, self.pull_places(name))?;
        let (descriptor, bytes) =
            self.run(&action, self.transport().first(&places, |p| self.transport().document(p)))?;
        let read = |what: &'static str, descriptor: &Descriptor| -> Result<Vec<u8>, ImageError> {
            let read = async {
                match what {
                    "config" => self.transport().blob(&places, descriptor).await,
                    _ => self.child(&places, descriptor).await,
                }
            };
            let bytes = self.run(&|| format!("read the {what} `{}` of `{name}`", descriptor.digest), read);
            bytes.map(Vec::from).map_err(|e| self.remote_error(name, descriptor, e))
        };
        let origin = self.origin(name);
        let locate = |_: &Descriptor| Ok(BlobSource::Remote(origin.clone()));
        let image = if let Some(Document::Manifest(family)) = media::document(&descriptor.media_type) {
            Image::read(bytes.into(), family, &read, &locate)
        } else {
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|e| Fault::invalid("the index is malformed").caused_by(e).while_doing(action()))?;
            let host = host_platform();
            let place = PathBuf::from(name.to_string());
            choose(&place, &index, None, Some(platform.unwrap_or(&host)), &read, &locate)
        };
        image.map_err(|error| unwrapped(error, action))
    }

    /// Reads the manifest or index as it is: its descriptor and bytes, verified.
    pub fn document(&self, name: &ImageRef) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        self.run(&|| format!("read the manifest of `{name}`"), async {
            let places = self.pull_places(name).await?;
            let (descriptor, bytes) =
                self.transport().first(&places, |p| self.transport().document(p)).await?;
            Ok((descriptor, bytes.into()))
        })
    }

    /// Reads what `name` leads to as it is: all manifests, and no config or layer.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn tree(&self, name: &ImageRef) -> Result<Tree, RegistryError> {
        let (root, bytes) = self.document(name)?;
        let read = |_: &'static str, descriptor: &Descriptor| {
            if descriptor.digest == root.digest {
                return Ok(bytes.clone());
            }
            let found = self.document(&name.with_digest(descriptor.digest));
            found.map(|(_, bytes)| bytes).map_err(|e| self.remote_error(name, descriptor, e))
        };
        let origin = self.origin(name);
        let tree = Tree::read(&root, &read, &|_| Ok(BlobSource::Remote(origin.clone())));
        tree.map_err(|error| unwrapped(error, || format!("read the image `{name}`")))
    }

    /// Asks for the manifest without reading it, if the registry can say it so; `None` when there is none.
    pub fn head(&self, name: &ImageRef) -> Result<Option<Descriptor>, RegistryError> {
        self.run(&|| format!("look for `{name}`"), async {
            let places = self.pull_places(name).await?;
            match self.transport().first(&places, |p| self.transport().head(p)).await? {
                Headed::There(descriptor) => Ok(Some(*descriptor)),
                Headed::Missing => Ok(None),
                Headed::Unsaid => {
                    match self.transport().first(&places, |p| self.transport().document(p)).await {
                        Ok((descriptor, _)) => Ok(Some(descriptor)),
                        Err(fault) if fault.kind == RegistryErrorKind::NotFound => Ok(None),
                        Err(fault) => Err(fault),
                    }
                }
            }
        })
    }

    /// Checks that `name` may be read: any answer but 401 and 403 counts, 5xx included; unreachable is an
    /// error (B21, J9).
    pub fn check_read(&self, name: &ImageRef) -> Result<(), RegistryError> {
        self.run(&|| format!("check read access to `{name}`"), async {
            let places = self.pull_places(name).await?;
            self.transport().first(&places, |place| self.readable(place)).await
        })
    }

    /// Checks that `name` may be written: read check, then an upload that is begun and given up, since some
    /// registries only say no then (B21).
    pub fn check_write(&self, name: &ImageRef) -> Result<(), RegistryError> {
        self.run(&|| format!("check write access to `{name}`"), async {
            let place = self.transport().place(name, false).await?;
            self.readable(&place).await?;
            self.transport().probe_upload(&place).await
        })
    }

    /// Returns whether every layer of `image`, read as `name`, is in the repository; nothing is transferred.
    pub fn has_layers(&self, name: &ImageRef, image: &Image) -> Result<bool, RegistryError> {
        self.run(&|| format!("look for the layers of `{name}`"), async {
            let places = self.pull_places(name).await?;
            let most = self.transport().settings.transfers.max(1);
            let look = async |place: &Place, layer: &ImageLayer| {
                let digest = &layer.descriptor.digest;
                let there = self.transport().has_blob(place, digest, Access::Pull).await?;
                // What a mirror lacks, the registry may have.
                there.then_some(()).ok_or_else(|| Fault::new(RegistryErrorKind::NotFound, "it is missing"))
            };
            let looks = stream::iter(image.layers())
                .map(|layer| self.transport().first(&places, move |place| look(place, layer)))
                .buffer_unordered(most);
            match looks.try_collect::<()>().await {
                Ok(()) => Ok(true),
                Err(fault) if fault.kind == RegistryErrorKind::NotFound => Ok(false),
                Err(fault) => Err(fault),
            }
        })
    }

    /// Deletes a manifest or tag; not what else is known by the same digest.
    pub fn delete(&self, name: &ImageRef) -> Result<(), RegistryError> {
        self.run(&|| format!("delete `{name}`"), async {
            let place = self.transport().place(name, false).await?;
            self.transport().delete(&place).await
        })
    }

    /// Asks the registry (`GET /v2/`, with whatever it challenges us to) whether it takes `auth`.
    pub fn login_check(&self, registry: &str, auth: &Auth) -> Result<(), RegistryError> {
        self.run(&|| format!("log in to `{registry}`"), async {
            let name = format!("{registry}/login/check").parse::<ImageRef>();
            let name = name.map_err(|e| Fault::invalid(e.reason.to_string()))?;
            let place = Place { auth: auth.clone(), ..self.transport().place(&name, false).await? };
            let call = Call::new(Method::GET, place.endpoint.url(""));
            self.transport().ask(&place, &call, DOCUMENT_LIMIT).await?.success().map(|_| ())
        })
    }

    /// Lists the tags of the repository.
    pub fn tags(&self, name: &ImageRef) -> Result<Vec<String>, RegistryError> {
        self.run(&|| format!("list the tags of `{}`", name.repository()), async {
            let place = self.transport().place(name, false).await?;
            self.transport().tags(&place).await
        })
    }

    /// Lists what refers to a manifest; through the tag schema where the registry has no such endpoint.
    pub fn referrers(&self, name: &ImageRef) -> Result<Index, RegistryError> {
        let digest = match name.digest() {
            Some(digest) => *digest,
            None => self.document(name)?.0.digest,
        };
        self.run(&|| format!("list what refers to `{name}`"), async {
            let place = self.transport().place(name, false).await?;
            self.transport().referrers(&place, &digest).await
        })
    }

    pub(crate) fn transport(&self) -> &Arc<Transport> {
        &self.0.transport
    }

    async fn readable(&self, place: &Place) -> Result<(), Fault> {
        use RegistryErrorKind as Kind;
        match self.transport().head(place).await {
            Err(fault) if !matches!(fault.kind, Kind::NotFound | Kind::Status(_)) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Reads a manifest or index that an index names.
    async fn child(&self, places: &[Place], descriptor: &Descriptor) -> Result<Bytes, Fault> {
        let transport = self.transport();
        let (found, bytes) = transport
            .first(places, |place| async move {
                let name = place.name.with_digest(descriptor.digest);
                transport.document(&Place { name, ..place.clone() }).await
            })
            .await?;
        if found.size != descriptor.size {
            return Err(Fault::invalid(format!(
                "it has {} bytes instead of {}",
                found.size, descriptor.size
            )));
        }
        Ok(bytes)
    }

    /// Returns where `name` is read: at the mirrors that can be reached, then at the registry itself.
    async fn pull_places(&self, name: &ImageRef) -> Result<Vec<Place>, Fault> {
        let mut places = Vec::new();
        for mirror in self.transport().settings.mirrors_of(name.registry()) {
            let (mirrored, only_http) = mirrored(mirror, name)?;
            match self.transport().place(&mirrored, only_http).await {
                Ok(place) => places.push(place),
                Err(fault) => {
                    self.transport().trace(|| format!("mirror {}: {}", mirrored.registry(), fault.message));
                }
            }
        }
        match self.transport().place(name, false).await {
            Ok(place) => places.push(place),
            // A mirror may be all that can be reached.
            Err(fault) if places.is_empty() || fault.kind == RegistryErrorKind::Settings => {
                return Err(fault);
            }
            Err(fault) => {
                self.transport().trace(|| format!("registry {}: {}", name.registry(), fault.message));
            }
        }
        Ok(places)
    }

    fn origin(&self, name: &ImageRef) -> Remote {
        Remote(Arc::new(Repository { registry: self.clone(), name: name.clone() }))
    }

    fn remote_error(&self, name: &ImageRef, descriptor: &Descriptor, error: RegistryError) -> ImageError {
        let place = self.origin(name).0.place();
        ImageError::Remote { digest: descriptor.digest, place, source: Box::new(error) }
    }

    /// Carries out `work`; stops with [`Settings::cancel`] and the time-out for everything.
    pub(crate) fn run<T>(
        &self,
        action: &dyn Fn() -> String,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, RegistryError> {
        let settings = &self.transport().settings;
        let limited = async {
            let Some(most) = settings.timeouts.total else { return work.await };
            timeout(most, work).await.unwrap_or_else(|_| {
                let text = format!("it took longer than {} seconds", most.as_secs_f32());
                Err(Fault::new(RegistryErrorKind::Unreachable, text))
            })
        };
        let stopped = settings.cancel.stopped();
        pin_mut!(stopped, limited);
        let handle = self.runtime().map_err(|f| f.while_doing(action()))?;
        let result = handle.block_on(async {
            match select(stopped, limited).await {
                Either::Left(_) => Err(Fault::cancelled()),
                Either::Right((result, _)) => result,
            }
        });
        result.map_err(|fault| fault.while_doing(action()))
    }

    /// Returns the runtime, which starts here and not before.
    fn runtime(&self) -> Result<tokio::runtime::Handle, Fault> {
        let made = self.0.runtime.get_or_init(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(THREADS).thread_name("registry").enable_all().build();
            runtime.map(|runtime| Mutex::new(Some(runtime))).map_err(|e| e.to_string())
        });
        let runtime = made
            .as_ref()
            .map_err(|e| Fault::new(RegistryErrorKind::Image, format!("no threads can be started: {e}")))?;
        let handle = self.0.handle.get_or_init(|| {
            let runtime = runtime.lock().unwrap_or_else(PoisonError::into_inner);
            runtime.as_ref().expect("it is only taken when the last client is dropped").handle().clone()
        });
        Ok(handle.clone())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(Ok(runtime)) = self.runtime.take()
            && let Some(runtime) = runtime.into_inner().unwrap_or_else(PoisonError::into_inner)
        {
            // Dropping would wait for readers of layers; and is not allowed on the runtime's own threads.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("settings", &self.transport().settings).finish_non_exhaustive()
    }
}

/// What the registry said about a part is the whole story already.
fn unwrapped(error: ImageError, action: impl Fn() -> String) -> RegistryError {
    match error {
        ImageError::Remote { source, .. } => match source.downcast::<RegistryError>() {
            Ok(inner) => *inner,
            Err(source) => Fault::invalid(source.to_string()).while_doing(action()),
        },
        other => Fault::image(other).while_doing(action()),
    }
}

/// A repository, as the place of layers.
struct Repository {
    registry: Registry,
    name: ImageRef,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.name.repository())
    }
}

impl Origin for Repository {
    fn place(&self) -> String {
        self.name.repository()
    }

    fn repository(&self) -> Option<(&str, &str)> {
        Some((self.name.registry(), self.name.path()))
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
        let action = format!("read the blob `{}` of `{}`", descriptor.digest, self.name.repository());
        let download = self.registry.run(&|| action.clone(), async {
            let places = self.registry.pull_places(&self.name).await?;
            let transport = self.registry.transport();
            let opened = transport.open_blob(&places, descriptor, 0).await?;
            Ok(Download::start(transport.clone(), places, descriptor.clone(), opened, self.place()))
        });
        match download {
            Ok(download) => Ok(Box::new(download)),
            Err(error) => Err(self.registry.remote_error(&self.name, descriptor, error)),
        }
    }
}

/// Returns the name of the same image at a mirror, and whether the mirror is reached by http only.
fn mirrored(mirror: &str, name: &ImageRef) -> Result<(ImageRef, bool), Fault> {
    let (scheme, host) = mirror.split_once("://").unwrap_or(("https", mirror));
    let host = host.trim_end_matches('/');
    let text = match name.digest() {
        Some(digest) => format!("{host}/{}@{digest}", name.path()),
        None => format!("{host}/{}:{}", name.path(), name.tag().unwrap_or_default()),
    };
    let found = text.parse::<ImageRef>().ok().filter(|found| host.starts_with(found.registry()));
    let found = found.filter(|_| matches!(scheme, "http" | "https"));
    let found = found.ok_or_else(|| {
        let text = format!("the mirror `{mirror}` is not of the form `[http://]host[:port][/prefix]`");
        Fault::new(RegistryErrorKind::Settings, text)
    })?;
    Ok((found, scheme == "http"))
}

/// Returns Linux on the architecture of this machine, in Go's words.
fn host_platform() -> Platform {
    let (architecture, variant) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "x86" => ("386", ""),
        "powerpc64" => ("ppc64le", ""),
        "loongarch64" => ("loong64", ""),
        other => (other, ""),
    };
    Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        ..Platform::default()
    }
}
