//! `bin/detect` and `bin/build` of the shell buildpack.

fn main() -> std::process::ExitCode {
    cnb_buildpack::run::main(&cnb_shell::Shell)
}
