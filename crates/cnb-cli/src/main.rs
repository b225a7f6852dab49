//! The `cnb` command.

fn main() {}
