//! JSON web tokens as docker-registry wants them: RS256, with the certificate that its `rootcertbundle` holds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::{base64, base64_url};
use crate::openssl;
use crate::tokens::Grant;

pub(super) const SERVICE: &str = "docker-registry of the test";
pub(super) const ISSUER: &str = "cnb-testkit";
pub(super) const CERTIFICATE: &str = "token.pem";

/// Signs tokens.
#[derive(Debug)]
pub(super) struct Signer {
    dir: PathBuf,
    certificate: String,
    issued: AtomicU64,
}

impl Signer {
    /// Makes a key and its certificate in `dir`.
    pub(super) fn make(dir: &Path) -> io::Result<Self> {
        openssl::self_signed(dir, "token", "rsa:2048", &[])?;
        let certificate = base64(&openssl::der(dir, CERTIFICATE)?);
        Ok(Self { dir: dir.to_owned(), certificate, issued: AtomicU64::new(0) })
    }

    /// Returns a token that says what is granted.
    pub(super) fn token(&self, grant: &Grant) -> io::Result<String> {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]});
        let access: Vec<Value> = grant
            .access
            .iter()
            .map(|a| json!({"type": a.kind, "name": a.name, "actions": a.actions}))
            .collect();
        let claims = json!({
            "iss": ISSUER,
            "sub": grant.subject,
            "aud": grant.service,
            "iat": seconds(grant.issued),
            "nbf": seconds(grant.issued),
            "exp": seconds(grant.expires),
            "jti": self.issued.fetch_add(1, Ordering::Relaxed).to_string(),
            "access": access,
        });
        let [header, claims] = [header, claims].map(|part| base64_url(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature = openssl::sign(&self.dir, "token.key", signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64_url(&signature)))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
