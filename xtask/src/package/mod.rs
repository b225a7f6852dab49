//! `cargo xtask package lifecycle`: the lifecycle as the archive that builder tools take as `[lifecycle] uri`.
//!
//! Two static programs, a link for each phase, the descriptor, and SBOMs in the formats of the specification
//! (requirements A74, B73); names and folders are those of the Go project's releases. The same source, lock
//! file and toolchain give the same bytes.

mod archive;
mod linked;
mod sbom;
mod static_program;
pub mod trial;

#[path = "../../../crates/cnb-platform/static_cargo.rs"]
mod static_cargo;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use cnb_spec::buildpack::sbom::SbomFormat;
use cnb_spec::distribution::lifecycle_toml::LifecycleDescriptor;
use sha2::{Digest, Sha256};

use self::archive::Content;
use self::linked::Linked;
use self::static_cargo::{PARTS, StaticBuild};

/// The version of everything in this workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the Go lifecycle that a platform may take this one for (ADR 15): platforms decide by the version
/// in the descriptor what they can ask for.
const STANDS_FOR: &str = "0.21.17";

/// The names under which the lifecycle is started, one a phase.
const PHASES: &[&str] =
    &["analyzer", "builder", "creator", "detector", "exporter", "extender", "rebaser", "restorer"];

/// Why nothing was packaged.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file or a program could not be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The archive could not be written.
    #[error(transparent)]
    File(#[from] cnb_fs::FsError),
    /// The lifecycle does not run there.
    #[error("`{0}` is no target of the lifecycle: it runs on Linux, x86_64 and aarch64")]
    Target(String),
    /// The toolchain lacks a target.
    #[error("the toolchain has no standard library for `{0}`: `rustup target add {0}` installs it")]
    NoStandardLibrary(String),
    /// Cargo did not build it.
    #[error("{0}")]
    Build(String),
    /// A program would need something of the image that it runs in.
    #[error("the program `{program}` {what}")]
    NotStatic {
        /// Its name.
        program: &'static str,
        /// What makes it so.
        what: String,
    },
    /// A command did not tell what it was asked.
    #[error("`{command}` failed: {what}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        what: String,
    },
    /// What cargo says of a program is not what its lock file says.
    #[error("`{0}` is linked in, but is not in Cargo.lock")]
    NotLocked(String),
    /// A document could not be written.
    #[error("failed to write a document as text")]
    Document(#[from] toml::ser::Error),
    /// The archive does not do what it should.
    #[error("the package does not work: {0}")]
    Trial(String),
}

/// What was packaged.
#[derive(Clone, Debug)]
pub struct Package {
    /// The archive.
    pub archive: PathBuf,
    /// The SHA-256 of the archive, in hexadecimal.
    pub sha256: String,
    /// The folder of the static `lifecycle`, as it is in the archive.
    pub lifecycle_dir: PathBuf,
    /// The static launcher, as it is in the archive.
    pub launcher: PathBuf,
}

/// How to package.
#[derive(Clone, Debug)]
pub struct Options {
    /// The archive; otherwise it goes to `target/package`, under the name that releases have.
    pub output: Option<PathBuf>,
    /// The target triple. Otherwise the lifecycle is linked with this machine's glibc, and the launcher is the
    /// one that `cnb` carries.
    pub target: Option<String>,
    /// Where cargo keeps its things: see [`cargo_home`].
    pub cargo_home: PathBuf,
}

/// Returns where cargo keeps things, by what `variable` says of the environment.
pub fn cargo_home(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    static_cargo::cargo_home(variable)
}

/// Builds, checks and packages the lifecycle of the workspace in `root`.
pub fn lifecycle(root: &Path, options: &Options) -> Result<Package, PackageError> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = options.target.as_deref().unwrap_or(&host);
    let released = root.join("target/package").join(archive_name(target)?);
    let output = options.output.as_ref().map_or(Ok(released), std::path::absolute)?;
    let has_target =
        |target: &str| static_cargo::has_target("rustc".as_ref(), target).map_err(PackageError::Build);
    if !has_target(target)? {
        return Err(PackageError::NoStandardLibrary(target.to_owned()));
    }
    let parts_target = if target == host {
        static_cargo::parts_target("rustc".as_ref(), std::env::consts::ARCH).map_err(PackageError::Build)?
    } else {
        target.to_owned()
    };
    let commit = commit(root);
    let lifecycle_programs = [("cnb-lifecycle", "lifecycle")];
    let build = StaticBuild {
        cargo: OsStr::new("cargo"),
        cargo_home: &options.cargo_home,
        workspace: root,
        target_dir: &root.join("target/parts"),
        target,
        profile: "release",
        programs: &lifecycle_programs,
        env: &[("CNB_SOURCE_COMMIT", &commit)],
    };
    let parts = StaticBuild { target: &parts_target, profile: "parts", programs: PARTS, env: &[], ..build };
    let lifecycle_dir = build.run().map_err(PackageError::Build)?;
    let launcher = parts.run().map_err(PackageError::Build)?.join("launcher");

    let mut entries = BTreeMap::from([(
        "lifecycle.toml".to_owned(),
        Content::File(LifecycleDescriptor::of_this_implementation(STANDS_FOR).to_toml()?.into_bytes()),
    )]);
    for phase in PHASES {
        entries.insert(format!("lifecycle/{phase}"), Content::Link("lifecycle"));
    }
    for (program, path, build) in
        [("lifecycle", &lifecycle_dir.join("lifecycle"), build), ("launcher", &launcher, parts)]
    {
        let bytes = static_program::read(program, path)?;
        let linked = linked::linked(&build, program)?;
        entries.extend(sboms(program, &bytes, &linked, &commit));
        entries.insert(format!("lifecycle/{program}"), Content::Program(bytes));
    }
    let bytes = archive::bytes(&entries)?;
    if let Some(parent) = output.parent() {
        fs_err::create_dir_all(parent)?;
    }
    cnb_fs::atomic::write(&output, &bytes)?;
    Ok(Package { archive: output, sha256: sha256(&bytes), lifecycle_dir, launcher })
}

/// Returns the SBOM files of a program, by their path in the archive.
fn sboms(
    program: &'static str,
    bytes: &[u8],
    linked: &Linked,
    commit: &str,
) -> impl Iterator<Item = (String, Content)> {
    let subject = sbom::Subject { program, sha256: sha256(bytes), commit: commit.to_owned() };
    let documents = SbomFormat::ALL.map(|format| {
        let text = sbom::document(format, &subject, linked);
        (format!("lifecycle/{program}.sbom.{}", format.extension()), Content::File(text.into_bytes()))
    });
    documents.into_iter()
}

/// Returns the name of the archive for a target, as the Go project names its releases.
fn archive_name(target: &str) -> Result<String, PackageError> {
    let arch = match target.split_once("-unknown-linux-") {
        Some(("x86_64", _)) => "x86-64",
        Some(("aarch64", _)) => "arm64",
        _ => return Err(PackageError::Target(target.to_owned())),
    };
    Ok(format!("lifecycle-v{VERSION}+linux.{arch}.tgz"))
}

/// Returns the commit that the sources are; nothing when they differ from it, or are no git repository.
fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]).as_deref() {
        Some("") => git(&["rev-parse", "HEAD"]).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Runs a command and returns what it prints.
fn stdout(command: &mut Command) -> Result<String, PackageError> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let command = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    Err(PackageError::Command { command, what: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// Returns a SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_shows_the_labels_and_names_of_this_version() {
        let text = fs_err::read_to_string(crate::workspace_root().join("docs/lifecycle.md")).unwrap();
        let descriptor = LifecycleDescriptor::of_this_implementation(STANDS_FOR);
        let apis = serde_json::to_string(&descriptor.apis).unwrap();
        for shown in [
            format!("LABEL io.buildpacks.lifecycle.apis='{apis}'\n"),
            format!("LABEL io.buildpacks.lifecycle.version=\"{STANDS_FOR}\"\n"),
            format!("uri = \"./{}\"\n", archive_name("x86_64-unknown-linux-gnu").unwrap()),
        ] {
            assert!(text.contains(&shown), "{shown}");
        }
    }

    #[test]
    fn archives_are_named_as_the_releases_of_the_go_project() {
        let name = |target| archive_name(target).map_err(|e| e.to_string());
        let of = |arch| Ok(format!("lifecycle-v{VERSION}+linux.{arch}.tgz"));
        assert_eq!(name("x86_64-unknown-linux-gnu"), of("x86-64"));
        assert_eq!(name("aarch64-unknown-linux-musl"), of("arm64"));
        assert_eq!(
            name("x86_64-apple-darwin"),
            Err("`x86_64-apple-darwin` is no target of the lifecycle: it runs on Linux, x86_64 and aarch64"
                .into())
        );
    }
}
