//! The Go toolchain: the machine's own, or a download with checksum.

use std::path::{Path, PathBuf};

use cnb_buildpack::command::Command;
use cnb_buildpack::context::find_program;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure, download, tree};
use cnb_spec::env::Env;
use serde::Deserialize;

use crate::go_mod::GoVersion;
use crate::{switch, version};

/// The first Go that fetches a newer one by itself.
const FIRST_SWITCHING: GoVersion = GoVersion(1, 21, 0);
/// Where the language's own instructions put it; not everybody has that on the PATH.
const USUAL_PLACE: &str = "/usr/local/go/bin/go";
/// Where the language publishes its releases.
const SITE: &str = "https://go.dev/dl/";
/// The layer of a downloaded toolchain.
const LAYER: &str = "toolchain";

/// A toolchain.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// The `go` command.
    pub(crate) go: PathBuf,
    /// Its version as it names itself, such as `go1.22.3`.
    pub(crate) version: String,
}

/// Finds a toolchain that can build a module which needs `needs`; where the app asks for another version than that of
/// this machine, `env` makes the Go command switch to it.
pub(crate) fn find(cx: &BuildContext, needs: Option<GoVersion>, env: &mut Env) -> Result<Toolchain, Failure> {
    let wish = version::wish(&cx.app_dir, &cx.env, &cx.log);
    if let Some(go) = of_this_machine(&cx.env, Path::new(USUAL_PLACE)) {
        let version = version_of(cx, &go)?;
        let found = GoVersion::parse(&version);
        if found >= Some(FIRST_SWITCHING) || needs.is_none() || found >= needs {
            let other = wish.filter(|w| found.is_none_or(|f| !w.fits(f)) && cx.var("GOTOOLCHAIN").is_none());
            if let Some(wish) = other.filter(|_| found >= Some(FIRST_SWITCHING)) {
                return Ok(switch::to(cx, &wish, needs, Toolchain { go, version }, env));
            }
            cx.log.step(format!("{version} (of this machine)"));
            return Ok(Toolchain { go, version });
        }
        cx.log.step(format!(
            "{version} of this machine is too old for `go.mod`, which cannot make it fetch another"
        ));
    }
    downloaded(cx, needs)
}

fn of_this_machine(env: &Env, usual: &Path) -> Option<PathBuf> {
    find_program(env, "go").or_else(|| usual.is_file().then(|| usual.to_owned()))
}

/// Reads the version from the file beside the toolchain: that costs no process.
fn version_of(cx: &BuildContext, go: &Path) -> Result<String, Failure> {
    let root = go.canonicalize().ok().and_then(|p| Some(p.parent()?.parent()?.to_owned()));
    if let Some(text) = root.and_then(|r| fs_err::read_to_string(r.join("VERSION")).ok())
        && let Some(first) = text.lines().next().filter(|l| GoVersion::parse(l).is_some())
    {
        return Ok(first.trim().to_owned());
    }
    // Whatever the module asks for, this is about the machine's own.
    let command =
        Command::new(go, Path::new("/"), &cx.env).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local");
    Ok(command.read()?.trim().to_owned())
}

#[derive(Deserialize)]
struct Release {
    version: String,
    stable: bool,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    os: String,
    arch: String,
    sha256: String,
    kind: String,
}

fn downloaded(cx: &BuildContext, needs: Option<GoVersion>) -> Result<Toolchain, Failure> {
    let types = LayerTypes { build: true, cache: true, launch: false };
    let restored = cx.restored_metadata(LAYER);
    let kept = restored.get("version").and_then(|v| v.as_str()).map(str::to_owned);
    let go = cx.layer_path(LAYER).join("bin/go");
    if let Some(version) = kept.filter(|v| GoVersion::parse(v) >= needs && go.is_file()) {
        cx.write_layer_toml(LAYER, types, &restored)?;
        cx.log.step(format!("{version} (downloaded in an earlier build)"));
        return Ok(Toolchain { go, version });
    }
    let missing = || {
        let what = needs.map_or_else(|| "Go".to_owned(), |n| format!("Go {n}"));
        Failure::new(format!("there is no {what} on this machine, and none could be downloaded"))
    };
    let next = format!("install Go on this machine, or make {SITE} reachable");
    let index = cx.layers_dir.join("go-releases.json");
    let listed = download::download(&cx.env, &format!("{SITE}?mode=json&include=all"), &index, None);
    listed.map_err(|e| missing().because(e).next(&next))?;
    let releases: Vec<Release> =
        serde_json::from_slice(&fs_err::read(&index)?).map_err(|e| missing().because(e).next(&next))?;
    tree::remove(&index)?;
    let fits =
        |file: &&File| file.os == cx.target.os && file.arch == cx.target.arch && file.kind == "archive";
    let mut found: Vec<(GoVersion, &Release, &File)> = releases
        .iter()
        .filter(|r| r.stable)
        .filter_map(|r| Some((GoVersion::parse(&r.version)?, r, r.files.iter().find(fits)?)))
        .collect();
    found.sort_by_key(|(version, ..)| *version);
    let (_, release, file) = found
        .last()
        .filter(|(newest, ..)| Some(*newest) >= needs)
        .ok_or_else(|| missing().because("no published release is new enough").next(&next))?;
    cx.log.step(format!("{} (from {SITE})", release.version));
    cx.cached_layer(LAYER, types, &metadata(&[("version", &release.version)]), |layer| {
        let archive = layer.path.join("go.tar.gz");
        download::download(&cx.env, &format!("{SITE}{}", file.filename), &archive, Some(&file.sha256))?;
        download::unpack(&cx.env, &archive, &layer.path)?;
        tree::remove(&archive)?;
        Ok(None)
    })?;
    Ok(Toolchain { go, version: release.version.clone() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::of_this_machine;

    #[test]
    fn the_path_comes_before_the_usual_place() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, usual) = (dir.path().join("bin"), dir.path().join("usual-go"));
        fs_err::create_dir(&bin).unwrap();
        let env = [("PATH".into(), bin.clone().into())].into();
        assert_eq!(of_this_machine(&env, &usual), None);
        fs_err::write(&usual, "").unwrap();
        assert_eq!(of_this_machine(&env, &usual), Some(usual.clone()));
        fs_err::write(bin.join("go"), "").unwrap();
        fs_err::set_permissions(bin.join("go"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(of_this_machine(&env, &usual), Some(bin.join("go")));
    }
}
