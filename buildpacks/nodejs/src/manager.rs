//! The package manager of an app: which one, by its lock file and `packageManager`, and in which version.

use std::path::Path;

use crate::package::Package;

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// npm.
    Npm,
    /// pnpm.
    Pnpm,
    /// Yarn 1.
    YarnClassic,
    /// Yarn 2 and later.
    YarnBerry,
    /// Bun.
    Bun,
}

/// A package manager in a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Which one.
    pub kind: Kind,
    /// Its version, or a range of the registry.
    pub version: String,
    /// Its program, where the app brings it along.
    pub own_program: Option<String>,
    /// The lock file, if there is one.
    pub lock: Option<&'static str>,
    /// Whether the app says which packages may run scripts when they are installed; pnpm alone asks for that.
    pub chooses_scripts: bool,
}

/// Lock files and whose they are, in the order in which they count.
const LOCKS: &[(&str, Kind)] = &[
    ("pnpm-lock.yaml", Kind::Pnpm),
    ("bun.lock", Kind::Bun),
    ("bun.lockb", Kind::Bun),
    ("yarn.lock", Kind::YarnClassic),
    ("npm-shrinkwrap.json", Kind::Npm),
    ("package-lock.json", Kind::Npm),
];

impl Manager {
    /// Finds the manager of an app: the one that `packageManager` names, else the one whose lock file there is.
    pub fn of(app: &Path, package: &Package) -> Self {
        let read = |name: &str| fs_err::read_to_string(app.join(name)).unwrap_or_default();
        let named = package.text("packageManager").and_then(|text| text.split_once('@'));
        let named = named.map(|(name, version)| (name, version.split('+').next().unwrap_or_default()));
        let there = |(name, _): &&(&str, Kind)| app.join(name).is_file();
        let is_yarn = |kind| matches!(kind, Kind::YarnClassic | Kind::YarnBerry);
        let wanted = named.and_then(|(name, version)| {
            Some(match name {
                "npm" => Kind::Npm,
                "pnpm" => Kind::Pnpm,
                "bun" => Kind::Bun,
                "yarn" if version.starts_with('1') || version.starts_with('0') => Kind::YarnClassic,
                "yarn" => Kind::YarnBerry,
                _ => return None,
            })
        });
        let same = |kind: Kind| wanted.is_none_or(|w| w == kind || (is_yarn(w) && is_yarn(kind)));
        let locks = LOCKS.iter().filter(there);
        let lock = locks.clone().find(|(_, kind)| same(*kind)).copied();
        let only_settings = || {
            if app.join("pnpm-workspace.yaml").is_file() {
                Kind::Pnpm
            } else if app.join(".yarnrc.yml").is_file() {
                Kind::YarnBerry
            } else if app.join("bunfig.toml").is_file()
                || ["@types/bun", "bun-types"].iter().any(|types| package.depends_on(types))
            {
                Kind::Bun
            } else {
                in_scripts(package)
            }
        };
        let mut kind = wanted.or(lock.map(|(_, kind)| kind)).unwrap_or_else(only_settings);
        let yarn_lock = if is_yarn(kind) { read("yarn.lock") } else { String::new() };
        let yarn_path = yarn_path(&read(".yarnrc.yml"));
        if wanted.is_none()
            && kind == Kind::YarnClassic
            && (yarn_lock.contains("__metadata:") || yarn_path.is_some())
        {
            kind = Kind::YarnBerry;
        }
        let by_name = named.map(|(_, version)| version).filter(|v| !v.is_empty() && wanted.is_some());
        let version =
            by_name.map_or_else(|| by_lock(kind, &read("pnpm-lock.yaml"), &yarn_lock), str::to_owned);
        let own_program = yarn_path.filter(|path| kind == Kind::YarnBerry && app.join(path).is_file());
        let chooses_scripts = kind == Kind::Pnpm
            && (package.chooses_scripts() || chooses_scripts(&read("pnpm-workspace.yaml")));
        Self { kind, version, own_program, lock: lock.map(|(name, _)| name), chooses_scripts }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::YarnClassic | Kind::YarnBerry => "yarn",
            Kind::Bun => "bun",
        }
    }

    /// The name of the lock file that it writes.
    pub fn lock_name(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "package-lock.json",
            Kind::Pnpm => "pnpm-lock.yaml",
            Kind::YarnClassic | Kind::YarnBerry => "yarn.lock",
            Kind::Bun => "bun.lock",
        }
    }

    /// The package that the registry has of it, for a machine of this architecture (in Go's words).
    pub fn registry_package(&self, arch: &str) -> String {
        let name = match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::YarnClassic => "yarn",
            Kind::YarnBerry => "@yarnpkg/cli-dist",
            Kind::Bun if arch == "arm64" => "@oven/bun-linux-aarch64",
            Kind::Bun => "@oven/bun-linux-x64-baseline",
        };
        format!("{name}@{}", self.version)
    }

    /// The program in that package.
    pub fn program_in_package(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "bin/npm-cli.js",
            Kind::Pnpm => "bin/pnpm.cjs",
            Kind::YarnClassic | Kind::YarnBerry => "bin/yarn.js",
            Kind::Bun => "bin/bun",
        }
    }

    /// The arguments that install exactly what the lock file says, or with `frozen` off what fits best.
    pub fn install<'a>(&self, all: bool, frozen: bool) -> Vec<&'a str> {
        if self.kind == Kind::YarnBerry && !all {
            // It has no such option for `install`, and the lock file was checked when all packages were installed.
            return vec!["workspaces", "focus", "--production"];
        }
        let mut args = match self.kind {
            Kind::Npm => vec![if frozen { "ci" } else { "install" }],
            _ => vec!["install"],
        };
        match (self.kind, frozen) {
            (Kind::Pnpm | Kind::YarnClassic | Kind::Bun, true) => args.push("--frozen-lockfile"),
            (Kind::Pnpm, false) => args.push("--no-frozen-lockfile"),
            (Kind::YarnBerry, true) => args.push("--immutable"),
            (Kind::YarnBerry, false) => args.push("--no-immutable"),
            _ => {}
        }
        match self.kind {
            Kind::Npm => args.push(if all { "--include=dev" } else { "--omit=dev" }),
            // Copies, so that nothing of a store is needed.
            Kind::Pnpm => args.extend([
                "--config.package-import-method=copy",
                "--config.confirm-modules-purge=false",
                // Its other ways of telling leave out what scripts of packages print.
                "--reporter=append-only",
            ]),
            Kind::YarnClassic => args.extend(["--non-interactive", "--ignore-engines", "--no-progress"]),
            Kind::Bun => args.extend(["--backend=copyfile", "--no-progress"]),
            Kind::YarnBerry => {}
        }
        if self.kind == Kind::Pnpm && !self.chooses_scripts {
            args.push("--config.dangerously-allow-all-builds=true");
        }
        match self.kind {
            Kind::Pnpm if !all => args.push("--prod"),
            Kind::YarnClassic if all => args.push("--production=false"),
            Kind::YarnClassic if !all => args.push("--production"),
            // Its `--production` freezes the lock file as well.
            Kind::Bun if !all => args.push("--omit=dev"),
            _ => {}
        }
        args
    }

    /// What it says where the lock file does not match.
    pub fn says_stale(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Npm => &["EUSAGE"],
            Kind::Pnpm => &[
                "ERR_PNPM_OUTDATED_LOCKFILE",
                "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
                "ERR_PNPM_LOCKFILE_BREAKING_CHANGE",
                "ERR_PNPM_NO_LOCKFILE",
                "Ignoring not compatible lockfile",
            ],
            Kind::YarnClassic => &["needs to be updated"],
            Kind::YarnBerry => &["YN0028", "would have been modified"],
            Kind::Bun => &["lockfile had changes", "lockfile is frozen"],
        }
    }

    /// Whether it can install the packages of production alone: Yarn 2 and 3 need a plugin for that.
    pub fn can_leave_out_dev(&self) -> bool {
        let major = self.version.split('.').next().and_then(|v| v.parse::<u32>().ok());
        self.kind != Kind::YarnBerry || major.is_some_and(|major| major >= 4)
    }
}

/// The settings of pnpm that name packages which may run scripts when they are installed; it refuses more than one.
pub(crate) const CHOOSE_SCRIPTS: &[&str] = &[
    "onlyBuiltDependencies",
    "neverBuiltDependencies",
    "onlyBuiltDependenciesFile",
    "ignoredBuiltDependencies",
    "allowBuilds",
];

fn chooses_scripts(workspace: &str) -> bool {
    let named = |line: &str| line.split_once(':').is_some_and(|(name, _)| CHOOSE_SCRIPTS.contains(&name));
    workspace.lines().any(named)
}

/// The program that `.yarnrc.yml` names.
fn yarn_path(text: &str) -> Option<String> {
    let value = text.lines().find_map(|l| l.strip_prefix("yarnPath:"))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty())
}

/// The newest version that reads a lock file as it is, as a range of the registry.
fn by_lock(kind: Kind, pnpm_lock: &str, yarn_lock: &str) -> String {
    let field = |text: &str, name: &str| {
        let line = text.lines().map(str::trim).find_map(|l| l.strip_prefix(name))?;
        line.trim()
            .trim_matches(['"', '\''])
            .split('.')
            .map(|p| p.parse::<u32>().ok())
            .collect::<Option<Vec<_>>>()
    };
    let range = match kind {
        Kind::Npm | Kind::Bun => "latest",
        Kind::YarnClassic => "1",
        Kind::Pnpm => match field(pnpm_lock, "lockfileVersion:").as_deref() {
            Some([6, ..]) => "8",
            Some([5, 4, ..]) => "7",
            Some([5, ..]) => "6",
            // Later versions than 10 want a newer Node.js than apps of today ask for.
            _ => "10",
        },
        Kind::YarnBerry => match field(yarn_lock, "version:").as_deref() {
            Some([4..=7, ..]) => "3",
            _ => "4",
        },
    };
    range.to_owned()
}

/// The manager that the app's own scripts run, npm where they run none.
fn in_scripts(package: &Package) -> Kind {
    let scripts = ["start", "build", "dev"].into_iter().filter_map(|name| package.script(name));
    let mut words = scripts.flat_map(|script| script.split("&&").filter_map(|c| c.split_whitespace().next()));
    words
        .find_map(|word| match word {
            "bun" | "bunx" => Some(Kind::Bun),
            "pnpm" | "pnpx" => Some(Kind::Pnpm),
            "yarn" => Some(Kind::YarnClassic),
            _ => None,
        })
        .unwrap_or(Kind::Npm)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Manager, Package};

    /// The manager of an app with these files.
    fn of(package: &str, files: &[(&str, &str)]) -> (Kind, String, Option<&'static str>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let found = Manager::of(dir.path(), &Package::parse(package).unwrap());
        (found.kind, found.version, found.lock)
    }

    #[test]
    fn lock_files_tell_manager_and_version() {
        let pnpm =
            |version: &str| of("{}", &[("pnpm-lock.yaml", &format!("lockfileVersion: {version}\n"))]).1;
        assert_eq!([pnpm("5.3"), pnpm("5.4"), pnpm("'6.0'"), pnpm("'9.0'")], ["6", "7", "8", "10"]);
        assert_eq!(
            of("{}", &[("yarn.lock", "# yarn lockfile v1\n")]),
            (Kind::YarnClassic, "1".into(), Some("yarn.lock"))
        );
        assert_eq!(of("{}", &[("yarn.lock", "__metadata:\n  version: 8\n")]).0, Kind::YarnBerry);
        assert_eq!(of("{}", &[("yarn.lock", "__metadata:\n  version: 6\n")]).1, "3");
        assert_eq!(of("{}", &[("bun.lock", "{}")]).0, Kind::Bun);
        assert_eq!(
            of("{}", &[("package-lock.json", "{}")]),
            (Kind::Npm, "latest".into(), Some("package-lock.json"))
        );
        assert_eq!(of("{}", &[]), (Kind::Npm, "latest".into(), None));
        assert_eq!(of(r#"{"devDependencies":{"@types/bun":"1"}}"#, &[]).0, Kind::Bun);
    }

    #[test]
    fn scripts_tell_the_manager_where_nothing_else_does() {
        let script = |line: &str| format!(r#"{{"scripts":{{"start":"{line}"}}}}"#);
        assert_eq!(of(&script("bun run index.ts"), &[]).0, Kind::Bun);
        assert_eq!(of(&script("tsc && pnpm serve"), &[]).0, Kind::Pnpm);
        assert_eq!(of(&script("yarn serve"), &[]).0, Kind::YarnClassic);
        assert_eq!(of(&script("node yarn"), &[]).0, Kind::Npm);
        assert_eq!(of(&script("bun index.ts"), &[("package-lock.json", "{}")]).0, Kind::Npm);
        assert_eq!(of("{}", &[("bunfig.toml", "")]).0, Kind::Bun);
    }

    #[test]
    fn package_manager_counts_more_than_a_lock_file() {
        let named = r#"{"packageManager":"pnpm@9.1.0+sha512.abc"}"#;
        assert_eq!(of(named, &[("package-lock.json", "{}")]), (Kind::Pnpm, "9.1.0".into(), None));
        let yarn = r#"{"packageManager":"yarn@4.1.0"}"#;
        assert_eq!(of(yarn, &[("yarn.lock", "")]), (Kind::YarnBerry, "4.1.0".into(), Some("yarn.lock")));
        assert_eq!(of(r#"{"packageManager":"yarn@1.22.19"}"#, &[]).0, Kind::YarnClassic);
        assert_eq!(of(r#"{"packageManager":"vlt@1"}"#, &[]).0, Kind::Npm);
    }

    #[test]
    fn a_yarn_that_the_app_brings_along_is_used() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join(".yarn/releases")).unwrap();
        fs_err::write(dir.path().join(".yarn/releases/yarn-4.0.0.cjs"), "").unwrap();
        fs_err::write(dir.path().join(".yarnrc.yml"), "yarnPath: .yarn/releases/yarn-4.0.0.cjs\n").unwrap();
        let found = Manager::of(dir.path(), &Package::default());
        assert_eq!(found.own_program.as_deref(), Some(".yarn/releases/yarn-4.0.0.cjs"));
    }

    #[test]
    fn pnpm_runs_the_scripts_of_all_packages_unless_the_app_chooses() {
        let allows_all = |package: &str, workspace: &str| {
            let dir = tempfile::tempdir().unwrap();
            fs_err::write(dir.path().join("pnpm-workspace.yaml"), workspace).unwrap();
            let found = Manager::of(dir.path(), &Package::parse(package).unwrap());
            found.install(true, true).contains(&"--config.dangerously-allow-all-builds=true")
        };
        assert!(allows_all("{}", "packages:\n  - a\n"));
        assert!(!allows_all("{}", "onlyBuiltDependencies:\n  - esbuild\n"));
        assert!(!allows_all(r#"{"pnpm":{"onlyBuiltDependencies":["esbuild"]}}"#, ""));
    }

    #[test]
    fn a_frozen_installation_says_so_to_every_manager() {
        for (kind, flag) in [
            (Kind::Npm, "ci"),
            (Kind::Pnpm, "--frozen-lockfile"),
            (Kind::YarnClassic, "--frozen-lockfile"),
            (Kind::YarnBerry, "--immutable"),
            (Kind::Bun, "--frozen-lockfile"),
        ] {
            let manager = Manager {
                kind,
                version: String::new(),
                own_program: None,
                lock: None,
                chooses_scripts: false,
            };
            assert!(manager.install(true, true).contains(&flag), "{kind:?}");
            assert!(!manager.install(true, false).contains(&flag), "{kind:?}");
        }
    }
}
