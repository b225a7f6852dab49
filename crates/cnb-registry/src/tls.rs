//! Whom we trust in TLS, and who we are.
//!
//! CA certificates come from `SSL_CERT_FILE` and `SSL_CERT_DIR`, else from where the distributions keep them;
//! extra bundles and `certs.d` add to them. They are read at the first handshake: plain http works in an
//! image without any.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cnb_fs::{FsError, HostPath};
use fs_err as fs;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Fault, RegistryErrorKind};
use crate::settings::Certificates;

/// Where distributions keep the bundle of all CA certificates.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
];

/// Where they keep them one by one; only read when there is no bundle.
const DIRS: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// What to do where no CA certificate is found.
const REMEDY: &str = "no CA certificates are found: install the package `ca-certificates`, or name a bundle \
                      with `SSL_CERT_FILE` or in `certs.d`";

/// Returns how to speak TLS with `host` (with its port, if it has one in references).
pub(crate) fn config(
    certificates: &Certificates,
    system: &Arc<Roots>,
    host: &str,
    insecure: bool,
) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let special = Special::find(certificates, host)?;
    let verifier: Arc<dyn ServerCertVerifier> = if insecure {
        Arc::new(Anyone(provider.clone()))
    } else {
        Arc::new(Verifier {
            provider: provider.clone(),
            system: system.clone(),
            extra: special.trusted,
            checks: OnceLock::new(),
        })
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Fault::new(RegistryErrorKind::Settings, e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match special.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(|e| unusable(&identity.file, format!("it does not go with its key: {e}"))),
    }
}

/// What is said about one registry.
#[derive(Default)]
struct Special {
    trusted: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
}

struct Identity {
    file: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Special {
    fn find(certificates: &Certificates, host: &str) -> Result<Self, Fault> {
        let mut special = Self::default();
        for file in &certificates.extra {
            special.trusted.extend(read_certificates(file.as_path())?);
        }
        for dir in certificates.hosts.iter().map(|dir| dir.join(host)) {
            for file in files(dir.as_path()) {
                match file.extension().and_then(|e| e.to_str()) {
                    Some("crt") => special.trusted.extend(read_certificates(&file)?),
                    Some("cert") if special.identity.is_none() => {
                        special.identity = Some(Identity::read(file)?);
                    }
                    _ => {}
                }
            }
        }
        Ok(special)
    }
}

impl Identity {
    fn read(file: PathBuf) -> Result<Self, Fault> {
        let chain = read_certificates(&file)?;
        let key_file = file.with_extension("key");
        let key = fs::read(&key_file)
            .map_err(FsError::on("read", &key_file))
            .map_err(|e| Fault::new(RegistryErrorKind::Settings, e.to_string()).caused_by(e))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| unusable(&key_file, "it has no private key in PEM form"))?;
        Ok(Self { file, chain, key })
    }
}

/// Returns the files of a folder in the order of their names; none if it is missing.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    files
}

/// Reads a file that somebody named, so it must have certificates.
fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bytes = fs::read(file)
        .map_err(FsError::on("read", file))
        .map_err(|e| Fault::new(RegistryErrorKind::Settings, e.to_string()).caused_by(e))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(unusable(file, "it has no certificate in PEM form")),
    }
}

fn unusable(file: &Path, why: impl Into<String>) -> Fault {
    let why = why.into();
    Fault::new(RegistryErrorKind::Settings, format!("`{}` cannot be used: {why}", file.display()))
}

/// The CA certificates of the system, read when they are needed.
#[derive(Debug)]
pub(crate) struct Roots {
    file: Option<HostPath>,
    dirs: Option<Vec<HostPath>>,
    found: OnceLock<Vec<CertificateDer<'static>>>,
}

impl Roots {
    pub(crate) fn new(certificates: &Certificates) -> Self {
        Self { file: certificates.file.clone(), dirs: certificates.dirs.clone(), found: OnceLock::new() }
    }

    fn get(&self) -> &[CertificateDer<'static>] {
        self.found.get_or_init(|| {
            let bundles: Vec<PathBuf> = match &self.file {
                Some(file) => vec![file.as_path().to_path_buf()],
                // With folders given and no bundle, the system's bundle is not meant either.
                None if self.dirs.is_some() => Vec::new(),
                None => BUNDLES.iter().map(PathBuf::from).collect(),
            };
            let mut found = bundles.iter().map(|b| lenient(b)).find(|c| !c.is_empty()).unwrap_or_default();
            let dirs: Vec<PathBuf> = match &self.dirs {
                Some(dirs) => dirs.iter().map(|d| d.as_path().to_path_buf()).collect(),
                None if found.is_empty() && self.file.is_none() => DIRS.iter().map(PathBuf::from).collect(),
                None => Vec::new(),
            };
            found.extend(dirs.iter().flat_map(|dir| files(dir)).flat_map(|file| lenient(&file)));
            found
        })
    }
}

/// Reads the certificates of a file that may be anything.
fn lenient(file: &Path) -> Vec<CertificateDer<'static>> {
    let Ok(bytes) = fs::read(file) else { return Vec::new() };
    CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect()
}

/// Verifies certificates against the system's CAs and the extra ones.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    system: Arc<Roots>,
    extra: Vec<CertificateDer<'static>>,
    checks: OnceLock<Result<Arc<WebPkiServerVerifier>, rustls::Error>>,
}

impl Verifier {
    fn checks(&self) -> Result<&Arc<WebPkiServerVerifier>, rustls::Error> {
        let checks = self.checks.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let all = self.system.get().iter().chain(&self.extra).cloned();
            // Some bundles have certificates that nobody can parse; the others still count.
            roots.add_parsable_certificates(all);
            if roots.is_empty() {
                return Err(rustls::Error::General(REMEDY.to_owned()));
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
                .build()
                .map_err(|e| rustls::Error::General(e.to_string()))
        });
        checks.as_ref().map_err(Clone::clone)
    }

    fn is_trusted_itself(&self, certificate: &CertificateDer<'_>) -> bool {
        self.extra.iter().chain(self.system.get()).any(|known| known.as_ref() == certificate.as_ref())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checks = self.checks()?;
        let verdict = checks.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // A server's own certificate among those we trust, also one that is its own CA, as
            // `openssl req -x509` makes them: Go takes it, so we do. There is nothing a chain could add.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Other(_) | CertificateError::UnknownIssuer,
            )) if self.is_trusted_itself(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes every certificate: only for registries that the user calls insecure (B15).
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
