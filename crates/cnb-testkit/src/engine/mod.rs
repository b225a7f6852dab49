//! Container engines started by tests, root's business: each with folders of its own, and gone without a trace
//! when it is dropped.

mod dockerd;
mod folder;
mod podman;
mod service;

pub use dockerd::Dockerd;
pub use podman::Podman;
