//! Docker's contexts: named engines in the user's settings, one of which is current.
//!
//! `config.json` (or `DOCKER_CONTEXT`) names the current one, `contexts/meta/<sha256 of the name>/meta.json` says
//! where its engine is, and `contexts/tls/<sha256 of the name>/docker` has its certificates.

use std::path::{Path, PathBuf};

use cnb_fs::toml_file;
use cnb_image::blob_store::digest_of;
use cnb_spec::env::Env;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::EngineError;
use crate::address::{docker_settings, value};

/// The most bytes of a file of settings.
const LIMIT: u64 = 1 << 20;

/// The context that stands for "no context".
const DEFAULT: &str = "default";

/// A context, as far as its engine goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) certificates: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: String,
}

/// Returns the current context, `None` if that is Docker's own default.
pub(crate) fn current(env: &Env) -> Result<Option<Context>, EngineError> {
    let Some(dir) = docker_settings(env) else { return Ok(None) };
    let name = match value(env, "DOCKER_CONTEXT") {
        Some(name) => name.to_string_lossy().into_owned(),
        None => current_name(&dir)?,
    };
    if name.is_empty() || name == DEFAULT {
        return Ok(None);
    }
    let key = digest_of(name.as_bytes()).hex();
    let path = dir.join("contexts/meta").join(&key).join("meta.json");
    let meta: Meta = match read(&path) {
        Ok(Some(meta)) => meta,
        Ok(None) => {
            return Err(EngineError::Context { name, reason: format!("there is no `{}`", path.display()) });
        }
        Err(reason) => return Err(EngineError::Context { name, reason }),
    };
    let certificates = dir.join("contexts/tls").join(&key).join("docker");
    let certificates = certificates.join("ca.pem").exists().then_some(certificates);
    Ok(Some(Context { name, host: meta.endpoints.docker.host, certificates }))
}

fn current_name(dir: &Path) -> Result<String, EngineError> {
    let settings = read::<Settings>(&dir.join("config.json"));
    match settings {
        Ok(settings) => Ok(settings.map(|s| s.current_context).unwrap_or_default()),
        Err(reason) => Err(EngineError::Context { name: "current".to_owned(), reason }),
    }
}

/// Reads a file of settings, `None` if it is missing.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match toml_file::read_host_bytes(path, LIMIT) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| format!("failed to parse `{}`: {e}", path.display())),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(format!("{e}: {}", e.source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    fn settings(current: &str, host: &str, certificates: bool) -> (tempfile::TempDir, Env) {
        let dir = tempfile::tempdir().unwrap();
        let key = digest_of(b"remote").hex();
        let meta = dir.path().join("contexts/meta").join(&key);
        fs_err::create_dir_all(&meta).unwrap();
        fs_err::write(
            dir.path().join("config.json"),
            format!(r#"{{"auths":{{}},"currentContext":"{current}"}}"#),
        )
        .unwrap();
        let text =
            format!(r#"{{"Name":"remote","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
        fs_err::write(meta.join("meta.json"), text).unwrap();
        if certificates {
            let tls = dir.path().join("contexts/tls").join(&key).join("docker");
            fs_err::create_dir_all(&tls).unwrap();
            fs_err::write(tls.join("ca.pem"), "").unwrap();
        }
        let env = [("DOCKER_CONFIG".into(), dir.path().into())].into();
        (dir, env)
    }

    #[test]
    fn the_current_context_says_where_the_engine_is() {
        let (_dir, env) = settings("remote", "unix:///run/other.sock", false);
        assert_eq!(Address::docker(&env).unwrap().to_string(), "unix:///run/other.sock");
        let (dir, env) = settings("remote", "tcp://engine:1", true);
        let certificates = dir.path().join("contexts/tls").join(digest_of(b"remote").hex()).join("docker");
        assert_eq!(Address::docker(&env).unwrap(), Address::Tls { host: "engine:1".into(), certificates });
    }

    #[test]
    fn the_environment_comes_before_the_current_context() {
        let (_dir, mut env) = settings("remote", "unix:///run/other.sock", false);
        env.insert("DOCKER_CONTEXT".into(), "default".into());
        assert_eq!(Address::docker(&env).unwrap().to_string(), "unix:///var/run/docker.sock");
        env.remove(std::ffi::OsStr::new("DOCKER_CONTEXT"));
        env.insert("DOCKER_HOST".into(), "unix:///run/d.sock".into());
        assert_eq!(Address::docker(&env).unwrap().to_string(), "unix:///run/d.sock");
    }

    #[test]
    fn a_context_that_cannot_be_used_is_named() {
        let (_dir, env) = settings("gone", "unix:///x", false);
        let error = Address::docker(&env).unwrap_err().to_string();
        assert!(error.starts_with("the Docker context `gone` cannot be used: there is no `"), "{error}");
        let (_dir, env) = settings("remote", "ssh://host", false);
        let error = Address::docker(&env).unwrap_err().to_string();
        assert!(
            error.starts_with("the Docker context `remote` cannot be used: ssh is not supported"),
            "{error}"
        );
        let (dir, env) = settings("remote", "unix:///x", false);
        fs_err::write(dir.path().join("config.json"), "{").unwrap();
        let error = Address::docker(&env).unwrap_err().to_string();
        assert!(error.contains("failed to parse `") && error.contains("config.json"), "{error}");
    }
}
