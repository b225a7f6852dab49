//! `bin/detect` and `bin/build` of the Java buildpack.

fn main() -> std::process::ExitCode {
    cnb_buildpack::run::main(&cnb_java::Java)
}
