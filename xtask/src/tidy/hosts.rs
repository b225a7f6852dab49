//! Hosts of package registries: never named, since what the tools of a user are configured for decides.

use super::Finding;

/// The hosts, in pieces, so that this file does not name them.
const HOSTS: &[&[&str]] = &[
    &["registry", "npmjs", "org"],
    &["registry", "yarnpkg", "com"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["crates", "io"],
    &["proxy", "golang", "org"],
    &["sum", "golang", "org"],
    &["repo", "maven", "apache", "org"],
    &["repo1", "maven", "org"],
    &["plugins", "gradle", "org"],
    &["rubygems", "org"],
    &["deb", "debian", "org"],
];

/// Checks one text file; `Cargo.lock` is written by cargo itself.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    if path.rsplit('/').next() == Some("Cargo.lock") {
        return Vec::new();
    }
    let hosts: Vec<String> = HOSTS.iter().map(|pieces| pieces.join(".")).collect();
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        for host in hosts.iter().filter(|host| line.contains(*host)) {
            findings.push(Finding::new(
                path,
                n + 1,
                format!("names the package registry `{host}`: take it from the tool's configuration"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_any_case_and_with_their_line() {
        let text = format!("first\n\"resolved\": \"https://Registry.{}.org/x\"\n", "npmjs");
        let found = check("a/package-lock.json", &text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert_eq!(check("a/Cargo.lock", &text), []);
        assert_eq!(check("a.md", "go.dev, nodejs.org, npm"), []);
    }
}
