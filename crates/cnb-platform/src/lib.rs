//! The daemonless platform as a library
