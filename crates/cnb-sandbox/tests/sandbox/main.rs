//! The sandbox against the real kernel, as whoever runs the tests and, for root, as an ordinary user too.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test's helper functions are tests too, and their paths are in the message of the panic"
)]

mod commands;
mod endings;
mod files;
mod front;
mod hostile;
mod isolation;
mod ordinary_user;
mod unisolated;
mod world;
