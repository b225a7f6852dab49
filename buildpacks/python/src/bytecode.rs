//! Compiled modules: an image is read-only, so what is not compiled in it is compiled at each start.

use std::path::Path;

use cnb_buildpack::command::Command;
use cnb_buildpack::{BuildContext, Failure};

/// Compiles what lies below `dir`, in files that hold no times.
///
/// One process does it all, in the order of the names: what Python writes for a file depends on what it compiled
/// before, and on the order of its sets.
pub(crate) fn compile(cx: &BuildContext, python: &Path, dir: &Path) -> Result<(), Failure> {
    // Packages carry files that are templates, or for another Python: those do not stop it.
    Command::new(python, Path::new("/"), &cx.env)
        .args(["-s", "-S", "-B", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"])
        .args([dir])
        .env("PYTHONHASHSEED", "0")
        .title("python -m compileall")
        .quietly()
        .map(drop)
}
