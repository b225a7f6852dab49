//! The whole product, from the command line to images: builds that succeed, fail, are hostile or are stopped.
//!
//! Every claim is tried as whoever runs the tests and, where that is root, as an ordinary user too.
//! Buildpacks are shell scripts; what the bundled ones do is tried beside them.

mod bindings;
mod builds;
mod caches;
mod choices;
mod engines;
mod examples;
mod hostile;
mod interrupt;
mod outputs;
mod own_root;
mod places;
mod plans;
mod publishes;
mod rebases;
mod runs;
mod support;
