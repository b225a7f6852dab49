//! Where an engine listens, as the environment says.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use cnb_spec::env::Env;

use crate::EngineError;
use crate::context;

const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// host:port, without encryption.
    Tcp(String),
    /// host:port, with TLS.
    Tls {
        /// host:port.
        host: String,
        /// A folder with `ca.pem`, which the engine's certificate is checked against, and, where the engine asks
        /// for them, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
}

impl Address {
    /// Docker's engine: `DOCKER_HOST`, else the current context, else `/var/run/docker.sock` (B18).
    ///
    /// With `DOCKER_TLS_VERIFY` or `DOCKER_CERT_PATH` a `tcp://` address is reached by TLS. The engine's certificate
    /// is always verified, which Docker leaves out when `DOCKER_TLS_VERIFY` is empty.
    ///
    /// # Errors
    /// An address that cannot be used (`ssh://`, `npipe://`), a context that cannot be read.
    ///
    /// ```
    /// use cnb_daemon::Address;
    /// let env = [("DOCKER_HOST".into(), "unix:///tmp/engine.sock".into())].into();
    /// assert_eq!(Address::docker(&env).unwrap(), Address::Unix("/tmp/engine.sock".into()));
    /// ```
    pub fn docker(env: &Env) -> Result<Self, EngineError> {
        let certificates = certificates(env);
        if let Some(host) = value(env, "DOCKER_HOST") {
            return Self::parse("DOCKER_HOST", host, certificates);
        }
        match context::current(env)? {
            Some(context) => Self::read(&context.host, context.certificates)
                .map_err(|reason| EngineError::Context { name: context.name, reason }),
            None => Ok(Self::Unix(DOCKER_SOCKET.into())),
        }
    }

    /// Podman's engine: `CONTAINER_HOST`, else `$XDG_RUNTIME_DIR/podman/podman.sock`, else
    /// `/run/podman/podman.sock` if that is there and the user's own is not.
    ///
    /// # Errors
    /// An address that cannot be used, such as `ssh://`.
    pub fn podman(env: &Env) -> Result<Self, EngineError> {
        if let Some(host) = value(env, "CONTAINER_HOST") {
            return Self::parse("CONTAINER_HOST", host, None);
        }
        let system = Self::Unix(PODMAN_SOCKET.into());
        let Some(runtime) = value(env, "XDG_RUNTIME_DIR") else { return Ok(system) };
        let own = Self::Unix(Path::new(runtime).join("podman/podman.sock"));
        Ok(if !own.exists() && system.exists() { system } else { own })
    }

    /// Returns whether there is a socket; of a host in the network this is not known beforehand, so it counts.
    pub fn exists(&self) -> bool {
        match self {
            Self::Unix(path) => fs_err::metadata(path).is_ok_and(|m| m.file_type().is_socket()),
            Self::Tcp(_) | Self::Tls { .. } => true,
        }
    }

    fn parse(
        variable: &'static str,
        text: &OsStr,
        certificates: Option<PathBuf>,
    ) -> Result<Self, EngineError> {
        // A path may be any bytes, the rest is text.
        if let Some(path) = text.as_bytes().strip_prefix(b"unix://") {
            return Ok(Self::Unix(Path::new(OsStr::from_bytes(path)).to_path_buf()));
        }
        let text = text.to_string_lossy();
        Self::read(&text, certificates).map_err(|reason| EngineError::Address {
            variable,
            text: text.clone().into_owned(),
            reason,
        })
    }

    fn read(text: &str, certificates: Option<PathBuf>) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("it has no scheme such as `unix://` or `tcp://`".to_owned());
        };
        if scheme == "unix" {
            return Ok(Self::Unix(rest.into()));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() && matches!(scheme, "tcp" | "http" | "https") {
            return Err(format!("it has a path, `/{path}`"));
        }
        match (scheme, certificates) {
            ("tcp", Some(certificates)) => Ok(Self::Tls { host: with_port(host, 2376), certificates }),
            ("tcp", None) => Ok(Self::Tcp(with_port(host, 2375))),
            ("http", _) => Ok(Self::Tcp(with_port(host, 80))),
            ("https", Some(certificates)) => Ok(Self::Tls { host: with_port(host, 443), certificates }),
            ("https", None) => Err("there are no certificates: DOCKER_CERT_PATH is not set".to_owned()),
            ("ssh", _) => {
                Err("ssh is not supported; forward the socket with `ssh -L` and name that with `unix://`"
                    .to_owned())
            }
            _ => Err(format!("the scheme `{scheme}` is none of unix, tcp, http, https")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) | Self::Tls { host, .. } => write!(f, "tcp://{host}"),
        }
    }
}

/// Returns a variable that is there and not empty.
pub(crate) fn value<'a>(env: &'a Env, name: &str) -> Option<&'a OsStr> {
    env.get(OsStr::new(name)).map(AsRef::as_ref).filter(|value: &&OsStr| !value.is_empty())
}

/// Returns the folder of Docker's settings.
pub(crate) fn docker_settings(env: &Env) -> Option<PathBuf> {
    let home = || value(env, "HOME").map(|home| Path::new(home).join(".docker"));
    value(env, "DOCKER_CONFIG").map(PathBuf::from).or_else(home)
}

fn certificates(env: &Env) -> Option<PathBuf> {
    let by_default = || value(env, "DOCKER_TLS_VERIFY").and_then(|_| docker_settings(env));
    value(env, "DOCKER_CERT_PATH").map(PathBuf::from).or_else(by_default)
}

fn with_port(host: &str, port: u16) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: &str) {
        let found = match Address::docker(&env(pairs)) {
            Ok(address) => format!("{address:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn dockers_engine_is_where_the_environment_says() {
        check(&[], r#"Unix("/var/run/docker.sock")"#);
        check(&[("DOCKER_HOST", "")], r#"Unix("/var/run/docker.sock")"#);
        check(&[("DOCKER_HOST", "unix:///run/d.sock")], r#"Unix("/run/d.sock")"#);
        check(&[("DOCKER_HOST", "tcp://10.0.0.1:99")], r#"Tcp("10.0.0.1:99")"#);
        check(&[("DOCKER_HOST", "tcp://[::1]/")], r#"Tcp("[::1]:2375")"#);
        check(&[("DOCKER_HOST", "http://engine")], r#"Tcp("engine:80")"#);
        let tls = [("DOCKER_HOST", "tcp://engine"), ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/home/me")];
        check(&tls, r#"Tls { host: "engine:2376", certificates: "/home/me/.docker" }"#);
        let tls = [("DOCKER_HOST", "https://engine"), ("DOCKER_CERT_PATH", "/certs")];
        check(&tls, r#"Tls { host: "engine:443", certificates: "/certs" }"#);
    }

    #[test]
    fn an_address_that_cannot_be_used_says_why() {
        let starts = |text: &str, reason: &str| {
            let error =
                format!("`{text}` in DOCKER_HOST is no address of an engine that can be used: {reason}");
            check(&[("DOCKER_HOST", text)], &error);
        };
        starts("/run/d.sock", "it has no scheme such as `unix://` or `tcp://`");
        starts(
            "ssh://me@host",
            "ssh is not supported; forward the socket with `ssh -L` and name that with `unix://`",
        );
        starts("npipe:////./pipe/x", "the scheme `npipe` is none of unix, tcp, http, https");
        starts("tcp://host:1/path", "it has a path, `/path`");
        starts("https://host", "there are no certificates: DOCKER_CERT_PATH is not set");
    }

    #[test]
    fn podman_has_a_socket_for_each_user() {
        let podman = |pairs| Address::podman(&env(pairs)).unwrap().to_string();
        assert_eq!(podman(&[("CONTAINER_HOST", "unix:///p.sock")]), "unix:///p.sock");
        assert_eq!(podman(&[]), "unix:///run/podman/podman.sock");
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("podman")).unwrap();
        let socket = dir.path().join("podman/podman.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let found = podman(&[("XDG_RUNTIME_DIR", dir.path().to_str().unwrap())]);
        assert_eq!(found, format!("unix://{}", socket.display()));
    }
}
