//! Keeps glibc's name service out of a statically linked `lifecycle`.
//!
//! The HTTP client links `getaddrinfo` whether or not it is ever called, and with it code that loads shared
//! libraries by name: in an image with another glibc, or none, that ends in a crash. musl has nothing of the
//! kind, and a dynamically linked program finds the libraries of its own system.
//!
//! The library comes before glibc's and defines the functions themselves, so nothing is taken out of that one;
//! a linker that applies `--wrap` late would take it all the same, and `fork` would then keep it.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=no_name_service.c");
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_static || variable("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    cc::Build::new().file("no_name_service.c").compile("no_name_service");
}

#[expect(clippy::disallowed_methods, reason = "a build script is told everything in its environment")]
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
