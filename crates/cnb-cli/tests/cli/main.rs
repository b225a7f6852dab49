//! Transcripts of the `cnb` program: exit code, standard output, standard error.
//!
//! One module per command or group of commands; what needs no build is tried here.

mod build;
mod cnb;
mod login;
mod logout;
mod places;
mod run;
mod shell;
mod store;
