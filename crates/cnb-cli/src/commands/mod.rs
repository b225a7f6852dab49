//! The commands, one file each.

pub(crate) mod build;
pub(crate) mod completion;
pub(crate) mod copy;
pub(crate) mod gc;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod plan;
pub(crate) mod rebase;
pub(crate) mod rm;
pub(crate) mod run;
