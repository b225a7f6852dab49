//! Makes the programs that this library carries: the launcher, the sandbox's init, and the bundled buildpacks.
//!
//! They run in places that have nothing beside them, so they are linked statically: with musl where that
//! target is installed, with glibc otherwise. A second cargo builds them in a directory of its own below the
//! target directory, once for all profiles.
//!
//! A build script reports by panicking: cargo shows what it says, and the build ends there.

mod static_cargo;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest, Sha256};

use crate::static_cargo::{PARTS, StaticBuild};

/// The folders of the bundled buildpacks, by the name of their program.
const BUILDPACKS: &[&str] = &["procfile", "static", "nodejs", "go", "python", "rust", "java", "shell"];

fn main() {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = manifest_dir.join("../..");
    for watched in [
        "Cargo.toml",
        "Cargo.lock",
        "crates/cnb-launcher",
        "crates/cnb-sandbox/src",
        "crates/cnb-sandbox/Cargo.toml",
        "crates/cnb-spec/src",
        "crates/cnb-fs/src",
        "crates/cnb-dirs/src",
        "crates/cnb-buildpack/src",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    for name in BUILDPACKS {
        for part in ["src", "buildpack.toml", "Cargo.toml"] {
            println!(
                "cargo::rerun-if-changed={}",
                workspace.join("buildpacks").join(name).join(part).display()
            );
        }
    }

    let out = PathBuf::from(variable("OUT_DIR"));
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let profile_dir =
        out.ancestors().nth(3).expect("cargo nests OUT_DIR below the profile's directory").to_path_buf();
    let target_dir =
        profile_dir.parent().expect("the profile's directory lies in the target directory").join("parts");
    let built = build(&workspace, &target_dir);

    // Tests and packagers take the launcher from beside the other programs.
    replace(&built.join("launcher"), &profile_dir.join("cnb-launcher"));
    fs::write(out.join("parts.rs"), table(&workspace, &built)).expect("write the table of parts");
}

/// Builds all programs; returns the folder they are in.
fn build(workspace: &Path, target_dir: &Path) -> PathBuf {
    let (os, arch) = (variable("CARGO_CFG_TARGET_OS"), variable("CARGO_CFG_TARGET_ARCH"));
    assert!(
        os == "linux" && (arch == "x86_64" || arch == "aarch64"),
        "cnb runs on Linux, x86_64 and aarch64, not on {os} {arch}"
    );
    let target =
        static_cargo::parts_target(variable("RUSTC").as_ref(), &arch).unwrap_or_else(|e| panic!("{e}"));
    StaticBuild {
        cargo: variable("CARGO").as_ref(),
        cargo_home: &static_cargo::cargo_home(optional),
        workspace,
        target_dir,
        target: &target,
        profile: "parts",
        programs: PARTS,
        env: &[],
    }
    .run()
    .unwrap_or_else(|e| panic!("{e}"))
}

/// The source of the table that the library includes.
fn table(workspace: &Path, built: &Path) -> String {
    let mut text = String::new();
    let mut hash = Sha256::new();
    let mut add = |text: &mut String, name: &str, path: &Path, executable: bool| {
        let path = fs::canonicalize(path).expect("find a part");
        hash.update(name);
        hash.update(fs::read(&path).expect("read a part"));
        writeln!(
            text,
            "    Part {{ path: {name:?}, bytes: include_bytes!({:?}), executable: {executable} }},",
            path.display().to_string()
        )
        .expect("write to a string");
    };
    text.push_str("pub(super) const PARTS: &[Part] = &[\n");
    for (_, program) in &PARTS[..2] {
        add(&mut text, &format!("bin/{program}"), &built.join(program), true);
    }
    for name in BUILDPACKS {
        let descriptor = workspace.join("buildpacks").join(name).join("buildpack.toml");
        add(&mut text, &format!("buildpacks/{name}/buildpack.toml"), &descriptor, false);
        add(
            &mut text,
            &format!("buildpacks/{name}/bin/buildpack"),
            &built.join(format!("buildpack-{name}")),
            true,
        );
    }
    text.push_str("];\n");
    let mut key = String::new();
    for byte in hash.finalize().iter().take(8) {
        write!(key, "{byte:02x}").expect("write to a string");
    }
    writeln!(text, "pub(super) const KEY: &str = {key:?};").expect("write to a string");
    text
}

/// Copies a program so that one that is running at the moment is left alone.
fn replace(from: &Path, to: &Path) {
    let temporary = to.with_extension("new");
    fs::copy(from, &temporary).expect("copy the launcher");
    fs::rename(&temporary, to).expect("rename the launcher");
}

#[expect(clippy::disallowed_methods, reason = "a build script is told everything in its environment")]
fn optional(name: &str) -> Option<OsString> {
    env::var_os(name)
}

fn variable(name: &str) -> String {
    optional(name).and_then(|v| v.into_string().ok()).unwrap_or_else(|| panic!("cargo sets {name}"))
}
