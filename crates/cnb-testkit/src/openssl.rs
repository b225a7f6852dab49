//! Certificates and signatures, made by the `openssl` program: no cryptography is compiled for tests.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Certificates of a private authority, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority.
    pub ca: PathBuf,
    /// A server on loopback: `localhost`, 127.0.0.1, 127.0.0.2 and `::1`.
    pub server: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// A client.
    pub client: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes all of them in `dir`; they hold for a week.
    pub fn make(dir: &Path) -> io::Result<Self> {
        let ca = dir.join("ca.pem");
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:::1";
        self_signed(
            dir,
            "ca",
            "ec:prime256v1",
            &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"],
        )?;
        signed(dir, "server", &[names, "extendedKeyUsage=serverAuth"])?;
        signed(dir, "client", &["extendedKeyUsage=clientAuth"])?;
        let [server, client] = ["server.pem", "client.pem"].map(|name| dir.join(name));
        let [server_key, client_key] = ["server.key", "client.key"].map(|name| dir.join(name));
        Ok(Self { ca, server, server_key, client, client_key })
    }
}

/// Makes `name.pem`, which is its own authority, and `name.key`.
pub(crate) fn self_signed(dir: &Path, name: &str, key: &str, extensions: &[&str]) -> io::Result<()> {
    request(dir, name, key, extensions, &[])
}

/// Makes `name.pem`, which `ca.pem` vouches for, and `name.key`.
fn signed(dir: &Path, name: &str, extensions: &[&str]) -> io::Result<()> {
    let extensions = [&["basicConstraints=critical,CA:FALSE"], extensions].concat();
    request(dir, name, "ec:prime256v1", &extensions, &["-CA", "ca.pem", "-CAkey", "ca.key"])
}

fn request(dir: &Path, name: &str, key: &str, extensions: &[&str], more: &[&str]) -> io::Result<()> {
    let (algorithm, curve) = key.split_once(':').unwrap_or((key, ""));
    let curve = format!("ec_paramgen_curve:{curve}");
    let new_key = if algorithm == "ec" { vec!["ec", "-pkeyopt", &curve] } else { vec![key] };
    let (subject, out, key_out) =
        (format!("/CN=cnb test {name}"), format!("{name}.pem"), format!("{name}.key"));
    let mut args = vec!["req", "-x509", "-days", "7", "-nodes", "-subj", &subject, "-newkey"];
    args.extend(new_key);
    args.extend(["-out", &out, "-keyout", &key_out]);
    args.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
    args.extend(more);
    openssl(dir, &args, b"").map(|_| ())
}

/// Signs with RSA and SHA-256.
pub(crate) fn sign(dir: &Path, key: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    openssl(dir, &["dgst", "-sha256", "-sign", key], bytes)
}

/// Returns a certificate without PEM's wrapping.
pub(crate) fn der(dir: &Path, certificate: &str) -> io::Result<Vec<u8>> {
    openssl(dir, &["x509", "-in", certificate, "-outform", "DER"], b"")
}

fn openssl(dir: &Path, args: &[&str], input: &[u8]) -> io::Result<Vec<u8>> {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("`openssl {}` failed: {said}", args.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{available, run};

    #[test]
    fn the_authority_vouches_for_server_and_client() {
        if !available(&["openssl"]) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let made = Certificates::make(dir.path()).unwrap();
        assert!(made.server_key.is_file() && made.client_key.is_file());
        for (certificate, purpose) in [("server.pem", "sslserver"), ("client.pem", "sslclient")] {
            let args = ["verify", "-CAfile", "ca.pem", "-purpose", purpose, certificate];
            assert_eq!(run("openssl", &args, dir.path()), format!("{certificate}: OK\n"));
        }
    }
}
