//! A package is tried where nothing is but what is in it: an image without shell, libraries and programs.
//!
//! The buildpack that is detected and built with is one of the static ones that `cnb` carries.

use std::path::{Path, PathBuf};
use std::process::Command;

use cnb_spec::api::PlatformApi;
use fs_err as fs;

use super::{PHASES, Package, PackageError, VERSION};

/// The user that builds.
const USER: u32 = 1000;

/// What all folders of the image are, beside those of the package.
const DIRS: &[&str] =
    &["cnb/buildpacks/cnb_procfile/0.1.0/bin", "empty", "etc", "layers", "platform/env", "tmp", "workspace"];

/// Tries a package whose sources are in `root`; needs bubblewrap.
///
/// # Errors
/// What the package does not do.
pub fn run(root: &Path, package: &Package) -> Result<(), PackageError> {
    let dir = tempfile::tempdir()?;
    let image = Image { dir: dir.path().join("image") };
    image.make(root, package)?;
    let latest = PlatformApi::LATEST.to_string();
    let api = [("CNB_PLATFORM_API", latest.as_str())];
    let version = format!("{VERSION}\n");
    let wanted = |code| Wanted { code, said: "" };

    image.expect(
        USER,
        &[],
        &["/cnb/lifecycle/lifecycle", "-version"],
        &Wanted { code: 0, said: &version },
    )?;
    for phase in PHASES {
        let program = format!("/cnb/lifecycle/{phase}");
        image.expect(USER, &api, &[&program, "-version"], &Wanted { code: 0, said: &version })?;
    }
    let detector = "/cnb/lifecycle/detector";
    image.expect(USER, &[], &[detector], &wanted(11))?;
    image.expect(0, &api, &[detector], &Wanted { code: 1, said: "refusing to run as root" })?;
    image.expect(USER, &api, &[detector, "-app", "/empty"], &wanted(20))?;
    image.expect(USER, &api, &[detector], &wanted(0))?;
    image.expect(USER, &api, &["/cnb/lifecycle/builder"], &wanted(0))?;
    let launch = ["/cnb/lifecycle/launcher", "--", "/cnb/lifecycle/lifecycle", "-version"];
    image.expect(USER, &api, &launch, &Wanted { code: 0, said: &version })
}

/// How a program must end.
struct Wanted<'a> {
    code: i32,
    said: &'a str,
}

/// The root file system of an image.
struct Image {
    dir: PathBuf,
}

impl Image {
    fn make(&self, root: &Path, package: &Package) -> Result<(), PackageError> {
        for dir in DIRS {
            fs::create_dir_all(self.dir.join(dir))?;
        }
        let file = flate2::read::GzDecoder::new(fs::File::open(&package.archive)?);
        tar::Archive::new(file).unpack(self.dir.join("cnb"))?;
        let parts = package.launcher.parent().unwrap_or(root);
        let buildpack = self.dir.join(DIRS[0]);
        fs::copy(parts.join("buildpack-procfile"), buildpack.join("build"))?;
        fs::hard_link(buildpack.join("build"), buildpack.join("detect"))?;
        fs::copy(
            root.join("buildpacks/procfile/buildpack.toml"),
            buildpack.with_file_name("buildpack.toml"),
        )?;
        for (path, text) in [
            ("etc/passwd", "root:x:0:0::/:/none\ncnb:x:1000:1000::/:/none\n"),
            ("etc/group", "root:x:0:\ncnb:x:1000:\n"),
            ("cnb/order.toml", "[[order]]\n[[order.group]]\nid = \"cnb/procfile\"\nversion = \"0.1.0\"\n"),
            ("workspace/Procfile", "web: /cnb/lifecycle/lifecycle -version\n"),
        ] {
            fs::write(self.dir.join(path), text)?;
        }
        Ok(())
    }

    /// Runs a command as `user`, whose files all of the image are.
    fn expect(
        &self,
        user: u32,
        env: &[(&str, &str)],
        command: &[&str],
        wanted: &Wanted<'_>,
    ) -> Result<(), PackageError> {
        let mut bwrap = Command::new("bwrap");
        bwrap.args(["--unshare-all", "--die-with-parent", "--clearenv"]);
        bwrap.args(["--uid", &user.to_string(), "--gid", &user.to_string()]);
        bwrap.arg("--bind").arg(&self.dir).args(["/", "--proc", "/proc", "--dev", "/dev"]);
        bwrap.args(["--setenv", "CNB_ORDER_PATH", "/cnb/order.toml"]);
        for (name, value) in env {
            bwrap.args(["--setenv", name, value]);
        }
        let output = bwrap.arg("--").args(command).output()?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(wanted.code) && said.contains(wanted.said) {
            return Ok(());
        }
        Err(PackageError::Trial(format!(
            "`{}` as user {user} was to end with {}{}, but: {}: {}",
            command.join(" "),
            wanted.code,
            if wanted.said.is_empty() { String::new() } else { format!(" and say `{}`", wanted.said.trim()) },
            output.status,
            said.trim()
        )))
    }
}
