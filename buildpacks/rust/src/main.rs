//! `bin/detect` and `bin/build` of the Rust buildpack.

fn main() -> std::process::ExitCode {
    cnb_buildpack::run::main(&cnb_rust::Rust)
}
