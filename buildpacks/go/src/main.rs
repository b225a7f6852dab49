//! `bin/detect` and `bin/build` of the Go buildpack.

fn main() -> std::process::ExitCode {
    cnb_buildpack::run::main(&cnb_go::Go)
}
