//! The engine as the rest of the program sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cnb_fs::{FsError, atomic};
use cnb_image::archive::DockerArchive;
use cnb_image::{Image, Remote};
use cnb_spec::digest::{DiffId, ImageId};
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::Platform;
use cnb_spec::{gojson, target};
use fs_err as fs;
use hyper::Method;
use hyper::header::HeaderMap;
use serde::Deserialize;

use crate::connection::{CONNECT, Connections, Lookup};
use crate::describe::{self, HistoryItem, Inspect};
use crate::exchange::{ANSWER, Answer, Ask, SILENCE};
use crate::origin::EngineImage;
use crate::{Address, EngineError, Interrupt};

/// The newest version of the API whose answers are known; an older engine is asked in its own.
const NEWEST: ApiVersion = ApiVersion(1, 51);

/// The version of the API in which images can be asked for by platform.
const PLATFORMS: ApiVersion = ApiVersion(1, 49);

/// Where exports are kept while their layers are read, if nobody says otherwise.
const SPOOL: &str = "/tmp";

/// A connection to an engine; blocking, cheap to clone, usable from several threads.
///
/// It is opened at once and kept, so that it outlives a privilege drop (B18).
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    spool: PathBuf,
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    version: ApiVersion,
    kind: Kind,
    /// The layers of every image that was described: chains that the engine has.
    chains: Mutex<Vec<Vec<DiffId>>>,
}

/// Which engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Docker.
    Docker,
    /// Podman, through its API that is compatible with Docker's.
    Podman,
}

/// What an engine tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The storage driver, such as `overlay2`.
    pub driver: String,
    /// Whether images are in containerd's store, which must be given all layers (E40).
    pub containerd: bool,
    /// The engine's version.
    pub version: String,
    /// The operating system of its containers.
    pub os: String,
    /// The CPU architecture, as images name it.
    pub architecture: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ApiVersion(u32, u32);

impl Engine {
    /// Connects, and asks what it is that answers.
    ///
    /// # Errors
    /// When nobody listens, this user may not connect, or what answers is no engine;
    /// [`EngineError::remedy`] tells what helps.
    pub fn connect(address: &Address) -> Result<Self, EngineError> {
        Self::connect_with(address, system_lookup())
    }

    /// As [`connect`](Self::connect), for an engine that is welcome but not needed: gives up when connecting takes
    /// longer than `connecting`, or the first answer longer than `answering`. Later requests have the usual time.
    pub fn connect_within(
        address: &Address,
        connecting: Duration,
        answering: Duration,
    ) -> Result<Self, EngineError> {
        Self::open(address, system_lookup(), connecting, answering)
    }

    /// As [`connect`](Self::connect), with another way to look up host names than the system's.
    pub fn connect_with(address: &Address, lookup: Lookup) -> Result<Self, EngineError> {
        Self::open(address, lookup, CONNECT, ANSWER)
    }

    fn open(
        address: &Address,
        lookup: Lookup,
        connecting: Duration,
        answering: Duration,
    ) -> Result<Self, EngineError> {
        let connections = Connections::open(address, lookup, connecting)?;
        let mut answer = connections.ask(&Ask {
            method: Method::GET,
            target: "/_ping",
            action: "say that it is there",
            patience: answering,
        })?;
        answer.read_document()?;
        let no_engine = |reason| EngineError::NoEngine { address: address.to_string(), reason };
        if !answer.status.is_success() {
            return Err(no_engine(format!("it answers `/_ping` with status {}", answer.status.as_u16())));
        }
        let version = ApiVersion::of(&answer.headers)
            .ok_or_else(|| no_engine("its answer has no header `Api-Version`".to_owned()))?;
        let is_podman = answer.headers.contains_key("libpod-api-version");
        let kind = if is_podman { Kind::Podman } else { Kind::Docker };
        drop(answer);
        let chains = Mutex::default();
        let shared = Shared { connections, version: version.min(NEWEST), kind, chains };
        Ok(Self { shared: Arc::new(shared), spool: SPOOL.into() })
    }

    /// Returns the same engine with exports kept in `dir`, instead of `/tmp`, while their layers are read.
    #[must_use]
    pub fn spooling_in(mut self, dir: &Path) -> Self {
        self.spool = dir.to_path_buf();
        self
    }

    /// Returns the same engine whose requests are given up when `interrupt` says so, with
    /// [`EngineError::Stopped`]; that goes for its clones too.
    #[must_use]
    pub fn given_up_by(self, interrupt: Interrupt) -> Self {
        self.shared.connections.give_up_by(interrupt);
        self
    }

    /// Returns where it listens.
    pub fn address(&self) -> &Address {
        self.shared.connections.address()
    }

    /// Returns which engine it is.
    pub fn kind(&self) -> Kind {
        self.shared.kind
    }

    /// Keeps the connection alive; returns at once when a request is under way, which does the same.
    pub fn ping(&self) -> Result<(), EngineError> {
        if self.shared.connections.in_use() {
            return Ok(());
        }
        let ask =
            Ask { method: Method::GET, target: "/_ping", action: "say that it is there", patience: ANSWER };
        self.shared.connections.ask(&ask)?.success()?.read_document()?;
        Ok(())
    }

    /// Asks the engine about itself.
    pub fn info(&self) -> Result<Info, EngineError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct System {
            driver: String,
            driver_status: Option<Vec<Vec<String>>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Version {
            #[serde(rename = "Version")]
            number: String,
            os: String,
            arch: String,
        }
        let system: System = self.get("/info", "tell about itself")?.success()?.json()?;
        let version: Version = self.get("/version", "tell its version")?.success()?.json()?;
        let status = system.driver_status.unwrap_or_default();
        Ok(Info {
            driver: system.driver,
            containerd: status.iter().any(|pair| pair == &["driver-type", "io.containerd.snapshotter.v1"]),
            version: version.number,
            os: version.os,
            architecture: version.arch,
        })
    }

    /// Returns the engine's ID of an image, `None` if there is no such image.
    ///
    /// It is not the ID of what [`image`](Self::image) returns, whose config may lack what the engine does not tell.
    pub fn id(&self, name: &str) -> Result<Option<ImageId>, EngineError> {
        Ok(self.inspect(name)?.map(|inspect| inspect.id))
    }

    /// Returns whether there is an image of this name or ID.
    pub fn exists(&self, name: &str) -> Result<bool, EngineError> {
        Ok(self.inspect(name)?.is_some())
    }

    /// The image as far as inspect and history tell (E41); layers by their diffIDs alone. `None`: no such image.
    ///
    /// Of an image for several platforms it is the one for this machine's.
    pub fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        let architecture = target::host_arch().to_owned();
        self.image_for(name, &Platform { os: "linux".to_owned(), architecture, ..Platform::default() })
    }

    /// The same, of an image for several platforms the one for `platform`; if it is not for that one, or the engine
    /// does not tell platforms apart, whatever there is.
    pub fn image_for(&self, name: &str, platform: &Platform) -> Result<Option<Image>, EngineError> {
        let Some(inspect) = self.inspect(name)? else { return Ok(None) };
        let id = inspect.id;
        let of_platform = if self.shared.version >= PLATFORMS {
            let query = query(platform);
            // By ID, so that a name that moves meanwhile does not mix two images.
            match (self.inspect_as(&id.to_string(), &query)?, self.history(&id, &query)?) {
                (Some(inspect), Some(history)) => Some((inspect, history)),
                _ => None,
            }
        } else {
            None
        };
        let (inspect, history) = match of_platform {
            Some(found) => found,
            None => match self.history(&id, "")? {
                Some(history) => (inspect, history),
                None => return Ok(None),
            },
        };
        let query = if self.shared.version >= PLATFORMS { query(&inspect.platform()) } else { String::new() };
        let origin = Remote(Arc::new(EngineImage::new(self.clone(), id, query)));
        let chain = inspect.root_fs.layers.clone();
        let image = describe::image(inspect, history, &origin)?;
        self.remember(chain);
        Ok(Some(image))
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// Also for a name with a digest.
    pub fn tag(&self, id: &ImageId, name: &ImageRef) -> Result<(), EngineError> {
        let (repository, tag) = split(name)?;
        let target = format!("/images/{id}/tag?repo={}&tag={}", escape(&repository, ""), escape(&tag, ""));
        let action = format!("give the image `{id}` the name `{}`", name.typed());
        self.request(Method::POST, &target, &action)?.success()?.read_document()?;
        Ok(())
    }

    /// Removes an image with all its names, or a name; returns whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, EngineError> {
        let target = format!("/images/{}?force=true", escape(name, "/:@"));
        let answer = self.request(Method::DELETE, &target, &format!("remove the image `{name}`"))?.found()?;
        Ok(match answer {
            None => false,
            Some(mut answer) => {
                answer.read_document()?;
                true
            }
        })
    }

    /// Writes the image to a `docker-archive` file, whole.
    ///
    /// # Errors
    /// Also when what the engine sends is not complete; `file` is then as it was before.
    pub fn save(&self, name: &str, file: &Path) -> Result<(), EngineError> {
        let temporary = atomic::beside(file);
        let result = self.save_to(name, file, &temporary);
        if result.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    fn save_to(&self, name: &str, file: &Path, temporary: &Path) -> Result<(), EngineError> {
        let failed = |e: io::Error| FsError::on("write", file)(e);
        let mut out =
            File::options().read(true).write(true).create_new(true).open(temporary).map_err(failed)?;
        self.export(name, "", &mut out, file)?;
        out.sync_data().map_err(failed)?;
        DockerArchive::open(out, file)?;
        Ok(fs::rename(temporary, file).map_err(failed)?)
    }

    /// Exports the image to a file without a name.
    pub(crate) fn spool(&self, id: &ImageId, query: &str) -> Result<DockerArchive, EngineError> {
        let mut file =
            tempfile::tempfile_in(&self.spool).map_err(FsError::on("create a file in", &self.spool))?;
        self.export(&id.to_string(), query, &mut file, &self.spool)?;
        let place = format!("the export of the image `{id}` from the engine at `{}`", self.address());
        Ok(DockerArchive::open(file, Path::new(&place))?)
    }

    fn export(&self, name: &str, query: &str, out: &mut File, path: &Path) -> Result<(), EngineError> {
        let target = self.versioned(&format!("/images/{}/get{query}", escape(name, "/:@")));
        let action = format!("export the image `{name}`");
        let ask = Ask { method: Method::GET, target: &target, action: &action, patience: SILENCE };
        let mut answer = self.shared.connections.ask(&ask)?.success()?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match io::Read::read(&mut answer, &mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => out.write_all(&buffer[..count]).map_err(FsError::on("write", path))?,
                Err(e) => return Err(answer.broken(e)),
            }
        }
    }

    /// Keeps in mind that the engine has these layers, one on top of the other.
    pub(crate) fn remember(&self, chain: Vec<DiffId>) {
        self.shared.chains.lock().unwrap_or_else(PoisonError::into_inner).push(chain);
    }

    /// Returns which layers, by their place in `layers`, the engine does not need to be sent (E40).
    ///
    /// Docker knows a layer by all that are below it, so only the lowest can be left out, and only together. Podman
    /// knows each by itself; 4.3 was seen to take it from its store, and to refuse an image whose layer is not there.
    pub(crate) fn known_layers(&self, layers: &[DiffId]) -> BTreeSet<usize> {
        let chains = self.shared.chains.lock().unwrap_or_else(PoisonError::into_inner);
        match self.kind() {
            Kind::Docker => {
                let common =
                    |chain: &Vec<DiffId>| chain.iter().zip(layers).take_while(|(a, b)| a == b).count();
                (0..chains.iter().map(common).max().unwrap_or_default()).collect()
            }
            Kind::Podman => {
                let known: BTreeSet<&DiffId> = chains.iter().flatten().collect();
                (0..layers.len()).filter(|n| known.contains(&layers[*n])).collect()
            }
        }
    }

    pub(crate) fn inspect(&self, name: &str) -> Result<Option<Inspect>, EngineError> {
        self.inspect_as(name, "")
    }

    fn inspect_as(&self, name: &str, query: &str) -> Result<Option<Inspect>, EngineError> {
        let target = format!("/images/{}/json{query}", escape(name, "/:@"));
        let answer = self.get(&target, &format!("inspect the image `{name}`"))?.found()?;
        answer.map(Answer::json).transpose()
    }

    fn history(&self, id: &ImageId, query: &str) -> Result<Option<Vec<HistoryItem>>, EngineError> {
        let target = format!("/images/{id}/history{query}");
        let answer = self.get(&target, &format!("tell the history of the image `{id}`"))?.found()?;
        answer.map(Answer::json).transpose()
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    /// Returns the target with the version of the API that is spoken.
    pub(crate) fn versioned(&self, target: &str) -> String {
        format!("/v{}{target}", self.shared.version)
    }

    fn get(&self, target: &str, action: &str) -> Result<Answer<'_>, EngineError> {
        self.request(Method::GET, target, action)
    }

    fn request(&self, method: Method, target: &str, action: &str) -> Result<Answer<'_>, EngineError> {
        let target = self.versioned(target);
        self.shared.connections.ask(&Ask { method, target: &target, action, patience: ANSWER })
    }
}

impl ApiVersion {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let (major, minor) = headers.get("api-version")?.to_str().ok()?.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Looks up names as the system does.
fn system_lookup() -> Lookup {
    Lookup::new(|host: &str| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
}

/// Returns repository and tag of a name, as engines write them.
fn split(name: &ImageRef) -> Result<(String, String), EngineError> {
    let familiar = name.familiar();
    let tag = name.tag().ok_or_else(|| EngineError::DigestAsName(name.typed().to_owned()))?;
    let repository = familiar.strip_suffix(&format!(":{tag}")).unwrap_or(&familiar);
    Ok((repository.to_owned(), tag.to_owned()))
}

/// Returns the query that asks for a platform.
fn query(platform: &Platform) -> String {
    let text = gojson::to_string(platform).unwrap_or_default();
    format!("?platform={}", escape(&text, ""))
}

/// Writes everything as `%XX` but letters, digits, `-._~` and what is in `kept`.
fn escape(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || kept.contains(c) {
            out.push(c);
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_engines_write_them() {
        for (name, repository, tag) in [
            ("app", "app", "latest"),
            ("docker.io/library/app:v1", "app", "v1"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
        ] {
            assert_eq!(
                split(&name.parse().unwrap()).unwrap(),
                (repository.to_owned(), tag.to_owned()),
                "{name}"
            );
        }
        let digest = format!("app@sha256:{}", "0".repeat(64));
        let error = split(&digest.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, format!("`{digest}` cannot be given to an image as a name: it has a digest"));
    }

    #[test]
    fn a_target_has_no_character_with_a_meaning_of_its_own() {
        assert_eq!(escape("host:5000/a?b#c d%é", "/:@"), "host:5000/a%3Fb%23c%20d%25%C3%A9");
        assert_eq!(escape("a/b:c", ""), "a%2Fb%3Ac");
    }
}
