//! Bindings of type `ca-certificates`: trusted by every build and by `cnb run`, whatever the buildpacks.

use std::collections::BTreeMap;
use std::ffi::OsString;

use cnb_fs::{GuestPath, HostPath, Root};
use cnb_sandbox::Mount;

use super::Binding;
use crate::host::run_base::list::CA_BUNDLES;
use crate::host::settings::certificates::{VARIABLES, certificates as in_pem};

/// Where the bundle of a run is.
const RUN_BUNDLE: &str = "/platform/ca-certificates.crt";

/// Returns the certificates of all bindings of type `ca-certificates`, one after the other, in PEM.
pub(crate) fn certificates(bindings: &[Binding]) -> String {
    let mut pem = String::new();
    for binding in bindings.iter().filter(|b| b.is("ca-certificates")) {
        for (_, value) in binding.values.iter().filter(|(key, _)| *key != "type" && *key != "provider") {
            for certificate in in_pem(&String::from_utf8_lossy(value)) {
                pem.push_str(certificate);
                pem.push('\n');
            }
        }
    }
    pem
}

/// Lets a run trust the certificates of bindings beside those of the image, whose layers are `lowers`, top first.
///
/// The image stays as it is: the bundle is a file of this run, and the variables of tools lead to it, but for those
/// that are set already.
pub(crate) fn trust_in_run(
    bindings: &[Binding],
    lowers: &[HostPath],
    env: &mut BTreeMap<OsString, OsString>,
) -> Option<Mount> {
    let added = certificates(bindings);
    if added.is_empty() {
        return None;
    }
    let mut bundle = lowers.iter().find_map(image_bundle).unwrap_or_default();
    bundle.extend_from_slice(added.as_bytes());
    for name in VARIABLES {
        env.entry(name.into()).or_insert_with(|| RUN_BUNDLE.into());
    }
    Some(Mount::File { guest: GuestPath::new(RUN_BUNDLE), contents: bundle, mode: 0o444 })
}

fn image_bundle(lower: &HostPath) -> Option<Vec<u8>> {
    // Through a handle: a link in a hostile image must not lead to a file of the host.
    let root = Root::new(std::fs::File::open(lower.as_path()).ok()?.into(), None);
    CA_BUNDLES.iter().find_map(|path| root.read(&GuestPath::new(path), 16 << 20).ok())
}
