//! TLS with certificates from a folder, as Docker's clients have them.

use std::path::Path;
use std::sync::Arc;

use cnb_fs::toml_file;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::EngineError;

/// The most bytes of a file with certificates.
const LIMIT: u64 = 1 << 20;

/// Reads `ca.pem` and, if they are there, `cert.pem` and `key.pem`.
pub(crate) fn settings(dir: &Path) -> Result<Arc<ClientConfig>, EngineError> {
    let failed = |reason: String| EngineError::Certificates { dir: dir.to_path_buf(), reason };
    read(dir).map_err(failed)
}

fn read(dir: &Path) -> Result<Arc<ClientConfig>, String> {
    let file = |name: &str| match toml_file::read_host_bytes(&dir.join(name), LIMIT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(format!("failed to read `{name}`: {}", e.source)),
    };
    let certificates = |name: &str, bytes: &[u8]| {
        let found: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        found.map_err(|e| format!("`{name}`: {e}"))
    };
    let ca = file("ca.pem")?.ok_or_else(|| "there is no `ca.pem`".to_owned())?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca.pem", &ca)? {
        roots.add(certificate).map_err(|e| format!("`ca.pem`: {e}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let config = match (file("cert.pem")?, file("key.pem")?) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("`key.pem`: {e}"))?;
            builder
                .with_client_auth_cert(certificates("cert.pem", &cert)?, key)
                .map_err(|e| format!("`cert.pem` and `key.pem`: {e}"))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err("there is a `cert.pem`, but no `key.pem`".to_owned()),
        (None, Some(_)) => return Err("there is a `key.pem`, but no `cert.pem`".to_owned()),
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = || settings(dir.path()).unwrap_err().to_string();
        assert!(error().ends_with("cannot be used: there is no `ca.pem`"), "{}", error());
        fs_err::write(dir.path().join("ca.pem"), "").unwrap();
        fs_err::write(dir.path().join("key.pem"), "").unwrap();
        assert!(error().ends_with("there is a `key.pem`, but no `cert.pem`"), "{}", error());
        fs_err::write(dir.path().join("cert.pem"), "").unwrap();
        assert!(error().contains("`key.pem`: "), "{}", error());
    }
}
