//! Features that a platform has to ask for (requirement B19).

use std::ffi::OsStr;

use cnb_spec::env::Env;

use crate::console::{Console, Level};
use crate::exit::Failure;

/// Image extensions, before Platform API 0.13.
pub(crate) const DOCKERFILES: &str = "Dockerfiles";
/// Images in directories.
pub(crate) const LAYOUT: &str = "export to OCI layout format";

/// Refuses, announces or allows `feature`, as `CNB_EXPERIMENTAL_MODE` says; without it, refuses.
pub(crate) fn guard(feature: &'static str, env: &Env, console: &Console) -> Result<(), Failure> {
    let mode = env.get(OsStr::new("CNB_EXPERIMENTAL_MODE")).map(|v| v.to_string_lossy().into_owned());
    match mode.as_deref().unwrap_or_default() {
        "" | "error" => Err(Failure::Experimental(feature)),
        "quiet" | "silent" => Ok(()),
        _ => {
            console.log(Level::Warn, &format!("Platform requested experimental feature '{feature}'"));
            Ok(())
        }
    }
}
