//! `bin/detect` and `bin/build` of the Node.js buildpack, and the server that it puts into images of front-ends.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnb_static::server::main_if_named().unwrap_or_else(|| cnb_buildpack::run::main(&cnb_nodejs::Nodejs))
}
