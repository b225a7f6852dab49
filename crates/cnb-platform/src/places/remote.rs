//! How registries are reached, as users and embedders say it.

use std::collections::BTreeMap;
use std::fmt;

use cnb_fs::{FsError, HostPath};
use cnb_registry::{Credentials, Registry, Settings, Stop, Trace};
use cnb_spec::env::Env;

use crate::{Failure, FailureKind};

/// What is to be known of registries beside what the environment says.
#[derive(Clone, Default)]
pub struct Remote {
    /// The file with credentials that is asked before all others.
    pub authfile: Option<HostPath>,
    /// Registries, or prefixes of image names, that are reached without TLS or without verifying certificates.
    pub insecure: Vec<String>,
    /// Folders with CA certificates (`*.crt`, `*.pem`), and with a folder `HOST[:PORT]` for what is meant for one
    /// registry, as docker's and podman's `certs.d` have it.
    pub certificates: Vec<HostPath>,
    /// Mirrors of a registry, `[http://]host[:port][/prefix]`, that are asked first.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Gets one line for each request; no line has a secret.
    pub trace: Option<Trace>,
}

impl Remote {
    /// Makes the client. Nothing is sent yet.
    pub(crate) fn client(&self, env: &Env, stop: Stop) -> Result<Registry, Failure> {
        let failed = || Failure::new(FailureKind::Request, "failed to use the settings for registries");
        let mut credentials = Credentials::from_env(env).map_err(|e| {
            let failure = failed();
            match e.hint() {
                Some(hint) => failure.because(e).hint(hint),
                None => failure.because(e),
            }
        })?;
        if let Some(file) = &self.authfile {
            credentials = credentials.with_file(file.clone());
        }
        let mut settings = Settings::from_env(env, credentials);
        settings.insecure.clone_from(&self.insecure);
        settings.mirrors.clone_from(&self.mirrors);
        settings.trace.clone_from(&self.trace);
        settings.cancel = stop;
        for dir in &self.certificates {
            settings.certificates.extra.extend(authorities(dir).map_err(|e| failed().because(e))?);
            settings.certificates.hosts.push(dir.clone());
        }
        Registry::new(settings).map_err(|e| failed().because(e))
    }
}

/// Returns the CA certificates in a folder, by name.
fn authorities(dir: &HostPath) -> Result<Vec<HostPath>, FsError> {
    let on_error = |e| FsError::on("list", dir.as_path())(e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.as_path()).map_err(on_error)? {
        let path = entry.map_err(on_error)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "crt" || e == "pem") {
            found.push(HostPath::absolute(path));
        }
    }
    found.sort();
    Ok(found)
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("authfile", &self.authfile)
            .field("insecure", &self.insecure)
            .field("certificates", &self.certificates)
            .field("mirrors", &self.mirrors)
            .finish_non_exhaustive()
    }
}
