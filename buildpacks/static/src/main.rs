//! `bin/detect` and `bin/build` of the static files buildpack, and the server that it puts into images.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnb_static::server::main_if_named().unwrap_or_else(|| cnb_buildpack::run::main(&cnb_static::Static))
}
