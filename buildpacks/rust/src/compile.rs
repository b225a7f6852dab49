//! The build: find the binaries, compile them into a layer, leave the source out of the image.

use std::path::Path;

use cnb_buildpack::context::is_on;
use cnb_buildpack::layer::{Layer, LayerTypes, Scope};
use cnb_buildpack::sbom::Sbom;
use cnb_buildpack::{BuildContext, Failure, Process, libraries, tree};
use cnb_spec::env::Action;
use serde::Deserialize;

use crate::cargo::{CAUSES, Cargo};
use crate::manifest::{LOCK, Locked, locked};
use crate::targets::{Binary, Metadata};
use crate::{source, times};

/// The layer of the binaries.
const LAYER: &str = "app";
/// The layer of what Cargo compiled.
const TARGET: &str = "target";
/// The record of the times of sources, in that layer.
const TIMES: &str = "times";
/// Variables that change what is compiled.
const VARIABLES: &[&str] = &[
    "BP_CARGO_INSTALL_ARGS",
    "BP_CARGO_WORKSPACE_MEMBERS",
    "CNB_RUST_BIN",
    "CNB_RUST_FEATURES",
    "CNB_RUST_PACKAGE",
    "CNB_RUST_PROFILE",
];

pub(crate) fn compile(cx: &BuildContext) -> Result<(), Failure> {
    let cargo = Cargo::find(cx)?;
    // What a developer's own builds left is neither read nor kept.
    tree::remove(&cx.app_dir.join("target"))?;
    let files = tree::snapshot(&cx.app_dir, &|p| p == Path::new(".git"))?;
    let mut key = tree::Key::default()
        .with("format", "1")
        .with("rust", &cargo.version)
        .with("arch", &cx.target.arch)
        .with("settings", cargo.settings_key(cx))
        .with_snapshot("files", &files);
    for name in VARIABLES {
        key = key.with(name, cx.var(name).unwrap_or_default());
    }
    let key = key.finish();
    let restored = cx.restored_metadata(LAYER);
    let known = restored.get("key").and_then(toml::Value::as_str) == Some(&key)
        && cx.is_reusable(LAYER, LayerTypes::LAUNCH_CACHE, &restored);
    let target = cx.kept_layer(TARGET)?;
    let metadata = if known {
        cx.log.step("nothing changed: the binaries of the last build are used again");
        cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &restored, |_| Ok(None))?;
        restored
    } else {
        times::settle(&cx.app_dir, &files, &target.join(TIMES))?;
        let built = Build { cx, cargo: &cargo, target: &target }.fill(&key);
        cargo.close()?;
        built?
    };
    if is_on(cx.var("CNB_RUST_KEEP_SOURCE")) {
        cx.log.step("the source stays in the image, as CNB_RUST_KEEP_SOURCE asks");
    } else {
        source::remove(&cx.app_dir)?;
    }
    let processes = processes(&metadata);
    match processes.iter().find(|p| p.default) {
        Some(web) => cx.log.step(format!("web: {}", web.command.join(" "))),
        None => cx.log.warning(format!(
            "the image has no default process; it has {}. Name one with `--default-process`, or the binary with CNB_RUST_BIN",
            processes.iter().map(|p| p.kind.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
    cx.write_launch(processes)
}

/// The processes that were recorded with the layer: each a type and a line.
fn processes(metadata: &toml::Table) -> Vec<Process> {
    let listed = metadata.get("processes").and_then(toml::Value::as_table);
    let process = |(kind, line): (&String, &toml::Value)| {
        let line = line.as_str()?;
        let process =
            if line.contains('$') { Process::shell(kind, line) } else { Process::new(kind, &[line]) };
        Some(if kind == "web" { process.default() } else { process })
    };
    listed.into_iter().flatten().filter_map(process).collect()
}

struct Build<'a> {
    cx: &'a BuildContext,
    cargo: &'a Cargo,
    target: &'a Path,
}

impl Build<'_> {
    /// Compiles into the layer, and returns its metadata.
    fn fill(&self, key: &str) -> Result<toml::Table, Failure> {
        let (cx, profile) = (self.cx, self.cx.var("CNB_RUST_PROFILE").unwrap_or("release"));
        let binaries = self.binaries()?;
        let processes: toml::Table = binaries.iter().map(|b| (b.process.clone(), line(b).into())).collect();
        let mut metadata = toml::Table::new();
        metadata.insert("key".to_owned(), key.into());
        metadata.insert("processes".to_owned(), processes.into());
        self.run(&binaries, profile)?;
        // Cargo's word for the folder of its profile `dev`.
        let folder = if profile == "dev" { "debug" } else { profile };
        cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &metadata, |layer| {
            let bin = layer.path.join("bin");
            fs_err::create_dir_all(&bin)?;
            for binary in &binaries {
                fs_err::copy(self.target.join(folder).join(&binary.name), bin.join(&binary.name))?;
            }
            self.carry_libraries(layer)?;
            layer.set_env(&Scope::Launch, "PORT", Action::Default, "8080")?;
            layer.set_env(&Scope::Launch, "HOST", Action::Default, "0.0.0.0")?;
            Ok(Some(self.sbom()))
        })?;
        Ok(metadata)
    }

    fn binaries(&self) -> Result<Vec<Binary>, Failure> {
        let cx = self.cx;
        let said = self
            .cargo
            .command(&cx.app_dir, ["metadata", "--no-deps", "--format-version", "1"])
            .title("cargo metadata")
            .read()?;
        let metadata: Metadata = serde_json::from_str(&said)
            .map_err(Failure::on("failed to read the answer of `cargo metadata`"))?;
        let list = |names: &[&str]| -> Vec<String> {
            let text = names.iter().find_map(|n| cx.var(n)).unwrap_or_default();
            text.split([',', ' ']).map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
        };
        let (packages, names) =
            (list(&["CNB_RUST_PACKAGE", "BP_CARGO_WORKSPACE_MEMBERS"]), list(&["CNB_RUST_BIN"]));
        let (packages, names): (Vec<&str>, Vec<&str>) =
            (packages.iter().map(String::as_str).collect(), names.iter().map(String::as_str).collect());
        let found = metadata.binaries(&packages, &names, cx.var("CNB_RUST_FEATURES").is_some());
        if !found.is_empty() {
            return Ok(found);
        }
        Err(Failure::new("there is no binary to build")
            .because(match (packages.is_empty(), names.is_empty()) {
                (true, true) => "no package that Cargo builds by default has one".to_owned(),
                _ => format!("no package or binary is called {}", [packages, names].concat().join(", ")),
            })
            .next("add a `src/main.rs`, or name a package or binary with CNB_RUST_PACKAGE or CNB_RUST_BIN"))
    }

    fn run(&self, binaries: &[Binary], profile: &str) -> Result<(), Failure> {
        let cx = self.cx;
        let mut args = vec!["build".to_owned(), "--profile".to_owned(), profile.to_owned()];
        for binary in binaries {
            args.extend([
                "--package".to_owned(),
                binary.package.clone(),
                "--bin".to_owned(),
                binary.name.clone(),
            ]);
        }
        if let Some(features) = cx.var("CNB_RUST_FEATURES") {
            args.extend(["--features".to_owned(), features.to_owned()]);
        }
        args.extend(
            cx.var("BP_CARGO_INSTALL_ARGS").unwrap_or_default().split_whitespace().map(str::to_owned),
        );
        let has_lock = cx.app_dir.join(LOCK).is_file();
        if !has_lock {
            cx.log.warning("there is no `Cargo.lock`, so the packages are the newest that fit; run `cargo generate-lockfile` and commit it");
        }
        let build = |locked: &[&str]| {
            let shown = format!("cargo {} {}", args.join(" "), locked.join(" ")).trim_end().to_owned();
            self.cargo
                .command(&cx.app_dir, &args)
                .args(locked)
                .args(["--target-dir"])
                .args([self.target])
                .title(shown)
        };
        let command = build(if has_lock { &["--locked"] } else { &[] });
        let output = command.stream(&cx.log)?;
        if output.success {
            return Ok(());
        }
        if has_lock && output.says("--locked was passed") {
            cx.log.warning("`Cargo.lock` does not match `Cargo.toml`, so it is made anew for this build; run `cargo update --workspace` and commit it");
            return build(&[]).run(&cx.log, CAUSES);
        }
        Err(command.failure(&output, CAUSES))
    }

    fn carry_libraries(&self, layer: &Layer) -> Result<(), Failure> {
        let missing = libraries::carry(
            self.cx,
            &libraries::programs_below(&layer.path.join("bin"))?,
            &layer.path.join("lib"),
        )?;
        match missing.first() {
            None => Ok(()),
            Some((file, library)) => Err(Failure::new(format!(
                "`{}` needs {library}",
                file.file_name().unwrap_or_default().to_string_lossy()
            ))
            .because("this machine does not have that library, so it cannot be put into the image")
            .next("install the library, or link it statically")),
        }
    }

    /// Lists the packages that were compiled in, with the licences that only Cargo itself knows.
    fn sbom(&self) -> Sbom {
        #[derive(Deserialize)]
        struct All {
            packages: Vec<Locked>,
        }
        let triple = if self.cx.target.arch == "arm64" {
            "aarch64-unknown-linux-gnu"
        } else {
            "x86_64-unknown-linux-gnu"
        };
        let args = ["metadata", "--offline", "--format-version", "1", "--filter-platform", triple];
        let said = self.cargo.command(&self.cx.app_dir, args).quietly().ok().filter(|q| q.success);
        let known = said.and_then(|q| serde_json::from_str::<All>(&q.stdout).ok()).map(|all| all.packages);
        known.unwrap_or_else(|| locked(&self.cx.app_dir)).iter().filter_map(Locked::component).collect()
    }
}

/// What starts a binary: Rocket has variables of its own for what others read from `PORT` and `HOST`.
fn line(binary: &Binary) -> String {
    if binary.rocket {
        format!("ROCKET_ADDRESS=${{HOST:-0.0.0.0}} ROCKET_PORT=$PORT exec {}", binary.name)
    } else {
        binary.name.clone()
    }
}
