//! The workspace keeps its promises: what `cargo xtask tidy` checks, as a test.

use xtask::{tidy, workspace_root};

#[test]
fn the_workspace_is_tidy() {
    let findings = tidy::check(&workspace_root()).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} findings\n{}", lines.len(), lines.join("\n"));
}
