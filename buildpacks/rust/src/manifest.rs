//! What Cargo's own files say: `Cargo.toml`, `rust-toolchain.toml`, `Cargo.lock`.

use std::path::Path;

use cnb_buildpack::Failure;
use cnb_buildpack::context::var;
use cnb_buildpack::sbom::{Component, Kind, purl_segment};
use cnb_buildpack::wanted::Wanted;
use cnb_fs::toml_file;
use cnb_spec::env::Env;
use serde::Deserialize;

/// The name of a package's or workspace's own file.
pub const FILE: &str = "Cargo.toml";
/// The name of the lock file.
pub const LOCK: &str = "Cargo.lock";

/// Reads the app's `Cargo.toml`, to fail early where it is none.
pub fn read(app: &Path) -> Result<toml::Table, Failure> {
    toml_file::read_host(&app.join(FILE)).map_err(|e| Failure::from(e).next("correct `Cargo.toml`"))
}

/// Lists what the app asks of the compiler, in the order in which it counts.
pub fn wishes(app: &Path, env: &Env) -> Vec<Option<Wanted>> {
    let file = |name: &str| {
        let text = fs_err::read_to_string(app.join(name)).ok()?;
        let channel = || {
            text.parse::<toml::Table>().ok()?.get("toolchain")?.get("channel")?.as_str().map(str::to_owned)
        };
        // The file without an ending may hold the version alone.
        let plain = || text.lines().next().filter(|l| !l.contains(['[', '='])).map(str::to_owned);
        Wanted::new(&channel().or_else(plain)?, name)
    };
    let asked = Wanted::new(var(env, "CNB_RUST_VERSION").unwrap_or_default(), "CNB_RUST_VERSION");
    vec![
        asked,
        file("rust-toolchain.toml"),
        file("rust-toolchain"),
        Wanted::in_version_managers(app, &["rust"]),
    ]
}

/// Whether a compiler is the one that a channel asks for; `stable` means any.
pub fn is_asked_for(channel: &str, compiler: &str) -> bool {
    let wish = channel.split('-').next().unwrap_or_default();
    if is_nightly(channel) || wish == "beta" {
        return compiler.contains(wish) || (wish == "nightly" && compiler.contains("-dev"));
    }
    let parts = |v: &str| v.split('.').map(str::to_owned).collect::<Vec<_>>();
    !is_number(wish) || parts(wish).iter().zip(parts(compiler)).all(|(a, b)| *a == b)
}

/// Whether a channel is that of compilers with features that are not stable.
pub fn is_nightly(channel: &str) -> bool {
    channel.starts_with("nightly")
}

/// Whether a channel is a version.
pub fn is_number(channel: &str) -> bool {
    channel.starts_with(|c: char| c.is_ascii_digit())
}

/// A package of a lock file.
#[derive(Clone, Debug, Deserialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from; packages of the app itself come from nowhere.
    pub source: Option<String>,
    /// Its licence, which only Cargo's metadata has.
    pub license: Option<String>,
}

impl Locked {
    /// The package as a component; those of the app itself are none.
    pub fn component(&self) -> Option<Component> {
        self.source.as_ref()?;
        let purl = format!("pkg:cargo/{}@{}", purl_segment(&self.name), purl_segment(&self.version));
        // `MIT/Apache-2.0` is how packages wrote a choice before there were expressions.
        let license = self.license.as_ref().map(|l| l.replace('/', " OR "));
        Some(Component::new(Kind::Library, &self.name, &self.version, purl).license(license.as_deref()))
    }
}

/// Reads the packages of a lock file.
pub fn locked(app: &Path) -> Vec<Locked> {
    #[derive(Default, Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Locked>,
    }
    toml_file::read_host::<Lock>(&app.join(LOCK)).unwrap_or_default().package
}

#[cfg(test)]
mod tests {
    use super::{Env, Locked, is_asked_for, wishes};

    #[test]
    fn toolchain_files_are_read_in_both_forms() {
        let dir = tempfile::tempdir().unwrap();
        let first = || wishes(dir.path(), &Env::new()).into_iter().flatten().next().map(|w| w.version);
        assert_eq!(first(), None);
        fs_err::write(dir.path().join(".tool-versions"), "rust 1.70.0\n").unwrap();
        assert_eq!(first().as_deref(), Some("1.70.0"));
        fs_err::write(dir.path().join("rust-toolchain"), "1.75\n").unwrap();
        assert_eq!(first().as_deref(), Some("1.75"));
        fs_err::write(
            dir.path().join("rust-toolchain.toml"),
            "[toolchain]\nchannel = \"nightly-2024-01-01\"\n",
        )
        .unwrap();
        assert_eq!(first().as_deref(), Some("nightly-2024-01-01"));
    }

    #[test]
    fn a_channel_is_a_version_or_what_the_compiler_calls_itself() {
        assert!(is_asked_for("stable", "1.95.0") && is_asked_for("nightly", "1.97.0-nightly"));
        assert!(!is_asked_for("nightly-2024-01-01", "1.95.0") && !is_asked_for("beta", "1.95.0"));
        assert!(is_asked_for("1.95", "1.95.0") && !is_asked_for("1.95.1", "1.95.0"));
        assert!(!is_asked_for("1.9", "1.95.0"));
    }

    #[test]
    fn packages_of_the_app_are_no_components() {
        let one = |source: Option<&str>, license: &str| Locked {
            name: "a".into(),
            version: "1.0.0".into(),
            source: source.map(str::to_owned),
            license: Some(license.into()),
        };
        assert_eq!(one(None, "MIT").component(), None);
        let component = one(Some("registry"), "MIT/Apache-2.0").component().unwrap();
        assert_eq!(component.purl, "pkg:cargo/a@1.0.0");
        assert_eq!(component.licenses[0].expression, "MIT OR Apache-2.0");
    }
}
