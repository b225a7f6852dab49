//! `bin/detect` and `bin/build` of the Procfile buildpack.

fn main() -> std::process::ExitCode {
    cnb_buildpack::run::main(&cnb_procfile::Procfile)
}
