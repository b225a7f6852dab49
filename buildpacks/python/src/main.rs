//! `bin/detect` and `bin/build` of the Python buildpack.

fn main() -> std::process::ExitCode {
    cnb_buildpack::run::main(&cnb_python::Python)
}
