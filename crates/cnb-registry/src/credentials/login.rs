//! Logging in and out: what `cnb login` and `cnb logout` keep and forget.
//!
//! # Where logins are kept
//!
//! In the file that the user names (`--authfile`, else `REGISTRY_AUTH_FILE`), else in docker's `config.json`
//! (`DOCKER_CONFIG`, else `~/.docker`): that is the one that docker, podman, skopeo, the Go lifecycle and `pack` all
//! read. Only where it does not exist and podman's `auth.json` does, that is taken: the Go programs stop to look at
//! podman's file once docker's exists, so making one would log a podman user out of them.
//!
//! # How
//!
//! As docker does it: where the file names a helper for the registry (`credHelpers`, else `credsStore`), the helper
//! keeps the secret, and the file an empty entry; otherwise the file does, in plain text. No helper is chosen that
//! the file does not name. Everything else in the file stays, but the order of keys; the file is readable by its
//! owner only.

use std::path::{Path, PathBuf};

use cnb_fs::HostPath;
use cnb_spec::env::Env;
use cnb_spec::image_ref::ImageRef;
use serde_json::{Map, Value};

use super::auth::{self, Auth, Secret};
use super::config_file::ConfigFile;
use super::error::CredentialsError;
use super::helper::{Helper, HelperEnv};
use super::places::Places;
use super::{Credentials, key, read_if_there};

/// What can be kept for later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A user and a password, or an access token in its place.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An `OAuth2` refresh token.
    IdentityToken(Secret),
}

/// The user of an identity token, in helpers and in files.
pub(super) const TOKEN_USER: &str = "<token>";

impl Login {
    /// Returns how to introduce ourselves with it.
    pub fn auth(&self) -> Auth {
        match self {
            Self::Password { user, password } => {
                Auth::Basic { user: user.clone(), password: password.clone() }
            }
            Self::IdentityToken(token) => Auth::IdentityToken(token.clone()),
        }
    }

    /// Returns the entry that keeps it in a file.
    fn entry(&self) -> Map<String, Value> {
        let (encoded, token) = match self {
            Self::Password { user, password } => (auth::encode(user, password.expose()), None),
            // Podman overlooks a token without `auth` beside it.
            Self::IdentityToken(token) => (auth::encode(TOKEN_USER, ""), Some(token)),
        };
        let mut entry = Map::new();
        entry.insert("auth".to_owned(), encoded.expose().into());
        entry.extend(token.map(|token| ("identitytoken".to_owned(), token.expose().into())));
        entry
    }
}

/// Where a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In plain text in this file.
    File(PathBuf),
    /// With this helper.
    Helper(String),
}

/// Who we are at a registry, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The user; `None` for tokens.
    pub user: Option<String>,
    /// The path of the file, or the name of the variable.
    pub place: String,
}

/// The file that keeps logins.
///
/// ```
/// use cnb_registry::credentials::login::{Login, LoginFile};
/// use cnb_registry::credentials::Secret;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// let env = [("HOME".into(), home.path().into())].into();
/// let file = LoginFile::choose(&env, None)?;
/// let login = Login::Password { user: "me".to_owned(), password: Secret::new("hunter2") };
/// file.store("registry.example.com", &login)?;
/// assert!(home.path().join(".docker/config.json").exists());
/// assert!(file.erase("registry.example.com")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LoginFile {
    path: PathBuf,
    env: HelperEnv,
}

impl LoginFile {
    /// Chooses the file; `authfile` is the one that the user names on the command line.
    pub fn choose(env: &Env, authfile: Option<&HostPath>) -> Result<Self, CredentialsError> {
        let places = Places::of(env, rustix::process::getuid().as_raw());
        let named = authfile.map(|file| file.as_path().to_path_buf()).or(places.named);
        let podman = || places.podman.iter().find(|path| path.is_file()).cloned();
        let path = match (named, places.docker) {
            (Some(named), _) => named,
            (None, Some(docker)) if docker.is_file() => docker,
            (None, docker) => podman().or(docker).ok_or(CredentialsError::NoPlace)?,
        };
        Ok(Self { path, env: HelperEnv::of(env) })
    }

    /// Returns the path of the file, which need not exist yet.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a login for a registry, in place of the one before.
    pub fn store(&self, registry: &str, login: &Login) -> Result<Kept, CredentialsError> {
        let mut file = self.read()?;
        let helper = file.helper(registry)?.map(|(name, key)| (name.to_owned(), key.to_owned()));
        let (entry, kept) = match helper {
            Some((name, key)) => {
                let stored = Helper { name: &name, env: &self.env }.store(&key, login);
                stored.map_err(|problem| file.helper_failed(&name, &key, problem))?;
                (Map::new(), Kept::Helper(name))
            }
            None => (login.entry(), Kept::File(self.path.clone())),
        };
        file.put(self.key(registry), entry)?;
        file.save(&self.path)?;
        Ok(kept)
    }

    /// Forgets the login for a registry; returns whether there was one.
    pub fn erase(&self, registry: &str) -> Result<bool, CredentialsError> {
        let mut file = self.read()?;
        let with_helper = self.erase_from_helper(&file, registry)?;
        let in_file = file.remove(registry)?;
        if in_file {
            file.save(&self.path)?;
        }
        Ok(with_helper || in_file)
    }

    /// Forgets all logins of the file, and those that its helpers keep for registries that it mentions; returns
    /// whether there was one.
    pub fn erase_all(&self) -> Result<bool, CredentialsError> {
        let mut file = self.read()?;
        let mut erased = false;
        for registry in file.registries()? {
            erased |= self.erase_from_helper(&file, &registry)?;
        }
        if file.clear()? {
            file.save(&self.path)?;
            erased = true;
        }
        Ok(erased)
    }

    /// Makes the helper forget every spelling of a registry that it may have been told.
    fn erase_from_helper(&self, file: &ConfigFile, registry: &str) -> Result<bool, CredentialsError> {
        let Some((name, usual)) = file.helper(registry)? else { return Ok(false) };
        let mut keys = file.keys(registry)?;
        keys.retain(|key| key != usual);
        keys.push(usual.to_owned());
        let mut erased = false;
        for key in keys {
            let known = Helper { name, env: &self.env }.erase(&key);
            erased |= known.map_err(|problem| file.helper_failed(name, &key, problem))?;
        }
        Ok(erased)
    }

    fn read(&self) -> Result<ConfigFile, CredentialsError> {
        let empty = || ConfigFile::parse(self.path.display().to_string(), b"");
        read_if_there(&self.path)?.map_or_else(empty, Ok)
    }

    /// Returns the key under which the users of the file look for a registry.
    fn key<'a>(&self, registry: &'a str) -> &'a str {
        let podmans = self.path.file_name().is_some_and(|name| name == "auth.json");
        if podmans { key::of_podman(registry) } else { key::of_docker(registry) }
    }
}

/// Returns who we are at a registry.
pub fn logged_in(credentials: &Credentials, registry: &str) -> Result<Option<LoggedIn>, CredentialsError> {
    Ok(credentials.find(registry)?.map(|(auth, source)| LoggedIn {
        user: match auth {
            Auth::Basic { user, .. } => Some(user),
            Auth::Anonymous | Auth::IdentityToken(_) | Auth::Bearer(_) | Auth::Header(_) => None,
        },
        place: source.place(),
    }))
}

/// Returns the registry that a user means, as image references have it: `docker.io` is `index.docker.io`, and the
/// address of an API is its registry. `None` for what is no registry, such as a repository.
///
/// ```
/// use cnb_registry::credentials::login::registry;
///
/// assert_eq!(registry("https://quay.io/v2/").as_deref(), Some("quay.io"));
/// assert_eq!(registry("docker.io").as_deref(), Some("index.docker.io"));
/// assert_eq!(registry("quay.io/me"), None);
/// ```
pub fn registry(typed: &str) -> Option<String> {
    let scope = key::scope(typed);
    let image: ImageRef = format!("{scope}/any/image").parse().ok()?;
    (image.registry() == scope).then_some(scope)
}
