//! Another Go than this machine's own, which its Go command fetches from the module proxy.

use std::path::Path;

use cnb_buildpack::command::Command;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

use crate::go_mod::GoVersion;
use crate::toolchain::Toolchain;
use crate::version::Wish;

/// The layer that remembers which release was chosen, so that the next build has the same.
const CHOSEN: &str = "go-version";

/// Makes the Go command switch to the version that is asked for, which comes from the module proxy; this machine's own
/// stays, with a warning, where that cannot be had.
pub(crate) fn to(
    cx: &BuildContext,
    wish: &Wish,
    needs: Option<GoVersion>,
    own: Toolchain,
    env: &mut Env,
) -> Toolchain {
    if needs.is_some_and(|needs| needs > wish.lowest() && !wish.fits(needs)) {
        let needs = needs.map(|n| n.to_string()).unwrap_or_default();
        cx.log.warning(format!(
            "{} asks for Go {}, but `go.mod` needs {needs}; `go.mod` counts",
            wish.source, wish.text
        ));
        cx.log.step(format!("{} (of this machine)", own.version));
        return own;
    }
    let chosen = match wish.numbers[..] {
        [_, _, _] => Ok(wish.lowest()),
        _ => newest(cx, wish, &own.go, env),
    };
    let fetched = chosen.and_then(|version| {
        let name = format!("go{version}+auto");
        // This fetches it, if an earlier build has not.
        let command = Command::new(&own.go, Path::new("/"), env).args(["env", "GOVERSION"]);
        let said = command.env("GOTOOLCHAIN", &name).title(format!("go{version} version")).read()?;
        Ok((name, said.trim().to_owned()))
    });
    match fetched {
        Ok((name, version)) => {
            cx.log.step(format!("{version} (from the module proxy, {} asks for {})", wish.source, wish.text));
            env.insert("GOTOOLCHAIN".into(), name.into());
            Toolchain { go: own.go, version }
        }
        Err(failure) => {
            let failure = failure.to_string();
            let reason = failure.lines().next().unwrap_or_default();
            cx.log.warning(format!(
                "Go {} ({}) cannot be had, so {} of this machine is used: {reason}",
                wish.text, wish.source, own.version
            ));
            own
        }
    }
}

/// Finds the newest release of a line, as the module proxy lists them.
fn newest(cx: &BuildContext, wish: &Wish, go: &Path, env: &Env) -> Result<GoVersion, Failure> {
    let restored = cx.restored_metadata(CHOSEN);
    let known = restored.get("wish").and_then(toml::Value::as_str) == Some(&wish.text);
    let version = restored.get("version").and_then(toml::Value::as_str).filter(|_| known);
    let version = if let Some(version) = version.and_then(GoVersion::parse) {
        version
    } else {
        let args = ["list", "-m", "-versions", "golang.org/toolchain"];
        let text = Command::new(go, Path::new("/"), env).args(args).env("GOFLAGS", "-mod=mod").read()?;
        newest_of(&text, wish, &cx.target.os, &cx.target.arch)
            .ok_or_else(|| Failure::new("the module proxy lists no release of that line"))?
    };
    let chosen = metadata(&[("wish", &wish.text), ("version", &version.to_string())]);
    cx.cached_layer(CHOSEN, LayerTypes::CACHE, &chosen, |_| Ok(None))?;
    Ok(version)
}

/// Reads versions such as `v0.0.1-go1.22.3.linux-amd64`.
fn newest_of(listed: &str, wish: &Wish, os: &str, arch: &str) -> Option<GoVersion> {
    let end = format!(".{os}-{arch}");
    let release = |word: &str| {
        let version = word.strip_prefix("v0.0.1-go")?.strip_suffix(&end)?;
        let is_release = version.split('.').all(|p| p.bytes().all(|b| b.is_ascii_digit()));
        GoVersion::parse(version).filter(|_| is_release)
    };
    listed.split_whitespace().filter_map(release).filter(|v| wish.fits(*v)).max()
}

#[cfg(test)]
mod tests {
    use super::{GoVersion, Wish, newest_of};

    #[test]
    fn the_newest_release_of_a_line_is_found_for_the_machine() {
        let listed = "golang.org/toolchain v0.0.1-go1.22.3.linux-amd64 v0.0.1-go1.22.12.linux-amd64 \
                      v0.0.1-go1.22.13.darwin-arm64 v0.0.1-go1.22rc1.linux-amd64 v0.0.1-go1.23.0.linux-amd64";
        let wish =
            |numbers: &[u32]| Wish { numbers: numbers.to_vec(), text: String::new(), source: String::new() };
        let newest = |numbers: &[u32]| newest_of(listed, &wish(numbers), "linux", "amd64");
        assert_eq!(newest(&[1, 22]), Some(GoVersion(1, 22, 12)));
        assert_eq!(newest(&[1, 24]), None);
    }
}
