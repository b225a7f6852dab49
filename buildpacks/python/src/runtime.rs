//! The layer `python`: the interpreter, its standard library without what only developers use, and the shared
//! libraries that it needs.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cnb_buildpack::layer::{LayerTypes, Scope, metadata};
use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};
use cnb_buildpack::{BuildContext, Failure, libraries, tree};
use cnb_spec::env::Action;

use crate::bytecode;
use crate::interpreter::Interpreter;

/// The layer's name.
const LAYER: &str = "python";
/// The packages of later steps are installed with it, and with what the last build kept of it.
const TYPES: LayerTypes = LayerTypes { launch: true, build: true, cache: true };
/// Parts of the standard library that no app in an image uses: tests, editors, installers.
const LEFT_OUT: &[&str] = &[
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib-dynload",
    "pydoc_data",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "turtle.py",
];

/// A runtime in its layer.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    /// The program in the layer.
    pub(crate) python: PathBuf,
    /// The same Python on this machine, which has pip where the layer has none.
    pub(crate) host: PathBuf,
    /// What names it, for everything that is made with it.
    pub(crate) key: String,
}

/// Fills the layer with a Python of this machine, unless it is there already.
pub(crate) fn install(cx: &BuildContext, host: &Interpreter) -> Result<Runtime, Failure> {
    let meta = fs_err::metadata(&host.program)?;
    let version = host.version.to_string();
    let changed = format!("{} {}.{}", meta.size(), meta.mtime(), meta.mtime_nsec());
    let metadata = metadata(&[
        ("format", "3"),
        ("version", &version),
        ("arch", &cx.target.arch),
        ("program", &host.program.to_string_lossy()),
        ("changed", &changed),
    ]);
    let name = format!("python{}.{}", host.version.0, host.version.1);
    let layer = cx.cached_layer(LAYER, TYPES, &metadata, |layer| {
        let (bin, lib) = (layer.path.join("bin"), layer.path.join("lib"));
        fs_err::create_dir_all(&bin)?;
        let stdlib = lib.join(&name);
        fs_err::copy(&host.program, bin.join(&name))?;
        fs_err::set_permissions(bin.join(&name), std::fs::Permissions::from_mode(0o755))?;
        for link in ["python3", "python"] {
            tree::link(Path::new(&name), &bin.join(link))?;
        }
        copy_library(&host.stdlib, &stdlib)?;
        if host.dynload.is_dir() {
            tree::copy(&host.dynload, &stdlib.join("lib-dynload"))?;
            remove_aside(&stdlib.join("lib-dynload"))?;
        }
        if host.include.is_dir() {
            tree::copy(&host.include, &layer.path.join("include").join(&name))?;
        }
        let mut programs = libraries::programs_below(&stdlib.join("lib-dynload"))?;
        programs.push(bin.join(&name));
        let missing = libraries::carry(cx, &programs, &lib)?;
        // Modules such as `_dbm` that this machine's own Python cannot load either.
        for (file, library) in missing {
            cx.log.step(format!("left out: `{}`, since this machine has no {library}", file.display()));
            tree::remove(&file)?;
        }
        libraries::strip(cx, &libraries::programs_below(&layer.path)?)?;
        bytecode::compile(cx, &bin.join(&name), &stdlib)?;
        for (variable, value) in [("PYTHONUNBUFFERED", "1"), ("LANG", "C.UTF-8")] {
            layer.set_env(&Scope::Both, variable, Action::Default, value)?;
        }
        // The folders of packages are read-only in the image, and compiled already.
        layer.set_env(&Scope::Launch, "PYTHONDONTWRITEBYTECODE", Action::Default, "1")?;
        layer.set_env(&Scope::Launch, "PORT", Action::Default, "8000")?;
        let purl = format!("pkg:generic/python@{}", purl_segment(&version));
        let component = Component::new(Kind::Application, "python", &version, purl).license(Some("PSF-2.0"));
        Ok(Some(Sbom::from_iter([component])))
    })?;
    let key = tree::Key::default().with("python", metadata.to_string()).finish();
    Ok(Runtime { python: layer.path.join("bin/python3"), host: host.program.clone(), key })
}

fn copy_library(from: &Path, to: &Path) -> Result<(), Failure> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // `config-3.11-x86_64-linux-gnu` holds the interpreter once more, as a static library.
        if LEFT_OUT.contains(&&*name) || name.starts_with("config-") {
            continue;
        }
        tree::copy(&entry.path(), &to.join(&*name))?;
    }
    remove_caches(to)
}

/// Compiled files of the machine have its times in them.
fn remove_caches(dir: &Path) -> Result<(), Failure> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if entry.file_name() == "__pycache__" {
                tree::remove(&entry.path())?;
            } else {
                remove_caches(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes extension modules for tests, those for windows, and `nis`, which alone brings Kerberos along.
fn remove_aside(dynload: &Path) -> Result<(), Failure> {
    for entry in fs_err::read_dir(dynload)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["_test", "_ctypes_test", "xxlimited", "_tkinter", "xxsubtype", "nis."]
            .iter()
            .any(|t| name.starts_with(t))
        {
            tree::remove(&entry.path())?;
        }
    }
    Ok(())
}
