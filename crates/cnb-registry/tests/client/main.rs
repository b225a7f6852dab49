//! The client against registries that are right, and against one that goes wrong in every way.

mod content;
mod docker_registry;
mod faults;
mod identity;
mod reach;
mod support;
