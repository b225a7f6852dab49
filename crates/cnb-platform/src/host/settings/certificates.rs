//! The certificates that the host trusts, as one bundle, under the variable of every tool.

use std::collections::BTreeSet;
use std::path::PathBuf;

use cnb_fs::GuestPath;

use super::{Collector, GuestFile, Settings};
use crate::host::run_base::list::CA_BUNDLES;

/// Where the bundle is in the build.
pub(super) const GUEST: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The variables with which tools are told of a bundle, in the order in which the user's own are read.
pub(crate) const VARIABLES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "NIX_SSL_CERT_FILE",
];

/// Puts the host's bundle and whatever the user's tools trust besides it into one.
pub(super) fn collect(found: &mut Collector<'_>, from_npm: Option<PathBuf>) {
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(found.var("SSL_CERT_FILE").map(PathBuf::from));
    if files.is_empty() {
        let usual = CA_BUNDLES.iter().map(|path| found.system(path));
        files.extend(usual.into_iter().find(|path| path.is_file()));
    }
    files.extend(VARIABLES.iter().filter_map(|name| found.var(name)).map(PathBuf::from));
    files.extend(from_npm);
    let mut read = BTreeSet::new();
    let mut known = BTreeSet::new();
    let mut bundle = String::new();
    for file in files {
        if !file.is_absolute() || !read.insert(file.clone()) {
            continue;
        }
        let Some(text) = found.read(&file) else { continue };
        for block in certificates(&text) {
            if known.insert(block.to_owned()) {
                bundle.push_str(block);
                bundle.push('\n');
            }
        }
    }
    if bundle.is_empty() {
        return;
    }
    for name in VARIABLES {
        found.set(name, GUEST);
    }
    found.file(GUEST, bundle);
}

/// Adds certificates in PEM to the bundle, and makes one where there is none.
pub(crate) fn add(settings: &mut Settings, pem: &str) {
    if pem.is_empty() {
        return;
    }
    for name in VARIABLES {
        settings.env.insert(name.to_owned(), GUEST.to_owned());
    }
    let guest = GuestPath::new(GUEST);
    match settings.files.iter_mut().find(|file| file.guest == guest) {
        Some(file) => file.contents.extend_from_slice(pem.as_bytes()),
        None => settings.files.push(GuestFile { guest, contents: pem.into() }),
    }
}

/// Returns the certificates of a PEM file; anything else in it, such as a key, stays outside.
pub(crate) fn certificates(text: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    text.match_indices(BEGIN).filter_map(|(start, _)| {
        let block = &text[start..];
        Some(&block[..block.find(END)? + END.len()])
    })
}
