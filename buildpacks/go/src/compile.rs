//! The build: find the `main` packages, compile them into a layer, leave the source out of the image.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Cause, Command};
use cnb_buildpack::context::{find_program, is_on};
use cnb_buildpack::layer::{Layer, LayerTypes, Scope};
use cnb_buildpack::sbom::Sbom;
use cnb_buildpack::{BuildContext, Failure, Process, libraries, tree};
use cnb_spec::env::{Action, Env};

use crate::environment::{self, CGO};
use crate::go_mod::{GoMod, GoVersion};
use crate::targets::{Binary, Main, choose, name, within};
use crate::{linked, procfile, source, toolchain};

/// The layer of the binaries.
const LAYER: &str = "app";
/// Variables that change what the Go command makes.
const FLAGS: &[&str] = &[
    "BP_GO_BUILD_FLAGS",
    "BP_GO_BUILD_LDFLAGS",
    "BP_GO_TARGETS",
    "CC",
    "CGO_CFLAGS",
    "CGO_CXXFLAGS",
    "CGO_ENABLED",
    "CGO_LDFLAGS",
    "CNB_GO_TARGETS",
    "CXX",
    "GOAMD64",
    "GOARM64",
    "GOEXPERIMENT",
    "GOFLAGS",
    "GOTOOLCHAIN",
];

/// What the Go command says when something is wrong, and what it means.
const CAUSES: &[Cause] = &[
    Cause {
        says: "missing go.sum entry",
        means: "`go.sum` does not list every module",
        next: "run `go mod tidy` and commit `go.sum`",
    },
    Cause {
        says: "updates to go.mod needed",
        means: "`go.mod` does not match the source",
        next: "run `go mod tidy` and commit `go.mod` and `go.sum`",
    },
    Cause {
        says: "no required module provides package",
        means: "an imported package is in no module of `go.mod`",
        next: "run `go mod tidy` (`go mod init <name>` before it, if there is no `go.mod`) and commit `go.mod` and `go.sum`",
    },
    Cause {
        says: "inconsistent vendoring",
        means: "`vendor/` does not match `go.mod`",
        next: "run `go mod vendor`, or remove `vendor/`",
    },
    Cause {
        says: "toolchain not available",
        means: "the Go version of `go.mod` cannot be had",
        next: "lower the `go` line of `go.mod`, or install that Go on this machine",
    },
    Cause {
        says: "checksum mismatch",
        means: "a module is not the one that `go.sum` names",
        next: "find out which is right before you change `go.sum`",
    },
    Cause {
        says: "certificate signed by unknown authority",
        means: "the module proxy's certificate is not trusted here",
        next: "add the proxy's authority to this machine's CA certificates",
    },
    Cause {
        says: "dial tcp",
        means: "the module proxy cannot be reached",
        next: "check the network and GOPROXY, or commit `vendor/`",
    },
    Cause {
        says: "build constraints exclude all Go files",
        means: "all files of a package are for another platform, or have C code that is not compiled here",
        next: "install gcc on this machine and leave CGO_ENABLED out, or build what needs no C",
    },
    Cause {
        says: "C compiler",
        means: "a C compiler is needed but missing",
        next: "install gcc on this machine, or build with CGO_ENABLED=0",
    },
    Cause {
        says: "no space left on device",
        means: "the disk is full",
        next: "free space, or allow the build more",
    },
];

pub(crate) fn compile(cx: &BuildContext) -> Result<(), Failure> {
    let file = |name: &str| fs_err::read_to_string(cx.app_dir.join(name)).ok().map(|t| GoMod::parse(&t));
    let (go_mod, go_work) = (file("go.mod"), file("go.work"));
    let needs = go_mod.iter().chain(&go_work).filter_map(GoMod::needs).max();
    let has = |name: &str| cx.app_dir.join(name).exists();
    let without_sums = go_mod.as_ref().is_some_and(|m| m.has_requirements)
        && go_work.is_none()
        && !has("go.sum")
        && !has("vendor/modules.txt");
    if without_sums {
        cx.log.warning("there is no `go.sum`, so the modules are whatever the proxy has; run `go mod tidy` and commit `go.sum`");
    }
    let mut env = environment::of(cx, without_sums)?;
    let toolchain = toolchain::find(cx, needs, &mut env)?;
    let build = Build {
        cx,
        env,
        go: &toolchain.go,
        module: go_mod.as_ref().and_then(|m| m.module.as_deref()),
        patterns: patterns(go_mod.is_some(), go_work.as_ref()),
    };
    if go_mod.is_none() && go_work.is_none() {
        make_module(cx, &toolchain.version)?;
    }
    let files = tree::snapshot(&cx.app_dir, &|p| p == Path::new(".git"))?;
    let mut key = tree::Key::default()
        .with("format", "1")
        .with("toolchain", &toolchain.version)
        .with("arch", &cx.target.arch)
        .with_snapshot("files", &files);
    for flag in FLAGS {
        key = key.with(flag, cx.var(flag).unwrap_or_default());
    }
    let key = key.finish();
    let restored = cx.restored_metadata(LAYER);
    let known = restored.get("key").and_then(toml::Value::as_str) == Some(&key)
        && cx.is_reusable(LAYER, LayerTypes::LAUNCH_CACHE, &restored);
    let processes = if known {
        cx.log.step("nothing changed: the binaries of the last build are used again");
        cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &restored, |_| Ok(None))?;
        restored
    } else {
        build.fill(&key)?
    };
    if is_on(cx.var("CNB_GO_KEEP_SOURCE")) {
        cx.log.step("the source stays in the image, as CNB_GO_KEEP_SOURCE asks");
    } else {
        source::remove(&cx.app_dir)?;
    }
    let processes = processes_of(cx, &processes);
    let mut binaries: Vec<String> = processes.iter().flat_map(|p| p.command.clone()).collect();
    binaries.dedup();
    procfile::satisfy(cx, &cx.layer_path(LAYER).join("bin"), &binaries)?;
    cx.write_launch(processes)
}

/// Makes a module of Go files that are none, in the build's copy of the app.
fn make_module(cx: &BuildContext, toolchain: &str) -> Result<(), Failure> {
    cx.log.warning(
        "there is no `go.mod`, so the Go files are built as a module of their own, with the standard library",
    );
    // Without a version the Go command takes the module for a very old one.
    let go = GoVersion::parse(toolchain).map(|v| format!("\ngo {}.{}\n", v.0, v.1)).unwrap_or_default();
    Ok(fs_err::write(cx.app_dir.join("go.mod"), format!("module app\n{go}"))?)
}

fn processes_of(cx: &BuildContext, metadata: &toml::Table) -> Vec<Process> {
    let listed = metadata.get("processes").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let processes: Vec<Process> = listed
        .iter()
        .filter_map(|(kind, binary)| {
            let process = Process::new(kind, &[binary.as_str()?]);
            Some(if kind == "web" { process.default() } else { process })
        })
        .collect();
    if !processes.iter().any(|p| p.default) {
        let kinds: Vec<&str> = processes.iter().map(|p| p.kind.as_str()).collect();
        cx.log.warning(format!(
            "the image has no default process; it has {}. Name one with `--default-process`, or call a command `web`",
            kinds.join(", ")
        ));
    }
    processes
}

struct Build<'a> {
    cx: &'a BuildContext,
    env: Env,
    go: &'a Path,
    module: Option<&'a str>,
    patterns: Vec<String>,
}

impl Build<'_> {
    /// Compiles into the layer, and returns its metadata.
    fn fill(mut self, key: &str) -> Result<toml::Table, Failure> {
        let binaries = name(&self.mains()?, self.module);
        if self.cx.var(CGO).is_none() {
            let is_on = self.uses_c(&binaries)?;
            self.env.insert(CGO.into(), if is_on { "1" } else { "0" }.into());
        }
        let processes: toml::Table =
            binaries.iter().map(|b| (b.process.clone(), toml::Value::String(b.name.clone()))).collect();
        let mut metadata = toml::Table::new();
        metadata.insert("key".to_owned(), toml::Value::String(key.to_owned()));
        metadata.insert("processes".to_owned(), toml::Value::Table(processes));
        self.cx.cached_layer(LAYER, LayerTypes::LAUNCH_CACHE, &metadata, |layer| {
            for binary in &binaries {
                self.compile(layer, binary)?;
            }
            self.carry_libraries(layer)?;
            layer.set_env(&Scope::Launch, "PORT", Action::Default, "8080")?;
            self.sbom(layer, &binaries).map(Some)
        })?;
        Ok(metadata)
    }

    /// Finds the `main` packages to build: those that the user named, or those of the app.
    fn mains(&self) -> Result<Vec<Main>, Failure> {
        let asked = self.cx.var("CNB_GO_TARGETS").or_else(|| self.cx.var("BP_GO_TARGETS"));
        let patterns: Vec<String> = match asked {
            Some(asked) => asked.split([':', ',', ' ']).filter(|p| !p.is_empty()).map(local).collect(),
            None => self.patterns.clone(),
        };
        let format = "{{if eq .Name \"main\"}}{{.ImportPath}}\t{{.Dir}}{{end}}";
        let listed = self
            .go(["list", "-find", "-f", format])
            .args(&patterns)
            .title("go list")
            .capture(&self.cx.log, CAUSES)?;
        let mains: Vec<Main> = listed
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(path, dir)| Main { dir: within(&self.cx.app_dir, dir), import_path: path.to_owned() })
            .collect();
        if mains.is_empty() {
            let failure = Failure::new(match asked {
                Some(asked) => format!("`{asked}` names no `main` package"),
                None => "the module has no `main` package, so there is nothing to start".to_owned(),
            });
            let failure = match self.cx.var(CGO) {
                Some("0") => failure.because("packages with C code do not count while CGO_ENABLED is 0"),
                _ => failure,
            };
            return Err(failure.next(
                "add a `package main` with a `func main`, or name one with CNB_GO_TARGETS=./cmd/name",
            ));
        }
        Ok(if asked.is_some() { mains } else { choose(&mains) })
    }

    /// Returns whether packages beside the standard library have C code, and this machine a compiler for it.
    ///
    /// Without either the binaries are static, and need nothing of the run image.
    fn uses_c(&self, binaries: &[Binary]) -> Result<bool, Failure> {
        let asked = self.cx.var("CC").and_then(|cc| cc.split_whitespace().next());
        let compilers = asked.map_or_else(|| vec!["gcc", "cc", "clang"], |cc| vec![cc]);
        let has_compiler =
            compilers.iter().any(|c| Path::new(c).is_absolute() || find_program(&self.cx.env, c).is_some());
        if !has_compiler {
            return Ok(false);
        }
        let format = "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}";
        let listed = self
            .go(["list", "-deps", "-f", format])
            .args(binaries.iter().map(|b| &b.import_path))
            .env(CGO, "1")
            .title("go list -deps")
            .capture(&self.cx.log, CAUSES)?;
        let found: Vec<&str> = listed.lines().filter(|l| !l.is_empty()).collect();
        if !found.is_empty() {
            self.cx.log.step(format!("C code is compiled, too: of {}", found.join(", ")));
        }
        Ok(!found.is_empty())
    }

    fn compile(&self, layer: &Layer, binary: &Binary) -> Result<(), Failure> {
        let mut args = vec!["build".to_owned(), "-trimpath".to_owned(), "-buildvcs=false".to_owned()];
        if let Some(flags) = self.cx.var("BP_GO_BUILD_LDFLAGS") {
            args.push(format!("-ldflags={flags}"));
        }
        args.extend(
            self.cx.var("BP_GO_BUILD_FLAGS").unwrap_or_default().split_whitespace().map(str::to_owned),
        );
        let shown = format!("go {} {}", args.join(" "), binary.import_path);
        self.go(&args)
            .args(["-o"])
            .args([layer.path.join("bin").join(&binary.name)])
            .args([&binary.import_path])
            .title(shown)
            .run(&self.cx.log, CAUSES)
    }

    /// Binaries that use C need shared libraries, which the image need not have.
    fn carry_libraries(&self, layer: &Layer) -> Result<(), Failure> {
        let binaries = libraries::programs_below(&layer.path.join("bin"))?;
        match libraries::carry(self.cx, &binaries, &layer.path.join("lib"))?.first() {
            None => Ok(()),
            Some((file, library)) => Err(Failure::new(format!("`{}` needs {library}", file.display()))
                .because("this machine does not have that library, so it cannot be put into the image")
                .next("install the library, or build without C (CGO_ENABLED=0)")),
        }
    }

    /// Lists what is linked into the binaries, as they say themselves.
    fn sbom(&self, layer: &Layer, binaries: &[Binary]) -> Result<Sbom, Failure> {
        let mut components = Vec::new();
        for binary in binaries {
            let text = self.go(["version", "-m"]).args([layer.path.join("bin").join(&binary.name)]).read()?;
            components.extend(linked::components(&text, &|path, version| self.folder(path, version)));
        }
        Ok(components.into_iter().collect())
    }

    /// Where a module's files are while building: in the module cache, or in the app's `vendor/`.
    fn folder(&self, path: &str, version: &str) -> Vec<PathBuf> {
        let cache = self.cx.layer_path("mod-cache").join("pkg/mod");
        vec![cache.join(linked::escaped(path, version)), self.cx.app_dir.join("vendor").join(path)]
    }

    fn go<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        Command::new(self.go, &self.cx.app_dir, &self.env).args(args)
    }
}

fn patterns(has_module: bool, workspace: Option<&GoMod>) -> Vec<String> {
    match workspace {
        Some(work) if !has_module => work.uses.iter().map(|dir| format!("{}/...", local(dir))).collect(),
        _ => vec!["./...".to_owned()],
    }
}

/// `cmd/web` means a folder here, not a package of the standard library.
fn local(path: &str) -> String {
    if path.starts_with("./") || path.starts_with("../") || path == "." || path.contains("://") {
        path.trim_end_matches('/').to_owned()
    } else {
        format!("./{}", path.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn named_targets_are_folders_of_the_app() {
        assert_eq!(local("cmd/web"), "./cmd/web");
        assert_eq!(local("./cmd/web/"), "./cmd/web");
        assert_eq!(local("."), ".");
    }
}
