//! Certificates as Java keeps them: the machine's own bundle, as a trust store in Java's first format, which needs no
//! secrets and no time.

use std::path::{Path, PathBuf};

use base64::Engine;
use cnb_buildpack::context::var;
use cnb_buildpack::{BuildContext, Failure};
use sha1::{Digest, Sha1};

/// The password that every Java expects of its own trust store.
pub(crate) const PASSWORD: &str = "changeit";

/// Finds the bundle of certificates that programs of this machine trust.
pub(crate) fn bundle(cx: &BuildContext) -> Option<PathBuf> {
    let own = var(&cx.env, "SSL_CERT_FILE").map(PathBuf::from);
    let usual =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
    own.into_iter().chain(usual.map(PathBuf::from)).find(|p| p.is_file())
}

/// Writes the certificates of a PEM bundle as a trust store.
pub(crate) fn write(bundle: &Path, to: &Path) -> Result<(), Failure> {
    let text = fs_err::read(bundle)?;
    let certificates = certificates(&String::from_utf8_lossy(&text));
    if certificates.is_empty() {
        return Err(Failure::new(format!("there are no certificates in `{}`", bundle.display()))
            .next("set SSL_CERT_FILE to a bundle in PEM"));
    }
    Ok(fs_err::write(to, store(&certificates))?)
}

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for block in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let Some((body, _)) = block.split_once("-----END CERTIFICATE-----") else { continue };
        let body: String = body.split_whitespace().collect();
        found.extend(base64::engine::general_purpose::STANDARD.decode(body));
    }
    found
}

/// Writes a store: a head, each certificate with its name and time, and a checksum over all with the password.
fn store(certificates: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |n: usize| u32::try_from(n).unwrap_or_default().to_be_bytes();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        out.extend(text.as_bytes());
    };
    out.extend(0xfeed_feed_u32.to_be_bytes());
    out.extend(number(2));
    out.extend(number(certificates.len()));
    for (n, certificate) in certificates.iter().enumerate() {
        out.extend(number(2));
        text(&mut out, &format!("ca{n}"));
        out.extend(0_u64.to_be_bytes());
        text(&mut out, "X.509");
        out.extend(number(certificate.len()));
        out.extend(certificate);
    }
    let mut sum = Sha1::new();
    for unit in PASSWORD.encode_utf16() {
        sum.update(unit.to_be_bytes());
    }
    sum.update(b"Mighty Aphrodite");
    sum.update(&out);
    out.extend(sum.finalize());
    out
}

#[cfg(test)]
mod tests {
    use super::{certificates, store};

    #[test]
    fn a_bundle_is_read_block_by_block() {
        let pem = "# a\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\nx\n-----BEGIN CERTIFICATE-----\nBA==\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\ncut";
        assert_eq!(certificates(pem), [vec![1, 2, 3], vec![4]]);
    }

    #[test]
    fn the_same_certificates_make_the_same_store() {
        let one = store(&[vec![1, 2, 3]]);
        assert_eq!(one, store(&[vec![1, 2, 3]]));
        assert_eq!(one[..12], [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1]);
        assert_ne!(one, store(&[vec![1, 2, 4]]));
    }
}
