//! What the embedded default builder takes from the host.
//!
//! [`toolchains`]: language tools that live outside `/usr`. [`settings`]: proxies, certificates and registry
//! addresses. [`run_base`]: the minimal run image. `docs/default-builder.md` says the same for users.

pub mod elf;
pub mod run_base;
pub mod settings;
pub mod toolchains;
