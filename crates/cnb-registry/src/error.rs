//! Why a request failed: what, at which place, and why, without any secret.

use std::error::Error;
use std::time::Duration;

use cnb_image::ImageError;
use reqwest::StatusCode;
use rustls::AlertDescription as Alert;
use serde::Deserialize;

/// Why something with a registry failed: what was done, and why that did not work.
///
/// Neither message nor source has credentials, tokens or the query of a URL.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}")]
pub struct RegistryError {
    /// What kind of failure it is, for decisions.
    pub kind: RegistryErrorKind,
    action: String,
    #[source]
    reason: Reason,
}

impl RegistryError {
    /// Returns whether an image that could not be read counts as one that is not there, as for the Go
    /// programs: 404, 401, and an index without an image for the platform (B21).
    pub fn is_missing(&self) -> bool {
        matches!(
            self.kind,
            RegistryErrorKind::NotFound | RegistryErrorKind::Unauthorized | RegistryErrorKind::NoPlatform
        )
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Reason {
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// 404.
    NotFound,
    /// 401.
    Unauthorized,
    /// 403.
    Denied,
    /// No image of the index is for the platform.
    NoPlatform,
    /// What came is not what was asked for, or cannot be understood.
    Invalid,
    /// No connection, or one that breaks or falls silent again and again.
    Unreachable,
    /// Another answer than expected.
    Status(u16),
    /// Cancelled.
    Cancelled,
    /// A local file, a layer.
    Image,
    /// A setting that cannot be used: a certificate, a proxy, a mirror, credentials.
    Settings,
}

/// Whether and how trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Never.
    No,
    /// There was no connection: a few times, quickly.
    Connect,
    /// The connection broke, or the registry has a bad moment.
    Yes,
    /// The registry says when.
    After(Duration),
}

/// A failure inside, which does not yet know what was being done.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: RegistryErrorKind,
    pub(crate) message: String,
    pub(crate) again: Again,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    pub(crate) fn new(kind: RegistryErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), again: Again::No, source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(RegistryErrorKind::Invalid, message)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(RegistryErrorKind::Cancelled, "it was cancelled")
    }

    /// A connection that broke or fell silent.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self { again: Again::Yes, ..Self::new(RegistryErrorKind::Unreachable, message) }
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// Says what was being done: an infinitive with the thing in backticks.
    pub(crate) fn while_doing(self, action: impl Into<String>) -> RegistryError {
        let reason = Reason { message: self.message, source: self.source };
        RegistryError { kind: self.kind, action: action.into(), reason }
    }

    /// Takes what an image's reader or writer says; an error of this crate in it stays what it is.
    pub(crate) fn image(error: ImageError) -> Self {
        use RegistryErrorKind as Kind;
        let kind = match &error {
            ImageError::NoPlatform { .. } => Kind::NoPlatform,
            ImageError::Parse { .. }
            | ImageError::TooLarge { .. }
            | ImageError::Damaged { .. }
            | ImageError::MediaType { .. }
            | ImageError::LayerCount { .. }
            | ImageError::NotFound { .. } => Kind::Invalid,
            _ => Kind::Image,
        };
        let message = error.to_string();
        match error {
            ImageError::Remote { source, .. } => match source.downcast::<RegistryError>() {
                Ok(inner) => Self::new(inner.kind, inner.to_string()).caused_by(inner.reason),
                Err(source) => Self::new(kind, message).caused_by(source),
            },
            ImageError::Parse { source, .. } => Self::new(kind, message).caused_by(source),
            _ => Self::new(kind, message),
        }
    }

    /// Takes an error of the HTTP client. Its URL is left out: it may hold a signature.
    pub(crate) fn http(error: reqwest::Error) -> Self {
        let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
        let error = error.without_url();
        if let Some(why) = tls_problem(&error) {
            return Self::new(RegistryErrorKind::Unreachable, why);
        }
        let fault = Self::new(RegistryErrorKind::Unreachable, root_cause(&error));
        if is_connect {
            // Waiting once is enough.
            return fault.again(if is_timeout { Again::No } else { Again::Connect });
        }
        if error.is_builder() {
            return Self::invalid(fault.message);
        }
        fault.again(Again::Yes)
    }

    /// Takes an answer that is not the expected one; `body` is what came with it.
    pub(crate) fn status(status: StatusCode, body: &[u8]) -> Self {
        use RegistryErrorKind as Kind;
        let kind = match status.as_u16() {
            401 => Kind::Unauthorized,
            403 => Kind::Denied,
            404 => Kind::NotFound,
            other => Kind::Status(other),
        };
        let said = errors_in(body).map_or_else(String::new, |text| format!(": {text}"));
        Self::new(kind, format!("the registry answered {status}{said}"))
    }
}

/// Returns what is wrong with TLS, and what can be done, if that is why there is no connection.
fn tls_problem(error: &(dyn Error + 'static)) -> Option<String> {
    let found = tls_error(error)?;
    Some(match found {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "its certificate is signed by an unknown authority: the certificate of that authority is missing \
             in `SSL_CERT_FILE`, among the system's or in `certs.d`"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(why) => format!("its certificate is not valid: {why}"),
        rustls::Error::AlertReceived(alert @ (Alert::CertificateRequired | Alert::BadCertificate)) => {
            format!("it does not take our client certificate ({alert:?}), which comes from `certs.d`")
        }
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "it gave an HTTP response to HTTPS client: a registry without TLS has to be named as insecure"
                .to_owned()
        }
        rustls::Error::General(remedy) if remedy.contains("certificate") => remedy.clone(),
        _ => return None,
    })
}

fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        // An `io::Error` shows what is inside as its own message, and not as its source.
        let inside = this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = inside.map(|inner| -> &(dyn Error + 'static) { inner }).or_else(|| this.source());
    }
    None
}

/// Returns the innermost cause: the wrappers around it only say "error sending request".
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    // "Connection refused (os error 111)": the number tells nobody more.
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The form of errors in the distribution specification.
#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<OneError>,
    /// The form of token servers (RFC 6749), and of some proxies.
    #[serde(default, alias = "error_description", alias = "message")]
    details: Option<String>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The most characters that are taken from what a registry says.
const SAID_LIMIT: usize = 300;

/// Returns what the body of an error answer says, on one line.
fn errors_in(body: &[u8]) -> Option<String> {
    let Errors { errors, details } = serde_json::from_slice(body).ok()?;
    let one = |e: OneError| match (e.code.as_str(), e.message.as_str()) {
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{message} ({code})"),
    };
    let mut all: Vec<String> = errors.into_iter().map(one).filter(|text| !text.is_empty()).collect();
    all.extend(details);
    let text: String = all.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!text.is_empty()).then(|| text.chars().take(SAID_LIMIT).collect())
}
