//! Go applications with modules: one static binary per `main` package, in a layer, without the source.

mod compile;
pub mod go_mod;
mod procfile;
pub mod source;
pub mod targets;
mod toolchain;

use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure};

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Go;

impl Buildpack for Go {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let has = |name: &str| cx.app_dir.join(name).is_file();
        if has("go.mod") || has("go.work") {
            return Ok(Detection::pass());
        }
        // What uses the standard library alone needs no module to be built.
        Ok(Detection::when(
            source::has_program(&cx.app_dir)?,
            "a `go.mod` (or `go.work`), or Go files of `package main`, in the app's folder \
             (`go mod init <name>` makes a `go.mod`)",
        ))
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        compile::compile(cx)
    }
}
