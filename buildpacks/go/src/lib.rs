//! Go applications with modules
