//! The phases as functions, and the lifecycle binary
