//! What can go wrong with an engine, and what helps.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use cnb_fs::FsError;
use cnb_image::ImageError;
use cnb_spec::digest::ImageId;

/// Why an engine could not be reached, or did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The environment names an engine in a way that cannot be used.
    #[error("`{text}` in {variable} is no address of an engine that can be used: {reason}")]
    Address {
        /// The variable.
        variable: &'static str,
        /// Its value.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The current context of Docker cannot be used.
    #[error("the Docker context `{name}` cannot be used: {reason}")]
    Context {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A certificate or key cannot be used.
    #[error("the certificates in `{}` cannot be used: {reason}", dir.display())]
    Certificates {
        /// Their folder.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody listens there.
    #[error("no engine listens at `{address}`")]
    Absent {
        /// Where it should.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("this user may not connect to the engine at `{address}`")]
    Denied {
        /// Where it listens.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No connection for another reason.
    #[error("failed to connect to `{address}`")]
    Connect {
        /// Where the engine should be.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// What answers is no engine.
    #[error("what listens at `{address}` is no Docker or Podman engine: {reason}")]
    NoEngine {
        /// Where.
        address: String,
        /// How that is known.
        reason: String,
    },
    /// The connection was lost, and there is no way to a new one.
    #[error("the engine at `{address}` closed the connection, and a new one could not be opened")]
    Lost {
        /// Where it was.
        address: String,
        /// Why there is no new one.
        #[source]
        source: Box<EngineError>,
    },
    /// No answer came.
    #[error("the engine at `{address}` did not answer within {seconds} seconds when asked to {action}")]
    NoAnswer {
        /// Where.
        address: String,
        /// What it was asked for.
        action: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke off in the middle.
    #[error("the connection to the engine at `{address}` broke off when it was asked to {action}")]
    Broken {
        /// Where.
        address: String,
        /// What it was asked for.
        action: String,
        /// How.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The engine says that it failed.
    #[error("the engine failed to {action}: {message} (status {status})")]
    Api {
        /// What it was asked for.
        action: String,
        /// The status of its answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer has not the expected form.
    #[error("the engine's answer when asked to {action} is not understood")]
    Answer {
        /// What it was asked for.
        action: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The engine does not take the image.
    #[error("the engine did not load the image `{name}`: {message}")]
    Refused {
        /// The name, or the ID of an image without one.
        name: String,
        /// What the engine says.
        message: String,
    },
    /// The engine has another image than the one that was loaded.
    #[error("the engine does not have the image `{expected}` after loading it: {found}")]
    OtherImage {
        /// What was loaded.
        expected: ImageId,
        /// What there is.
        found: String,
    },
    /// Engines give tags to images, not digests.
    #[error("`{0}` cannot be given to an image as a name: it has a digest")]
    DigestAsName(String),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Somebody gave the request up.
    #[error("the request was given up")]
    Stopped,
    /// The operating system refuses what a client needs.
    #[error("failed to start the client of the engine")]
    Client(#[source] io::Error),
}

impl EngineError {
    /// Returns whether somebody gave the request up, also while its answer was read.
    pub fn is_stopped(&self) -> bool {
        let causes = std::iter::successors(Some(self as &(dyn Error + 'static)), |error| cause(*error));
        causes.into_iter().any(|error| matches!(error.downcast_ref(), Some(Self::Stopped)))
    }

    /// Returns what a user can do about it, as a sentence that can be followed.
    pub fn remedy(&self) -> Option<&'static str> {
        let podman = |address: &str| address.contains("podman");
        match self {
            Self::Absent { address, .. } if podman(address) => Some(
                "start Podman's service with `systemctl --user start podman.socket`, or name another with CONTAINER_HOST",
            ),
            Self::Absent { .. } => Some("start Docker, or name another engine with DOCKER_HOST"),
            Self::Denied { address, .. } if podman(address) => Some(
                "use Podman without root: `systemctl --user start podman.socket` gives you a socket of your own",
            ),
            Self::Denied { .. } => Some("become a member of the group `docker`, or use Podman without root"),
            Self::Lost { source, .. } => source.remedy(),
            _ => None,
        }
    }
}

/// Returns what caused an error; what an IO error wraps counts, of which it tells the source only.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
