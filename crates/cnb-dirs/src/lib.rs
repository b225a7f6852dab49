//! The directories that the specifications name, read and written as types
