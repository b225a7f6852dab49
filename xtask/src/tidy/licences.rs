//! Licences of what we depend on.

use serde_json::Value;

use super::Finding;

/// The licences that anything we link or run in a build may have.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks the licence of every package in the output of `cargo metadata`.
pub fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let refused = packages.filter_map(|package| {
        let (name, licence) = (package["name"].as_str()?, package["license"].as_str().unwrap_or_default());
        (!is_allowed(licence)).then(|| {
            Finding::new(
                "Cargo.lock",
                0,
                format!("`{name}` has the licence `{licence}`, which is not in the list"),
            )
        })
    });
    refused.collect()
}

/// Returns the SPDX expression that a package declares: before SPDX, cargo wrote a choice with a slash.
pub fn normalized(declared: &str) -> String {
    declared.replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns whether what a package declares leaves us a choice within the list.
fn is_allowed(declared: &str) -> bool {
    let spaced = normalized(declared).replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at) && at == words.len()
}

fn either(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = both(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= both(words, at);
    }
    allowed
}

fn both(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(words, at);
    }
    allowed
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let allowed = either(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return allowed && closed;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    ALLOWED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_licence(expression: &str, allowed: bool) {
        assert_eq!(is_allowed(expression), allowed, "{expression}");
    }

    #[test]
    fn one_allowed_choice_suffices_and_all_parts_must_be_allowed() {
        check_licence("MIT", true);
        check_licence("GPL-3.0-only OR MIT", true);
        check_licence("MIT/Apache-2.0", true);
        check_licence("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check_licence("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true);
        check_licence("MIT AND GPL-3.0-only", false);
        check_licence("Apache-2.0 WITH Classpath-exception-2.0", false);
        check_licence("(MIT", false);
        check_licence("", false);
    }

    #[test]
    fn slashes_become_choices() {
        assert_eq!(normalized("MIT / Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(normalized("(MIT OR ISC) AND Zlib"), "(MIT OR ISC) AND Zlib");
    }

    #[test]
    fn a_package_without_licence_is_refused() {
        let metadata = serde_json::json!({"packages": [{"name": "a", "license": null}, {"name": "b", "license": "MIT"}]});
        let found = check(&metadata);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.starts_with("`a` has the licence"), "{}", found[0]);
    }
}
