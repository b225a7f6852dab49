//! Run commands with a given root, mounts, user, environment and limits.

mod invocation;

pub use invocation::{Exit, Invocation, Run};
