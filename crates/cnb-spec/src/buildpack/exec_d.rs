//! Output of an exec.d program: environment variables.
//!
//! Written on file descriptor 3, read by the launcher.
//! Buildpack Interface Specification, "`exec.d` (TOML)"; requirement A66.

use std::collections::BTreeMap;

/// Parses the output; a value that is no string is an error.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, toml::de::Error> {
    toml::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strings_are_accepted() {
        assert_eq!(parse("A = 'x'\nB = ''").unwrap().len(), 2);
        assert!(parse("A = 1").is_err());
        assert!(parse("[t]\nA = 'x'").is_err());
    }
}
