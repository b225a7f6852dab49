//! What the buildpack reads of `go.mod` and `go.work`: the module's name, the Go version, the modules of a workspace.

/// A Go version as far as it is ordered here: `1.22`, `1.22.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoVersion(pub u32, pub u32, pub u32);

impl GoVersion {
    /// Reads `1.22`, `go1.22.3`, `1.22rc1`, `go1.22.3-custom`; what follows the numbers is not looked at.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix("go").unwrap_or(text.trim());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = text[..end].split('.').map(|p| p.parse::<u32>().ok());
        let major = parts.next()??;
        let minor = parts.next().flatten().unwrap_or(0);
        Some(Self(major, minor, parts.next().flatten().unwrap_or(0)))
    }
}

impl std::fmt::Display for GoVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What a `go.mod` or `go.work` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoMod {
    /// The module's path.
    pub module: Option<String>,
    /// The oldest Go that the module is for.
    pub go: Option<GoVersion>,
    /// The toolchain that it suggests.
    pub toolchain: Option<GoVersion>,
    /// The folders of a workspace.
    pub uses: Vec<String>,
    /// Whether other modules are required.
    pub has_requirements: bool,
}

impl GoMod {
    /// Reads a `go.mod` or a `go.work`. The Go command reports what is wrong with it far better than we could.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut block = String::new();
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            if word == ")" {
                block.clear();
            } else if rest == "(" {
                word.clone_into(&mut block);
            } else if block == "use" && !word.is_empty() {
                found.uses.push(unquoted(line).to_owned());
            } else if block == "require" && !word.is_empty() {
                found.has_requirements = true;
            } else if block.is_empty() {
                match word {
                    "require" => found.has_requirements = true,
                    "module" => found.module = Some(unquoted(rest).to_owned()),
                    "go" => found.go = GoVersion::parse(rest),
                    "toolchain" => found.toolchain = GoVersion::parse(rest),
                    "use" => found.uses.push(unquoted(rest).to_owned()),
                    _ => {}
                }
            }
        }
        found
    }

    /// Returns the Go version that is needed at least.
    pub fn needs(&self) -> Option<GoVersion> {
        self.go.max(self.toolchain)
    }
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '`'])
}

#[cfg(test)]
mod tests {
    use super::{GoMod, GoVersion};

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        assert_eq!(GoVersion::parse("go1.22.3"), Some(GoVersion(1, 22, 3)));
        assert_eq!(GoVersion::parse("1.21"), Some(GoVersion(1, 21, 0)));
        assert_eq!(GoVersion::parse("1.23rc1"), Some(GoVersion(1, 23, 0)));
        assert_eq!(GoVersion::parse("devel"), None);
        assert!(GoVersion(1, 9, 0) < GoVersion(1, 10, 0));
    }

    #[test]
    fn module_and_versions_are_found_among_the_rest() {
        let text =
            "module \"example.com/shop/v2\" // name\n\ngo 1.21\ntoolchain go1.22.1\nrequire (\n\tgo 1.5\n)\n";
        let found = GoMod::parse(text);
        assert_eq!(found.module.as_deref(), Some("example.com/shop/v2"));
        assert_eq!(found.needs(), Some(GoVersion(1, 22, 1)));
        assert!(found.has_requirements);
        assert!(GoMod::parse("require a.org/b v1.0.0").has_requirements);
        assert!(!GoMod::parse("module a\nrequire (\n)\nreplace (\n\tc => d\n)").has_requirements);
    }

    #[test]
    fn a_workspace_names_its_modules() {
        let found = GoMod::parse("go 1.22\nuse ./a\nuse (\n\t./b // two\n\t\"./c\"\n)\n");
        assert_eq!(found.uses, ["./a", "./b", "./c"]);
    }
}
