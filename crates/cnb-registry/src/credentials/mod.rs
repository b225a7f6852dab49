//! Who we are at which registry (requirements A73, B14, J5).
//!
//! Sources, in the order in which they are asked; the first that knows something answers:
//!
//! 1. the file that `--authfile` names;
//! 2. `CNB_REGISTRY_AUTH`, by which a platform speaks to the lifecycle;
//! 3. the file that `REGISTRY_AUTH_FILE` names, as for podman;
//! 4. `DOCKER_AUTH_CONFIG`, the text of a configuration file, as for docker;
//! 5. docker's `config.json`, in `DOCKER_CONFIG` or `~/.docker`;
//! 6. podman's `auth.json`, in `XDG_RUNTIME_DIR/containers` or `/run/containers/UID`, then in
//!    `XDG_CONFIG_HOME/containers` or `~/.config/containers`.
//!
//! Within a file, the helper for the registry (`credHelpers`, else `credsStore`) comes before `auths`, and in
//! `auths` the key for the most: a repository before its namespace before its registry. A helper, a file or an
//! entry that knows nothing gives way to the next.
//!
//! The Go lifecycle also asks Amazon and Azure itself; here, `docker-credential-ecr-login` and
//! `docker-credential-acr-env` do that where a configuration file names them.
//!
//! Nothing is read before it is asked for, and nothing is remembered: tokens of helpers expire.

mod auth;
mod config_file;
mod edit;
mod environment;
mod error;
mod helper;
mod json;
mod key;
pub mod login;
#[cfg(test)]
mod login_tests;
mod places;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnb_fs::{FsError, HostPath, toml_file};
use cnb_spec::env::Env;
use cnb_spec::image_ref::ImageRef;

pub use auth::{Auth, Secret};
pub use environment::REGISTRY_AUTH;
pub use error::{CredentialsError, HelperProblem};
pub use places::DOCKER_AUTH;

use config_file::{ConfigFile, Known};
use environment::Headers;
use helper::HelperEnv;
use places::Places;

/// Who we are at which registry; the default is nobody anywhere. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    sources: Vec<Source>,
    env: HelperEnv,
    problems: Vec<Arc<CredentialsError>>,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
enum Source {
    /// A file that the user names on the command line: it must be there.
    Named(HostPath),
    /// `CNB_REGISTRY_AUTH`.
    Headers(Headers),
    /// A variable with the text of a file.
    Text(Secret),
    /// A file that may be there.
    File(PathBuf),
    /// What one of the others said when it was asked.
    Resolved(Vec<Known>),
}

impl Credentials {
    /// Returns the credentials that the environment leads to. Nothing is read yet but `CNB_REGISTRY_AUTH`, which is
    /// an error if it is no JSON object of strings (J5).
    pub fn from_env(env: &Env) -> Result<Self, CredentialsError> {
        let value = |name: &str| env.get(OsStr::new(name)).filter(|v| !v.is_empty());
        let mut sources = Vec::new();
        if let Some(value) = value(REGISTRY_AUTH) {
            sources.push(Source::Headers(Headers::parse(value.as_encoded_bytes())?));
        }
        let places = Places::of(env, rustix::process::getuid().as_raw());
        sources.extend(places.named.map(Source::File));
        sources.extend(value(DOCKER_AUTH).map(|v| Source::Text(Secret::new(v.to_string_lossy()))));
        sources.extend(places.docker.map(Source::File));
        sources.extend(places.podman.into_iter().map(Source::File));
        Ok(Self { sources, env: HelperEnv::of(env), problems: Vec::new() })
    }

    /// Adds the file that `--authfile` names: it is asked first, and is an error if it is not there.
    #[must_use]
    pub fn with_file(mut self, file: HostPath) -> Self {
        self.sources.insert(0, Source::Named(file));
        self
    }

    /// Asks for all that these images may need, so that neither files nor helpers are needed later: after a drop of
    /// privileges they are out of reach. What is not asked for here is anonymous then (B14).
    ///
    /// A file or helper that cannot be used counts as one that knows nothing, as in the Go lifecycle, and is kept in
    /// [`problems`](Self::problems); but for the file of `--authfile`, which is an error. What `CNB_REGISTRY_AUTH`
    /// says is understood when it is needed (J5).
    pub fn resolved_for(&self, images: &[&ImageRef]) -> Result<Self, CredentialsError> {
        let mut registries: Vec<&str> = images.iter().map(|image| image.registry()).collect();
        registries.sort_unstable();
        registries.dedup();
        let mut resolved = Self { problems: self.problems.clone(), ..Self::default() };
        for source in &self.sources {
            if matches!(source, Source::Headers(_)) {
                resolved.sources.push(source.clone());
                continue;
            }
            let mut known = Vec::new();
            for registry in &registries {
                match source.known(registry, &self.env) {
                    Ok(found) => known.extend(found),
                    Err(error) if matches!(source, Source::Named(_)) => return Err(error),
                    Err(error) => resolved.add_problem(error),
                }
            }
            resolved.sources.push(Source::Resolved(known));
        }
        Ok(resolved)
    }

    /// Returns what was passed over by [`resolved_for`](Self::resolved_for): worth a warning, since it may be the
    /// reason for a refusal later.
    pub fn problems(&self) -> impl Iterator<Item = &CredentialsError> {
        self.problems.iter().map(AsRef::as_ref)
    }

    /// Returns how to introduce ourselves for an image: [`Auth::Anonymous`] where nothing is known.
    ///
    /// Files are read and helpers are run at each call, unless everything is resolved. A file that is not there says
    /// nothing; one that cannot be used is an error, and so is a helper that fails.
    pub fn header_for(&self, image: &ImageRef) -> Result<Auth, CredentialsError> {
        Ok(self.find(&image.repository())?.map_or(Auth::Anonymous, |(auth, _)| auth))
    }

    /// Returns the first answer for a registry or a repository, and the source that gave it.
    fn find(&self, wanted: &str) -> Result<Option<(Auth, &Source)>, CredentialsError> {
        for source in &self.sources {
            let auth = if let Source::Headers(headers) = source {
                headers.get(wanted)?
            } else {
                let known = source.known(key::registry(wanted), &self.env)?;
                known.into_iter().find(|known| key::covers(&known.scope, wanted)).map(|known| known.auth)
            };
            if let Some(auth) = auth {
                return Ok(Some((auth, source)));
            }
        }
        Ok(None)
    }

    fn add_problem(&mut self, error: CredentialsError) {
        // A file that cannot be read says the same for every registry.
        if !self.problems.iter().any(|known| known.to_string() == error.to_string()) {
            self.problems.push(Arc::new(error));
        }
    }
}

impl Source {
    /// Returns all that a source knows of a registry, the best first.
    fn known(&self, registry: &str, env: &HelperEnv) -> Result<Vec<Known>, CredentialsError> {
        let file = match self {
            Self::Named(path) => Some(read(path.as_path())?),
            Self::File(path) => read_if_there(path)?,
            Self::Text(text) => Some(ConfigFile::parse(DOCKER_AUTH.to_owned(), text.expose().as_bytes())?),
            Self::Resolved(known) => {
                let of_registry = |known: &&Known| key::registry(&known.scope) == registry;
                return Ok(known.iter().filter(of_registry).cloned().collect());
            }
            Self::Headers(_) => None,
        };
        file.map_or_else(|| Ok(Vec::new()), |file| file.known(registry, env))
    }
}

impl Source {
    /// Returns the path of the file, or the name of the variable.
    fn place(&self) -> String {
        match self {
            Self::Named(path) => path.to_string(),
            Self::File(path) => path.display().to_string(),
            Self::Headers(_) => REGISTRY_AUTH.to_owned(),
            Self::Text(_) => DOCKER_AUTH.to_owned(),
            Self::Resolved(_) => "what was resolved before".to_owned(),
        }
    }
}

fn read(path: &Path) -> Result<ConfigFile, CredentialsError> {
    let unreadable = |e: FsError| CredentialsError::Read { path: path.to_path_buf(), source: e.source };
    let bytes = toml_file::read_host_bytes(path, toml_file::LIMIT).map_err(unreadable)?;
    ConfigFile::parse(path.display().to_string(), &bytes)
}

/// Reads a configuration file; `None` where there is none.
///
/// A folder of that name is none, and neither is what lies in a folder that we may not look into, such as root's
/// home where `HOME` was kept after a change of user: docker and podman see nothing there either.
fn read_if_there(path: &Path) -> Result<Option<ConfigFile>, CredentialsError> {
    match read(path) {
        Err(CredentialsError::Read { .. }) if !path.is_file() => Ok(None),
        other => other.map(Some),
    }
}
