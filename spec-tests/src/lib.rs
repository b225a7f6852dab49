//! A conformance suite for any implementation of the Cloud Native Buildpacks lifecycle.
//!
//! Black-box cases, each a folder below `cases`, run the phases as a platform would, in a sandbox with a real
//! registry, and compare what they print, how they exit, and every file and image they leave with what the
//! specifications ask. `README.md` beside this crate says how anybody's lifecycle is put to them.
//!
//! [`case`] and [`corpus`] read the cases, [`sandbox`] starts one, [`inside`] is the part that works in there,
//! [`compare`] judges, [`run`] does all of it, several at a time; [`clauses`] holds the specifications' clauses
//! against the cases, [`pending`] names those that wait for something, [`mutations`] tests
//! the suite itself, [`report`] shows the result, and [`cli`] is the command line.

pub mod accounts;
pub mod case;
pub mod clauses;
pub mod cli;
pub mod compare;
pub mod corpus;
pub mod coverage;
pub mod inside;
pub mod mutations;
pub mod observed;
pub mod parallel;
pub mod pending;
pub mod report;
pub mod room;
pub mod run;
pub mod sandbox;
pub mod toml_values;
