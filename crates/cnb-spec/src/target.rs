//! Targets: what an image is, and what a buildpack can build for (Platform API 0.12, Buildpack API 0.10).

use serde::{Deserialize, Serialize};

/// A distribution by name and version; an empty field of a buildpack's target matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Distro {
    /// As `ID` in `/etc/os-release`: `debian`.
    #[serde(default)]
    pub name: String,
    /// As `VERSION_ID` in `/etc/os-release`: `12`.
    #[serde(default)]
    pub version: String,
}

/// The target of an image: what the app will run on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The label `io.buildpacks.base.id`.
    #[serde(default)]
    pub id: String,
    /// As GOOS: `linux`.
    #[serde(default)]
    pub os: String,
    /// As GOARCH: `amd64`.
    #[serde(default)]
    pub arch: String,
    /// As the specification (`variant`) or the Go programs (`arch-variant`) spell it (Δ1).
    #[serde(default, rename = "arch-variant", alias = "variant")]
    pub arch_variant: String,
    /// The distribution, when it is known.
    pub distro: Option<Distro>,
}

/// A target that a buildpack or an extension declares; empty fields match anything (requirement C40).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ModuleTarget {
    /// As GOOS.
    #[serde(default)]
    pub os: String,
    /// As GOARCH.
    #[serde(default)]
    pub arch: String,
    /// As the specification (`variant`) or the Go programs (`arch-variant`) spell it (Δ1).
    #[serde(default, rename = "arch-variant", alias = "variant")]
    pub arch_variant: String,
    /// The distributions, any when empty.
    #[serde(default)]
    pub distros: Vec<Distro>,
}

impl Target {
    /// Returns the target as messages of the Go lifecycle show it: compact JSON without what is unknown.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            #[serde(skip_serializing_if = "str::is_empty")]
            id: &'a str,
            os: &'a str,
            arch: &'a str,
            #[serde(rename = "arch-variant", skip_serializing_if = "str::is_empty")]
            arch_variant: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            distro: Option<&'a Distro>,
        }
        let Self { id, os, arch, arch_variant, distro } = self;
        let shown = Shown { id, os, arch, arch_variant, distro: distro.as_ref() };
        // Text fields alone cannot fail to be written.
        crate::gojson::to_string(&shown).unwrap_or_default()
    }
}

impl ModuleTarget {
    /// Returns whether a module with this target can build for `base` (requirement C40).
    pub fn accepts(&self, base: &Target) -> bool {
        let agree = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        if !agree(&self.os, &base.os)
            || !agree(&self.arch, &base.arch)
            || !agree(&self.arch_variant, &base.arch_variant)
        {
            return false;
        }
        if self.distros.is_empty() {
            return true;
        }
        base.distro.as_ref().is_some_and(|found| {
            let wanted = |w: &str, f: &str| w.is_empty() || w == f;
            self.distros.iter().any(|d| wanted(&d.name, &found.name) && wanted(&d.version, &found.version))
        })
    }
}

/// Returns the architecture of this machine as GOARCH.
pub fn host_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Reads name and version of the distribution from the text of `/etc/os-release` (requirement C12).
pub fn distro_of_os_release(text: &str) -> Distro {
    let mut distro = Distro::default();
    for line in text.lines() {
        let mut parts = line.split('=');
        let (Some(key), Some(value), None) = (parts.next(), parts.next(), parts.next()) else { continue };
        let value = value.trim_matches(|c| c == '"' || c == ' ').to_owned();
        match key.trim() {
            "ID" => distro.name = value,
            "VERSION_ID" => distro.version = value,
            _ => {}
        }
    }
    distro
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Target {
        Target {
            os: "linux".into(),
            arch: "amd64".into(),
            distro: Some(Distro { name: "debian".into(), version: "12".into() }),
            ..Target::default()
        }
    }

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let target: ModuleTarget = toml::from_str(text).unwrap();
        assert_eq!(target.accepts(&base()), expected, "{text}");
    }

    #[test]
    fn empty_fields_match_anything() {
        check("", true);
        check("os = 'linux'", true);
        check("os = 'windows'", false);
        check("arch = 'arm64'", false);
        check("arch = 'amd64'\nvariant = 'v3'", true);
    }

    #[test]
    fn one_listed_distribution_must_match() {
        check("[[distros]]\nname = 'debian'", true);
        check("[[distros]]\nname = 'debian'\nversion = '11'", false);
        check("[[distros]]\nname = 'ubuntu'\n[[distros]]\nname = 'debian'\nversion = '12'", true);
    }

    #[test]
    fn distributions_need_a_base_with_one() {
        let target: ModuleTarget = toml::from_str("[[distros]]\nname = 'debian'").unwrap();
        assert!(!target.accepts(&Target { distro: None, ..base() }));
    }

    #[test]
    fn os_release_lines_with_one_equals_sign_count() {
        let found = distro_of_os_release("NAME=\"Debian = best\"\nID=debian\nVERSION_ID=\"12\"\n");
        assert_eq!(found, Distro { name: "debian".into(), version: "12".into() });
    }
}
