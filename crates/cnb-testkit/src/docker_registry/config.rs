//! The configuration file.

use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Login, Setup, Tls};
use crate::docker_registry::jwt;
use crate::openssl::Certificates;

/// The salt of the one password; what is hashed is no secret.
const SALT: &str = "$2y$05$abcdefghijklmnopqrstuu";

/// Returns the configuration but for address and storage. It is JSON, which YAML includes.
pub(super) fn config(
    setup: &Setup,
    dir: &Path,
    certificates: Option<&Certificates>,
    realm: Option<&str>,
) -> io::Result<Value> {
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": true}},
        "storage": {
            "delete": {"enabled": true},
            "maintenance": {"uploadpurging": {"enabled": false}},
        },
        "http": {"secret": "known to all"},
    });
    if let Some(certificates) = certificates {
        config["http"]["tls"] = json!({"certificate": certificates.server, "key": certificates.server_key});
        if setup.tls == Tls::ClientCertificate {
            config["http"]["tls"]["clientcas"] = json!([certificates.ca]);
        }
    }
    match (&setup.login, realm) {
        (Login::Htpasswd { user, password }, _) => {
            let path = dir.join("htpasswd");
            fs_err::write(&path, format!("{user}:{}\n", bcrypt(password)?))?;
            config["auth"] = json!({"htpasswd": {"realm": "testkit", "path": path}});
        }
        (Login::Bearer(_), Some(realm)) => {
            config["auth"] = json!({"token": {
                "realm": realm,
                "service": jwt::SERVICE,
                "issuer": jwt::ISSUER,
                "rootcertbundle": dir.join(jwt::CERTIFICATE),
            }});
        }
        _ => {}
    }
    Ok(config)
}

/// Returns the only kind of hash that docker-registry reads. Perl is on every Debian, and has it from the C library.
fn bcrypt(password: &str) -> io::Result<String> {
    let output =
        Command::new("perl").args(["-e", "print crypt($ARGV[0], $ARGV[1])", password, SALT]).output()?;
    let hash = String::from_utf8_lossy(&output.stdout).into_owned();
    if hash.starts_with(SALT) {
        Ok(hash)
    } else {
        Err(io::Error::other("the C library of `perl` has no bcrypt"))
    }
}
