//! What is linked into a program, as cargo resolves it for exactly that build.
//!
//! The packages come from `cargo tree`, which knows the features of the packages that are built together;
//! their sources and checksums come from `Cargo.lock`. Procedural macros, build scripts and tests are not in
//! the program, and so not in here; the standard library and the C library are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cnb_buildpack::sbom::purl_segment;

use super::static_cargo::StaticBuild;
use super::{PackageError, stdout};
use crate::tidy::licences;

/// A program and everything that is linked into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    /// The key of the package that is the program.
    pub(super) root: String,
    /// All packages, the program's own included, by key.
    pub(super) packages: BTreeMap<String, Package>,
}

/// A package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version; empty when it cannot be known.
    pub(super) version: String,
    /// Its licence, an SPDX expression; empty when it declares none.
    pub(super) licence: String,
    /// Where it is from.
    pub(super) origin: Origin,
    /// The keys of the packages that it uses.
    pub(super) depends_on: BTreeSet<String>,
}

/// Where a package is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// This workspace.
    #[default]
    Workspace,
    /// A registry or repository, as `Cargo.lock` has it.
    Locked {
        /// Which one.
        source: String,
        /// The SHA-256 of the package's archive; empty for repositories.
        checksum: String,
    },
    /// The compiler, or the machine that it ran on.
    Toolchain,
}

impl Package {
    /// Returns its package URL.
    pub(super) fn purl(&self) -> String {
        let kind = if self.origin == Origin::Toolchain { "generic" } else { "cargo" };
        let name = purl_segment(&self.name);
        if self.version.is_empty() {
            format!("pkg:{kind}/{name}")
        } else {
            format!("pkg:{kind}/{name}@{}", purl_segment(&self.version))
        }
    }

    fn key(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Returns what is linked into `program`, one of those of `build`.
pub(super) fn linked(build: &StaticBuild<'_>, program: &str) -> Result<Linked, PackageError> {
    let mut tree = Command::new(build.cargo);
    tree.current_dir(build.workspace).args(["tree", "--offline", "--locked", "--target", build.target]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "\t{p}\t{l}\t"]);
    for (package, _) in build.programs {
        tree.args(["--package", package]);
    }
    let package = build.programs.iter().find(|(_, name)| *name == program).map_or(program, |(name, _)| name);
    let mut packages = read_tree(&stdout(&mut tree)?);
    let root = packages
        .values()
        .find(|p| p.name == package)
        .map(Package::key)
        .ok_or_else(|| PackageError::NotLocked(package.to_owned()))?;
    let lock = read_lock(build.workspace)?;
    for (key, package) in &mut packages {
        package.origin = lock.get(key).cloned().ok_or_else(|| PackageError::NotLocked(key.clone()))?;
    }
    add_toolchain(&mut packages, &root, build.target)?;
    Ok(only_reachable(root, packages))
}

/// Reads what cargo prints: depth, name with version, licence; a package that was shown before is not
/// followed again.
fn read_tree(text: &str) -> BTreeMap<String, Package> {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    let mut above: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let (Some(depth), Some(id)) = (columns.next().and_then(|d| d.parse().ok()), columns.next()) else {
            continue;
        };
        let licence = licences::normalized(columns.next().unwrap_or_default());
        let mut words = id.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let version = words.next().unwrap_or_default().trim_start_matches('v').to_owned();
        let package = Package { name, version, licence, ..Package::default() };
        let key = package.key();
        above.truncate(depth);
        if let Some(parent) = above.last().and_then(|parent| packages.get_mut(parent)) {
            parent.depends_on.insert(key.clone());
        }
        above.push(key.clone());
        packages.entry(key).or_insert(package);
    }
    packages
}

/// Reads where each package is from, by key.
fn read_lock(workspace: &Path) -> Result<BTreeMap<String, Origin>, PackageError> {
    let path = workspace.join("Cargo.lock");
    let lock: toml::Table = toml::from_str(&fs_err::read_to_string(&path)?)
        .map_err(|e| std::io::Error::other(format!("{}: {e}", path.display())))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let origin = |package: &toml::Value| {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let (source, checksum) = (text("source"), text("checksum"));
        let origin = if source.is_empty() { Origin::Workspace } else { Origin::Locked { source, checksum } };
        (format!("{} {}", text("name"), text("version")), origin)
    };
    Ok(packages.map(origin).collect())
}

/// Adds what the compiler links into every program: its standard library, and through it the C library.
fn add_toolchain(
    packages: &mut BTreeMap<String, Package>,
    root: &str,
    target: &str,
) -> Result<(), PackageError> {
    let toolchain = |name: &str, version: &str, licence: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: licence.to_owned(),
        origin: Origin::Toolchain,
        depends_on: BTreeSet::new(),
    };
    let c_library = if target.ends_with("-gnu") {
        let said = stdout(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
        toolchain("glibc", said.trim().trim_start_matches("glibc "), "LGPL-2.1-or-later")
    } else {
        // The compiler brings its own musl, and does not say which.
        toolchain("musl", "", "MIT")
    };
    let said = stdout(Command::new("rustc").arg("--version"))?;
    let mut std = toolchain("rust-std", said.split(' ').nth(1).unwrap_or_default(), "MIT OR Apache-2.0");
    std.depends_on.insert(c_library.key());
    if let Some(root) = packages.get_mut(root) {
        root.depends_on.insert(std.key());
    }
    packages.extend([std, c_library].map(|package| (package.key(), package)));
    Ok(())
}

/// Leaves out what only other programs use.
fn only_reachable(root: String, mut packages: BTreeMap<String, Package>) -> Linked {
    let mut found = BTreeSet::new();
    let mut ahead = vec![root.clone()];
    while let Some(key) = ahead.pop() {
        if let Some(package) = packages.get(&key)
            && found.insert(key)
        {
            ahead.extend(package.depends_on.iter().cloned());
        }
    }
    packages.retain(|key, _| found.contains(key));
    Linked { root, packages }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_with_what_it_leaves_out() {
        let text = "0\ta v1.0.0 (/w/a)\tApache-2.0\t\n1\tb v2.0.0+x\tMIT/Apache-2.0\t\n2\tc v3.0.0\tMIT\t\n\
                    1\tc v3.0.0\tMIT\t\n\n0\td v1.0.0 (/w/d)\tMIT\t\n1\tb v2.0.0+x\tMIT/Apache-2.0\t (*)\n";
        let packages = read_tree(text);
        let deps = |key: &str| packages[key].depends_on.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(deps("a 1.0.0"), ["b 2.0.0+x", "c 3.0.0"]);
        assert_eq!(deps("b 2.0.0+x"), ["c 3.0.0"]);
        assert_eq!(deps("d 1.0.0"), ["b 2.0.0+x"]);
        assert_eq!(packages["b 2.0.0+x"].licence, "MIT OR Apache-2.0");
        assert_eq!(packages["b 2.0.0+x"].purl(), "pkg:cargo/b@2.0.0%2Bx");
        let linked = only_reachable("d 1.0.0".into(), packages);
        assert_eq!(linked.packages.keys().collect::<Vec<_>>(), ["b 2.0.0+x", "c 3.0.0", "d 1.0.0"]);
    }

    #[test]
    fn the_launcher_has_the_standard_library_and_no_macros() {
        let root = crate::workspace_root();
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let build = StaticBuild {
            cargo: "cargo".as_ref(),
            cargo_home: &root,
            workspace: &root,
            target_dir: &root,
            target: &target,
            profile: "parts",
            programs: super::super::PARTS,
            env: &[],
        };
        let linked = linked(&build, "launcher").unwrap();
        let names: Vec<&str> = linked.packages.values().map(|p| p.name.as_str()).collect();
        for (name, expected) in [
            ("cnb-launcher", true),
            ("nix", true),
            ("glibc", true),
            ("serde_derive", false),
            ("divan", false),
        ] {
            assert_eq!(names.contains(&name), expected, "{name} in {names:?}");
        }
        assert!(linked.packages.values().all(|p| !p.licence.is_empty()), "{linked:?}");
        let is_locked =
            |p: &Package| matches!(&p.origin, Origin::Locked { checksum, .. } if checksum.len() == 64);
        assert!(linked.packages.values().any(is_locked));
    }
}
